"""The API keeps its promises while Redis and the exchange are away."""

import re
import time

import pytest
from breakout_bot import ledger, trades
from breakout_bot.ledger import Intent

from conftest import KEY, PASSWORD

MUTATING = ("post", "put", "delete", "patch")
POSITION = trades.Position("p1", "BTCUSDT", 2.0, 100.0, 99.0, 102.0, 1000.0, 2.0)
UNANSWERED = Intent("e", "e", "ETHUSDT", "buy", "entry", 2.0, 10.0, 13.0, "breakout", 1.0, 2.0)
AGREED = {
    "get": """/api/ /api/health /api/metrics /api/engine/status /api/engine/metrics
        /api/engine/commands /api/trading/positions /api/trading/orders
        /api/trading/positions/{position_id} /api/positions /api/orders /api/presets/
        /api/presets/{name} /api/scanner/last /api/scanner/status /api/performance/equity
        /api/performance/metrics /api/performance/r-distribution /api/metrics/summary
        /api/metrics/performance /api/metrics/health /api/logs /api/charts/candles/{symbol}
        /api/charts/levels/{symbol}""",
    "post": """/api/engine/start /api/engine/stop /api/engine/pause /api/engine/resume
        /api/engine/reload /api/engine/emergency-stop /api/engine/reset /api/engine/command
        /api/scanner/scan""",
    "put": "/api/presets/{name}",
    "delete": "/api/trading/orders/{order_id}",
}


def operations(client):
    paths = client.get("/api/openapi.json").json()["paths"]
    return [(method, path, op) for path, every in paths.items() for method, op in every.items()]


def state(client):
    return client.get("/api/engine/status").json()["state"]


def test_every_agreed_operation_is_there_and_no_other(client):
    seen = {(method, path) for method, path, _ in operations(client)}
    assert seen == {(method, path) for method, all_ in AGREED.items() for path in all_.split()}


def test_the_documentation_needs_nothing_from_elsewhere(client):
    page = client.get("/api/docs").text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert links
    assert all(client.get(link).status_code == 200 for link in links if link.startswith("/api/"))
    assert all(link.startswith("/api/") for link in links)


def test_every_mutating_operation_asks_for_the_key_and_says_so(client):
    for method, path, operation in operations(client):
        if method not in MUTATING:
            assert "security" not in operation
            continue
        assert operation["security"]
        without = client.request(method, path, content=b"{not json")
        wrong = client.request(method, path, headers={"X-API-Key": "x" * 20})
        blank = client.request(method, path, headers={"X-API-Key": ""})
        assert [one.status_code for one in (without, wrong, blank)] == [401, 403, 401]
        assert without.json()["status_code"] == 401
    assert state(client) == "IDLE"


def test_a_fresh_engine_is_idle_in_the_mode_and_preset_of_the_deployment(client):
    status = client.get("/api/engine/status").json()
    assert (status["state"], status["preset"], status["mode"]) == ("IDLE", "balanced", "paper")
    assert (status["startedAt"], status["leaseHeld"]) == (None, False)


def test_health_is_503_within_its_limit_and_says_why_without_secrets(client):
    began = time.monotonic()
    answer = client.get("/api/health")
    assert time.monotonic() - began < 1.5
    body = answer.json()
    assert (answer.status_code, body["status"]) == (503, "unhealthy")
    assert body["api_connectivity"] == {
        "database": "connected",
        "redis": "disconnected",
        "exchange": "disconnected",
        "websocket": "disconnected",
    }
    assert "redis" in body["issues"][0]
    assert (body["version"], body["revision"], body["schema_version"]) == ("1.2.3", "abc", 2)
    assert PASSWORD not in answer.text
    assert KEY not in answer.text


def test_market_data_ages_while_the_heart_beats(client):
    first = client.get("/api/health").json()
    time.sleep(0.3)
    second = client.get("/api/health").json()
    assert second["market_data_age_seconds"] >= first["market_data_age_seconds"] + 0.25
    assert second["heartbeat_age_seconds"] < 2


def test_start_without_redis_is_refused_and_changes_nothing(client, keyed):
    answer = client.post("/api/engine/start", headers=keyed)
    assert (answer.status_code, answer.json()["status_code"]) == (503, 503)
    assert state(client) == "IDLE"


@pytest.mark.parametrize("command", ["stop", "pause", "resume", "reset"])
def test_a_command_in_the_wrong_state_answers_409_and_changes_nothing(client, keyed, command):
    for path, body in ((command, None), ("command", {"command": command})):
        answer = client.post(f"/api/engine/{path}", headers=keyed, json=body)
        assert (answer.status_code, answer.json()["status_code"]) == (409, 409)
    assert state(client) == "IDLE"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"preset": "nope"}, 400),
        ({"mode": "live"}, 400),
        ({"mode": "dry"}, 422),
        ({"mood": "paper"}, 422),
        ([], 422),
    ],
)
def test_a_bad_start_is_refused(client, keyed, body, status):
    answer = client.post("/api/engine/start", headers=keyed, json=body)
    assert (answer.status_code, answer.json()["status_code"]) == (status, status)
    assert isinstance(answer.json()["detail"], str)


def test_an_emergency_stop_works_without_redis_and_exchange_and_says_what_it_could_not(boot, keyed):
    def prepare(db):
        trades.adopt_position(db, POSITION)
        ledger.send(db, UNANSWERED)

    with boot(prepare=prepare) as client:
        while not client.get("/api/engine/status").json()["openPositions"]:
            time.sleep(0.01)
        body = client.post("/api/engine/emergency-stop", headers=keyed).json()
        assert body["success"] is False
        for symbol in ("BTCUSDT", "ETHUSDT"):  # the second may be held: its buy has no answer
            assert any(f"close {symbol}" in failure for failure in body["failures"])
        assert state(client) == "EMERGENCY"


