"""Every drill does what its name says to what comes over the network; without DRILLS none does."""

import asyncio
import time

import pytest
from fastapi.testclient import TestClient
from paper_exchange.app import create_app
from paper_exchange.drills import Drills
from paper_exchange.settings import Settings

ORDER = {
    "client_id": "bot",
    "client_order_id": "1",
    "symbol": "BTCUSDT",
    "side": "buy",
    "quantity": 0.5,
    "fencing_token": 3,
}
WITNESS = {"X-Witness": "test"}


@pytest.fixture
def client():
    with TestClient(create_app(Settings(tick_seconds=0.01, candle_ticks=5, drills=True))) as client:
        yield client


def drill(client, **drills):
    answer = client.put("/drills", json=drills)
    assert answer.status_code == 200, answer.text


def test_without_the_environment_variable_there_are_no_drills():
    with TestClient(create_app(Settings())) as client:
        answers = [client.request(verb, "/drills", json={}) for verb in ("GET", "PUT", "DELETE")]
        assert [answer.status_code for answer in answers] == [404] * 3


def test_latency_delays_everyone_but_a_witness(client):
    drill(client, latency_ms=300)
    began = time.monotonic()
    client.get("/time")
    assert time.monotonic() - began >= 0.3
    began = time.monotonic()
    client.get("/time", headers=WITNESS)
    client.get("/log")
    assert time.monotonic() - began < 0.2


def test_429_comes_at_its_rate(client):
    drill(client, status_429=0.5)
    seen = [client.get("/time").status_code for _ in range(60)]
    assert 15 < seen.count(429) < 45
    assert set(seen) == {200, 429}


def test_cut_promises_a_body_that_never_comes(client):
    drill(client, cut=True)
    answer = client.get("/time")
    assert (answer.headers["content-length"], answer.content) == ("10", b"")


def test_a_request_that_hangs_goes_on_when_the_drill_ends(client):
    drill(client, hang=True)
    client.portal.start_task_soon(_end_soon, client.app.state.exchange)
    began = time.monotonic()
    assert client.get("/time").status_code == 200
    assert time.monotonic() - began >= 0.2


async def _end_soon(exchange):
    await asyncio.sleep(0.2)
    exchange.switches.set(Drills())


def test_reject_takes_no_order_and_flattens_nothing(client):
    client.post("/orders", json=ORDER)
    drill(client, reject=True)
    late = client.post("/orders", json={**ORDER, "client_order_id": "2"})
    assert (late.status_code, late.json()["code"]) == (422, "rejected")
    assert client.post("/flatten", params={"client_id": "bot"}).status_code == 422
    assert len(client.get("/positions").json()) == 1


def test_a_halted_symbol_takes_no_order_and_the_others_do(client):
    other = {**ORDER, "client_order_id": "2", "symbol": "ETHUSDT"}
    for order in (ORDER, other):
        assert client.post("/orders", json=order).status_code == 201
    drill(client, halted=["BTCUSDT"])
    late = client.post("/orders", json={**ORDER, "client_order_id": "3"})
    assert (late.status_code, late.json()["code"]) == (422, "rejected")
    left = client.post("/flatten", params={"client_id": "bot"}).json()["positions"]
    assert [one["symbol"] for one in left] == ["BTCUSDT"]


def test_partial_fill_leaves_a_rest(client):
    drill(client, partial_fill=0.4)
    order = client.post("/orders", json=ORDER).json()
    assert (order["status"], order["filled_quantity"]) == ("cancelled", 0.2)
    client.post("/flatten", params={"client_id": "bot"})
    assert client.get("/positions").json()[0]["quantity"] == pytest.approx(0.12)


def test_a_wrong_clock_is_wrong_in_answers_and_in_the_log(client):
    drill(client, clock_offset_seconds=3600)
    client.post("/orders", json=ORDER)
    for seen in (client.get("/time").json(), client.get("/log").json()["entries"][-1]):
        assert seen["time"] == pytest.approx(time.time() + 3600, abs=5)


def test_a_frozen_feed_stands_still_and_moves_again(client):
    drill(client, freeze_feed=True)
    before = client.get("/prices").json()["sequence"]
    time.sleep(0.1)
    assert client.get("/prices").json()["sequence"] == before
    client.delete("/drills")
    while client.get("/prices").json()["sequence"] <= before:
        client.get("/time")


def test_a_price_jumps_once_and_stays(client):
    drill(client, volatility=0)
    before = client.get("/prices").json()["prices"]["BTCUSDT"]
    drill(client, volatility=0, moves={"BTCUSDT": -10})
    for _ in range(3):
        time.sleep(0.02)
        assert client.get("/prices").json()["prices"]["BTCUSDT"] == pytest.approx(before * 0.9)


def test_the_chart_shows_a_jump_before_the_next_tick(client):
    drill(client, freeze_feed=True, moves={"BTCUSDT": 7})
    price = client.get("/prices").json()["prices"]["BTCUSDT"]
    assert client.get("/candles/BTCUSDT?limit=1").json()["candles"][-1]["close"] == price


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"latency": 1}, 422),
        ({"status_429": 2}, 422),
        ({"moves": {"NOPE": 1}}, 404),
        ({"halted": ["NOPE"]}, 404),
        ([], 422),
    ],
)
def test_a_bad_drill_is_refused_and_changes_nothing(client, body, status):
    assert client.put("/drills", json=body).status_code == status
    assert client.get("/drills").json()["latency_ms"] == 0
