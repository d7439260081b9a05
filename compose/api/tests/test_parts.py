"""The small parts keep their promises by themselves."""

import asyncio
import contextlib
import dataclasses
import json
import logging
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from breakout_bot import logs, probe, resources, strategy
from breakout_bot.desk import FencedOff
from breakout_bot.exchange import KEEP_SECONDS, Exchange, ExchangeError
from breakout_bot.hub import QUEUE, Hub
from breakout_bot.lease import Lease, LeaseError
from breakout_bot.ledger import Intent
from breakout_bot.presets import PresetBody
from breakout_bot.services import Services
from breakout_bot.states import State
from breakout_bot.trades import Position
from redis.asyncio import Redis

INTENT = Intent("x", "e", "BTCUSDT", "sell", "exit", 2.0, 20.0, 23.0, "target")


def candles(*highs, close):
    closed = [{"high": high, "low": high - 1, "close": high} for high in highs]
    return [*closed, {"high": close, "low": close, "close": close}]


@pytest.mark.parametrize(("close", "breakout"), [(13.0, False), (13.1, True)])
def test_a_breakout_is_a_price_above_every_closed_candle(close, breakout):
    seen = strategy.read("A", candles(99, 11, 12, 13, close=close), lookback=3)
    assert (seen.level, seen.breakout) == (13, breakout)


def test_too_few_candles_are_no_reading():
    assert strategy.read("A", candles(1, 2, close=9), lookback=3) is None


def test_a_stopped_position_loses_the_risk_of_its_preset():
    preset = PresetBody(stop_percent=2, target_r=3, risk_usd=10)
    stop, target = strategy.stop_and_target(50.0, preset)
    assert (stop, target) == (49.0, 53.0)
    assert strategy.quantity(50.0, preset) * (50.0 - stop) == pytest.approx(10)
    reasons = [strategy.exit_reason(price, stop, target) for price in (49.0, 50.0, 53.0)]
    assert reasons == ["stop", None, "target"]


def test_a_lease_is_not_held_while_redis_refuses(closed_port):
    async def ask():
        redis = Redis(host="127.0.0.1", port=closed_port)
        lease = Lease(redis, "me", 10)
        with pytest.raises(LeaseError, match="does not answer"):
            await lease.keep()
        await redis.aclose()
        return lease.held

    assert asyncio.run(ask()) is False


def test_a_client_that_falls_behind_is_let_go_and_delays_nobody():
    async def run():
        hub = Hub(dict)
        slow, quick = asyncio.Queue(QUEUE), asyncio.Queue(QUEUE)
        hub._queues |= {slow, quick}
        for number in range(3 * QUEUE):
            hub.deliver({"number": number})
            assert (await quick.get())["number"] == number
        return [slow.get_nowait() for _ in range(slow.qsize())]

    assert None in asyncio.run(run())


@pytest.fixture
def answering():
    servers = []

    def _answering(status, body):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.server_port

    yield _answering
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "good"),
    [
        (200, '{"status": "healthy"}', True),
        (200, '{"status": "degraded"}', True),
        (200, '{"status": "unhealthy"}', False),
        (503, '{"status": "healthy"}', False),
        (200, "<html>", False),
        (200, "[]", False),
    ],
)
def test_the_probe_believes_only_a_good_status(answering, status, body, good):
    assert probe.probe(answering(status, body))[0] is good


def test_the_probe_fails_when_nobody_answers(closed_port):
    good, seen = probe.probe(closed_port)
    assert not good
    assert "no health answer" in seen


def test_the_probe_does_not_import_the_web_framework():
    code = "import sys, breakout_bot.probe; sys.exit('fastapi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0


def test_memory_is_measured_against_the_containers_limit(tmp_path):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 200\n")
    assert resources.memory_percent(tmp_path) == 50.0
    (tmp_path / "memory.max").write_text("max\n")
    assert 0 < resources.memory_percent(tmp_path) <= 100


def test_a_log_line_is_one_json_object_with_the_requests_id():
    mark = logs.request_id.set("r-1")
    try:
        record = logging.LogRecord("bot", logging.INFO, "f", 1, "two\nlines %d", (7,), None)
        line = logs.JsonFormatter().format(record)
    finally:
        logs.request_id.reset(mark)
    assert "\n" not in line
    entry = json.loads(line)
    assert (entry["message"], entry["request_id"]) == ("two\nlines 7", "r-1")


@pytest.mark.parametrize("state", [State.IDLE, State.RUNNING])
def test_only_a_trading_engine_that_is_fenced_off_stands_down(settings, state):
    async def late():
        raise FencedOff("the token is too old")

    async def trade():
        services = Services(settings)
        engine = services.engine
        engine.load()
        engine._control = dataclasses.replace(engine._control, state=state)
        engine.desk.exits = late
        with contextlib.suppress(LeaseError):  # standing down tells Redis, which refuses here
            await engine._trade()
        await services.close()
        return engine.fenced

    assert asyncio.run(trade()) == (1 if state is State.RUNNING else 0)


@pytest.mark.parametrize(
    ("status", "doubted", "doubts"), [(429, True, True), (429, False, False), (0, False, True)]
)
def test_a_refused_order_ends_no_doubt_about_another(settings, status, doubted, doubts):
    async def place(*_):
        raise ExchangeError("no", status)

    async def sell():
        services = Services(settings)
        desk = services.engine.desk
        desk.exchange.place, desk._doubtful = place, doubted
        with contextlib.suppress(ExchangeError):
            await desk._send(INTENT)
        await services.close()
        return desk._doubtful

    assert asyncio.run(sell()) is doubts


def test_a_market_that_takes_no_order_keeps_no_other_from_its_stop(settings):
    asked = []

    async def sell(position, _):
        asked.append(position.symbol)
        raise ExchangeError(f"{position.symbol} is halted", 422, "rejected")

    async def exits():
        services = Services(settings)
        desk = services.engine.desk
        desk._sell, desk._feed.prices = sell, {"A": 1.0, "B": 1.0}
        desk.positions = [Position(name, name, 1.0, 2.0, 1.5, 3.0, 0.0, 1.0) for name in "AB"]
        with pytest.raises(ExchangeError, match="A is halted"):
            await desk.exits()
        await services.close()

    asyncio.run(exits())
    assert asked == ["A", "B"]


async def _connections_used(pause):
    used = 0

    async def serve(reader, writer):
        nonlocal used
        used += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    exchange = Exchange(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await exchange.health()
    await asyncio.sleep(pause)
    await exchange.health()
    await exchange.close()
    server.close()
    return used


def test_a_connection_that_the_exchange_may_be_closing_is_not_used_again():
    assert asyncio.run(_connections_used(0)) == 1
    assert asyncio.run(_connections_used(KEEP_SECONDS + 0.1)) == 2