def test_emergency_survives_a_restart_until_it_is_reset(boot, keyed):
    with boot() as client:
        client.post("/api/engine/emergency-stop", headers=keyed)
    with boot() as client:
        assert state(client) == "EMERGENCY"
        assert client.post("/api/engine/start", headers=keyed).status_code == 409
        assert client.post("/api/engine/reset", headers=keyed).json()["success"] is True
    with boot() as client:
        assert state(client) == "IDLE"


def test_an_open_position_survives_a_restart(boot):
    with boot(prepare=lambda db: trades.adopt_position(db, POSITION)):
        pass
    with boot() as client:
        (seen,) = client.get("/api/positions").json()
        assert (seen["id"], seen["symbol"], seen["entryPrice"]) == ("p1", "BTCUSDT", 100.0)
        assert client.get("/api/trading/positions/p1").json() == seen


@pytest.mark.parametrize("path", ["/api/nope", "/nope", "/api/presets/nope", "/api/engine"])
def test_what_is_not_there_answers_404_as_json(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.json()["status_code"]) == (404, 404)


def test_an_unforeseen_failure_is_a_plain_500_with_cors_and_no_traceback(client, monkeypatch):
    def fail():
        raise RuntimeError("planted secret")

    monkeypatch.setattr(client.app.state.services.engine, "metrics", fail)
    origin = {"Origin": "https://bot.example.org", "X-Request-ID": "r-9"}
    answer = client.get("/api/engine/metrics", headers=origin)
    assert (answer.status_code, answer.json()["status_code"]) == (500, 500)
    assert "planted" not in answer.text
    assert "r-9" in answer.json()["detail"]
    assert answer.headers["Access-Control-Allow-Origin"] == "https://bot.example.org"
    assert (
        "Access-Control-Allow-Origin"
        not in client.get("/api/", headers={"Origin": "https://evil.example"}).headers
    )


def test_the_exchange_being_away_is_503_where_it_is_needed(client):
    for path in ("/api/orders", "/api/charts/candles/BTCUSDT"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["status_code"]) == (503, 503)


def test_a_preset_can_be_made_and_read(client, keyed):
    made = client.put("/api/presets/mine", headers=keyed, json={"lookback": 9})
    assert made.json()["lookback"] == 9
    assert client.get("/api/presets/mine").json() == made.json()
    assert client.put("/api/presets/mine", headers=keyed, json={"lookback": 1}).status_code == 422
    assert client.put("/api/presets/MINE", headers=keyed, json={}).status_code == 422


def test_the_websocket_begins_with_a_heartbeat(client):
    with client.websocket_connect("/ws/") as socket:
        message = socket.receive_json()
        assert message["type"] == "HEARTBEAT"
        assert set(message) == {"type", "ts", "data"}
        assert client.get("/api/metrics/summary").json()["websocketClients"] == 1


def test_metrics_are_named_and_their_labels_do_not_grow_with_what_is_typed(client):
    for name in ("a", "b"):
        client.get(f"/api/presets/{name}")
        client.get(f"/api/nowhere/{name}")
    text = client.get("/api/metrics").text
    names = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line[0] != "#"}
    assert all(name.startswith("breakout_bot_") for name in names)
    assert 'path="/api/presets/{name}",status="404"} 2.0' in text
    assert 'path="unmatched",status="404"} 2.0' in text
    assert 'breakout_bot_engine_state{state="IDLE"} 1.0' in text
    assert 'breakout_bot_build_info{revision="abc",version="1.2.3"} 1.0' in text
    for name in [
        "cycles_total",
        "tick_lag_seconds",
        "market_data_age_seconds",
        "heartbeat_age_seconds",
        "lease_held",
        "liquidating",
        "open_positions",
        "orders_total",
        "daily_r",
        "max_drawdown_r",
        "exchange_errors_total",
        "websocket_clients",
    ]:
        assert f"breakout_bot_{name}" in names


def test_control_is_limited_and_an_emergency_stop_is_not(boot, keyed):
    with boot(control_rate=1.0) as client:
        answers = [client.post("/api/engine/reload", headers=keyed) for _ in range(7)]
        assert [one.status_code for one in answers[:5]] == [200] * 5
        assert answers[-1].status_code == answers[-1].json()["status_code"] == 429
        assert int(answers[-1].headers["Retry-After"]) >= 1
        by_name = {"command": "emergency-stop"}
        assert client.post("/api/engine/command", headers=keyed, json=by_name).status_code == 200
        assert client.post("/api/engine/emergency-stop", headers=keyed).status_code == 200
        assert "breakout_bot_rate_limited_total 2.0" in client.get("/api/metrics").text


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_large_is_refused(client, keyed, announced):
    huge = b"x" * 1_100_000
    content = huge if announced else iter([huge])
    answer = client.put("/api/presets/mine", headers=keyed, content=content)
    assert (answer.status_code, answer.json()["status_code"]) == (413, 413)


def test_a_body_of_another_kind_is_refused(client, keyed):
    for kind in ("text/plain", "application/xml", "multipart/form-data; boundary=x"):
        answer = client.post(
            "/api/engine/start", headers={**keyed, "Content-Type": kind}, content=b"<start/>"
        )
        assert (answer.status_code, answer.json()["status_code"]) == (422, 422)
