"""Three small runs for the tests of the report writers: promoted, held and undecided."""

from __future__ import annotations

from typing import Any

from reports.events import Event, from_json

REQUIRED = ["smoke.redis.ping", "smoke.health.ok", "smoke.grafana.login"]
HOSTILE = "<script>alert(1)</script> | `tick` \x1b[31mred\x1b[0m \x00 ]]> & **bold**"


def event(kind: str, **fields: Any) -> Event:
    """An event as a line that holds no more than these fields."""
    made = from_json({"kind": kind, "t": 0.5} | fields)
    assert made is not None
    return made


def check(name: str, component: str, outcome: str = "passed", **fields: Any) -> Event:
    stage = name.split(".")[0]
    told = {"title": f"{component} does what {name} promises", "seconds": 0.012, **fields}
    return event("check", check=name, stage=stage, component=component, outcome=outcome, **told)


START = [
    event(
        "run_started",
        run_id="20260203-r1",
        at="2026-02-03T03:04:05+00:00",
        target={"name": "bot.example.org", "kind": "live", "url": "https://bot.example.org"},
        expected={"version": "1.4.2", "revision": "9f1c2ab77e01"},
        asked=["smoke", "control"],
        not_asked=["load"],
        stages=["smoke", "control", "ui", "load"],
        command="pytest -m 'smoke or control'",
    ),
    event("required", stage="smoke", checks=REQUIRED),
    event("required", stage="control", checks=["control.pause.holds"]),
    event("waiver", check="smoke.grafana.login", reason="no registry answers here"),
    event("component", name="redis", version="8.0.2", state="running", source="debian-trixie"),
    event("component", name="breakout-bot-api", version="1.4.2", revision="9f1c2ab77e01aa"),
    event("phase", name="evidence", started=0.1, seconds=0.3),
    *(
        event(
            "request",
            method="GET",
            url=f"https://bot.example.org/api/{path}",
            service="breakout-bot-api",
            status=status,
            started=0.1,
            seconds=0.02,
            error=None,
            mutation=False,
        )
        for path, status in (("health", 200), ("engine/status", 503))
    ),
]
GRAFANA = check("smoke.grafana.login", "grafana", "not_run", reason="no registry answers here")
END = event("run_finished", pytest_exit=0, seconds=0.734)

PROMOTE = [
    *START,
    check("smoke.redis.ping", "redis"),
    check("smoke.health.ok", "breakout-bot-api"),
    GRAFANA,
    check("control.pause.holds", "breakout-bot-api"),
    END,
]
HOLD = [
    *START,
    check(
        "smoke.redis.ping",
        "redis",
        "failed",
        finding={
            "expected": "PONG within 1 s",
            "seen": f"connection refused {HOSTILE}",
            "likely_cause": "the container was stopped",
            "next_step": "docker compose -p breakout-bot start redis",
            "evidence": ["exit code 137", f"logs/redis.log says ```{HOSTILE}```"],
            "machine": "processes waited for a core 90% of the time",
        },
    ),
    check("smoke.health.ok", "breakout-bot-api", "failed", follows=["smoke.redis.*"]),
    GRAFANA,
    check("control.pause.holds", "breakout-bot-api", "not_run", reason="smoke failed"),
    event("load", p99_ms=48.2, trend={"p99_ms": [44.1, 48.2]}),
    event(
        "machine",
        seconds=10.2,
        cores=2,
        waited_for_a_core=0.9,
        waited_for_memory=0.0,
        waited_for_the_disk=None,
        stolen=0.02,
        load=5.5,
        memory_available=0.8,
        shortage="processes waited for a core 90% of the time",
    ),
    event("run_finished", pytest_exit=1, seconds=0.734),
]
UNDECIDED = [
    *START,
    check("smoke.redis.ping", "redis"),
    check("smoke.health.ok", "breakout-bot-api", "error", reason="KeyError: 'status'"),
    event(
        "trouble",
        message="Docker stopped answering.",
        expected="an answer within 10 s",
        seen="none",
        next_step="see `systemctl status docker`",
    ),
]
SAMPLES = {"promote": PROMOTE, "hold": HOLD, "undecided": UNDECIDED}
