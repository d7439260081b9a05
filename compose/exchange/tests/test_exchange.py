"""The exchange keeps its promises as an order book, a feed and a witness."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from paper_exchange import settings as environment
from paper_exchange.app import create_app
from paper_exchange.market import Market

ORDER: dict[str, Any] = {
    "client_id": "bot",
    "client_order_id": "1",
    "symbol": "BTCUSDT",
    "side": "buy",
    "quantity": 0.5,
    "fencing_token": 3,
}


@pytest.fixture
def client():
    settings = environment.Settings(tick_seconds=0.01, candle_ticks=5, version="1.2.3")
    with TestClient(create_app(settings)) as client:
        yield client


def events(client):
    return [entry["event"] for entry in client.get("/log").json()["entries"]]


def test_the_same_seed_gives_the_same_prices():
    def walk(seed):
        market = Market({"A": 10.0, "B": 3.0}, seed, 1.0, 5)
        market.prefill(1000.0, candles=3)
        return market.prices(), market.candles("A", 3)

    assert walk("7") == walk("7")
    assert walk("7") != walk("8")


def test_health_names_the_service_and_its_version(client):
    body = client.get("/health").json()
    assert (body["status"], body["service"], body["version"]) == ("healthy", "exchange", "1.2.3")


def test_the_feed_moves_by_itself(client):
    before = client.get("/prices").json()["sequence"]
    while client.get("/prices").json()["sequence"] < before + 3:
        client.get("/time")


def test_a_market_order_is_filled_and_leaves_a_position_and_two_log_lines(client):
    answer = client.post("/orders", json=ORDER)
    assert (answer.status_code, answer.json()["status"]) == (201, "filled")
    assert client.get("/positions", params={"client_id": "bot"}).json()[0]["quantity"] == 0.5
    assert events(client) == ["order_accepted", "order_filled"]


def test_the_same_client_order_id_twice_is_one_order(client):
    first, second = (client.post("/orders", json=ORDER).json()["id"] for _ in range(2))
    assert first == second
    assert len(client.get("/orders").json()) == 1


def test_an_older_fencing_token_is_refused_and_logged(client):
    client.post("/orders", json=ORDER)
    late = client.post("/orders", json={**ORDER, "client_order_id": "2", "fencing_token": 2})
    assert late.status_code == 409
    assert late.json()["status_code"] == 409
    assert events(client)[-1] == "order_refused"
    assert len(client.get("/orders").json()) == 1


def test_a_fence_shuts_out_the_engine_before_it(client):
    client.post("/fence", params={"client_id": "bot", "token": 9})
    assert client.post("/orders", json=ORDER).status_code == 409


def test_a_resting_order_can_be_cancelled_once_and_stays_cancelled(client):
    far = {**ORDER, "type": "limit", "price": 1.0}
    order = client.post("/orders", json=far).json()
    assert order["status"] == "open"
    for _ in range(2):
        assert client.delete(f"/orders/{order['id']}").json()["status"] == "cancelled"
    assert events(client) == ["order_accepted", "order_cancelled"]


def test_a_limit_above_the_market_fills_at_the_market(client):
    order = client.post("/orders", json={**ORDER, "type": "limit", "price": 1e9}).json()
    assert order["status"] == "filled"
    assert order["fill_price"] < 1e6


def test_closing_a_position_leaves_none(client):
    client.post("/orders", json=ORDER)
    path = "/positions/BTCUSDT/close"
    assert client.post(path, params={"client_id": "bot"}).json()["quantity"] == 0.5
    assert client.get("/positions").json() == []
    assert client.post(path, params={"client_id": "bot"}).status_code == 404
    assert events(client)[-1] == "position_closed"


def test_buying_then_selling_more_turns_the_position(client):
    client.post("/orders", json=ORDER)
    client.post("/orders", json={**ORDER, "client_order_id": "2", "side": "sell", "quantity": 2})
    assert client.get("/positions").json()[0]["quantity"] == -1.5


@pytest.mark.parametrize("path", ["/candles/NOPE", "/nope"])
def test_what_is_not_there_answers_404_as_json(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.json()["status_code"]) == (404, 404)


@pytest.mark.parametrize("quantity", [0, -1, "x", 1e300])
def test_a_bad_quantity_is_refused(client, quantity):
    assert client.post("/orders", json={**ORDER, "quantity": quantity}).status_code == 422


def test_a_bad_tick_says_what_to_set():
    with pytest.raises(environment.SettingsError, match="set TICK_SECONDS"):
        environment.load({"TICK_SECONDS": "fast"})
