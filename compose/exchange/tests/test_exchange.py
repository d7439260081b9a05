"""The exchange keeps its promises as an order book, a feed and a witness."""

import contextlib
import sqlite3
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient
from paper_exchange import settings as environment
from paper_exchange.app import create_app
from paper_exchange.journal import Journal
from paper_exchange.market import Market
from paper_exchange.orders import TAKER_FEE

ORDER: dict[str, Any] = {
    "client_id": "bot",
    "client_order_id": "1",
    "symbol": "BTCUSDT",
    "side": "buy",
    "quantity": 0.5,
    "fencing_token": 3,
}
FAR = {"type": "limit", "price": 1.0, "quantity": 20}


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


def test_all_candles_come_in_one_answer(client):
    every = client.get("/candles", params={"limit": 3}).json()["candles"]
    assert len(every) == 10
    assert [len(candles) for candles in every.values()] == [3] * 10
    assert set(every["BTCUSDT"][0]) == {"time", "open", "high", "low", "close", "volume"}


def test_a_market_order_is_filled_with_a_fee_and_leaves_a_position(client):
    answer = client.post("/orders", json=ORDER)
    order = answer.json()
    assert (answer.status_code, order["status"], order["filled_quantity"]) == (201, "filled", 0.5)
    assert order["fee"] == pytest.approx(0.5 * order["fill_price"] * TAKER_FEE)
    assert client.get("/positions", params={"client_id": "bot"}).json()[0]["quantity"] == 0.5
    assert events(client) == ["fence_raised", "order_accepted", "order_filled"]


def test_the_same_client_order_id_twice_is_one_order(client):
    first, second = (client.post("/orders", json=ORDER).json()["id"] for _ in range(2))
    assert first == second
    assert len(client.get("/orders").json()) == 1


def test_an_older_fencing_token_is_refused_and_logged(client):
    client.post("/orders", json=ORDER)
    late = client.post("/orders", json={**ORDER, "client_order_id": "2", "fencing_token": 2})
    assert late.status_code == 409
    assert late.json()["status_code"] == 409
    assert late.json()["code"] == "fenced"
    refusal = client.get("/log").json()["entries"][-1]
    assert (refusal["event"], refusal["code"]) == ("order_rejected", "fenced")
    assert len(client.get("/orders").json()) == 1


def test_a_fence_shuts_out_the_engine_before_it(client):
    client.post("/fence", params={"client_id": "bot", "token": 9})
    assert client.post("/orders", json=ORDER).status_code == 409


def test_a_resting_order_can_be_cancelled_once_and_stays_cancelled(client):
    order = client.post("/orders", json={**ORDER, **FAR}).json()
    assert order["status"] == "open"
    for _ in range(2):
        assert client.delete(f"/orders/{order['id']}").json()["status"] == "cancelled"
    assert events(client) == ["fence_raised", "order_accepted", "order_cancelled"]


def test_a_limit_above_the_market_fills_at_the_market(client):
    order = client.post("/orders", json={**ORDER, "type": "limit", "price": 1e9}).json()
    assert order["status"] == "filled"
    assert order["fill_price"] < 1e6


def test_an_order_that_only_reduces_never_turns_a_position_around(client):
    client.post("/orders", json=ORDER)
    closing = {**ORDER, "client_order_id": "2", "side": "sell", "quantity": 9, "reduce_only": True}
    assert client.post("/orders", json=closing).json()["filled_quantity"] == 0.5
    assert client.get("/positions").json() == []
    again = client.post("/orders", json={**closing, "client_order_id": "3"})
    assert (again.status_code, again.json()["code"]) == (409, "nothing_to_reduce")


def test_flattening_one_client_fences_it_off_and_leaves_the_others_alone(client):
    client.post("/orders", json=ORDER)
    client.post("/orders", json={**ORDER, **FAR, "client_order_id": "2"})
    client.post("/orders", json={**ORDER, **FAR, "client_id": "other"})
    done = client.post("/flatten", params={"client_id": "bot"}).json()
    assert [len(done[name]) for name in ("cancelled", "orders", "positions")] == [1, 1, 0]
    assert done["orders"][0]["reduce_only"] is True
    late = client.post("/orders", json={**ORDER, "client_order_id": "3"})
    assert late.json()["code"] == "fenced"
    left = client.get("/orders", params={"status": "open"}).json()
    assert [order["client_id"] for order in left] == ["other"]


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


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"symbol": "NOPE"}, 404, "unknown_symbol"),
        ({"quantity": 1e-6}, 422, "too_small"),
        ({"type": "stop"}, 422, "no_price"),
    ],
)
def test_what_is_not_taken_says_why_and_leaves_a_line(client, change, status, code):
    answer = client.post("/orders", json={**ORDER, **change})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert events(client)[-1] == "order_rejected"


def test_a_large_order_is_filled_in_parts_and_a_market_orders_rest_is_cancelled(client):
    order = client.post("/orders", json={**ORDER, "quantity": 100}).json()
    assert order["status"] == "cancelled"
    assert 0 < order["filled_quantity"] < 100
    limit = {**ORDER, "client_order_id": "2", "type": "limit", "price": 1e9, "quantity": 10}
    first = client.post("/orders", json=limit).json()
    while (later := client.get("/orders").json()[0])["status"] == "open":
        assert later["id"] == first["id"]
    assert later["filled_quantity"] == 10
    assert events(client).count("order_filled") > 3


def test_a_restarted_exchange_is_the_same_exchange(tmp_path):
    settings = environment.Settings(tick_seconds=0.01, candle_ticks=5, data_dir=tmp_path)
    views = ("/orders", "/positions", "/log")
    with TestClient(create_app(settings)) as client:
        client.post("/orders", json=ORDER)
        client.post("/orders", json={**ORDER, **FAR, "client_order_id": "2"})
        before = [client.get(path).json() for path in views]
        price = client.get("/prices").json()["prices"]["BTCUSDT"]
    with TestClient(create_app(settings)) as client:
        assert [client.get(path).json() for path in views] == before
        late = {**ORDER, "client_order_id": "late", "fencing_token": 2}
        assert client.post("/orders", json=late).json()["code"] == "fenced"
        assert client.get("/prices").json()["prices"]["BTCUSDT"] == pytest.approx(price, rel=0.05)


def test_the_log_cannot_be_changed(tmp_path):
    journal = Journal(tmp_path / "log.sqlite3")
    journal.append(1.0, "order_accepted", {})
    journal.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "log.sqlite3")) as db:
        for sql in ("DELETE FROM log", "UPDATE log SET time = 2"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(sql)


def test_an_exchange_that_is_told_to_runs_faster_than_the_clock():
    settings = environment.Settings(time_scale=500)
    with TestClient(create_app(settings)) as client:
        began, wall = client.get("/time").json()["time"], time.monotonic()
        while client.get("/prices").json()["time"] < began + 100:
            assert time.monotonic() < wall + 5
        assert client.get("/prices").json()["sequence"] > 300 * 60 + 50


def test_a_bad_tick_says_what_to_set():
    with pytest.raises(environment.SettingsError, match="set TICK_SECONDS"):
        environment.load({"TICK_SECONDS": "fast"})


def test_an_order_that_comes_after_its_time_is_refused(client):
    now = client.get("/time").json()["time"]
    late = client.post("/orders", json={**ORDER, "valid_until": now - 1})
    assert (late.status_code, late.json()["code"]) == (410, "expired")
    flat = client.post("/flatten", params={"client_id": "bot", "valid_until": now - 1})
    assert flat.status_code == 410
    assert client.post("/orders", json={**ORDER, "valid_until": now + 60}).status_code == 201
