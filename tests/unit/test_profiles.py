"""Which optional services a target has is told by its entry, not by what does not answer."""

import json
from pathlib import Path

import httpx
import pytest

from gate import manifest
from gate import target as targets
from gate.evidence import ENTRY_SAYS, Evidence, get
from gate.schedule import Schedule
from gate.target import behind_proxy
from gate.wire import Answer, WireError
from tests.unit.fakes import events, options, recorder

OF_GRAFANA = get("/grafana/api/health", "grafana", needs=("proxy", "grafana"))


def answer(status: int, body: object) -> Answer:
    text = body if isinstance(body, str) else json.dumps(body)
    return Answer("https://bot.test/x", status, httpx.Headers(), text.encode(), 0.1)


def seen_of(said: object, grafana: object) -> Evidence:
    answers = {ENTRY_SAYS: said, OF_GRAFANA: grafana}
    return Evidence(behind_proxy("https://bot.test"), answers)


AWAY = answer(502, "<html>502 Bad Gateway</html>")


@pytest.mark.parametrize("grafana", [AWAY, answer(504, ""), WireError("GET x: no answer")])
def test_what_was_not_deployed_is_not_looked_for(grafana: object) -> None:
    seen = seen_of(answer(200, {"status": "ok", "profiles": ""}), grafana)
    assert seen.not_deployed.keys() == {"grafana"}
    assert "proxy says that grafana is not among the profiles" in seen.not_deployed["grafana"]


@pytest.mark.parametrize(
    "said",
    [
        answer(200, {"status": "ok", "profiles": "grafana"}),
        answer(200, {"status": "ok", "profiles": "other,grafana"}),
        answer(200, {"status": "ok", "profiles": "unknown"}),
        answer(200, {"status": "ok"}),
        answer(200, {"status": "ok", "profiles": ["grafana"]}),
        answer(200, "ok"),
        answer(502, "<html>"),
        WireError("GET x: no answer"),
    ],
)
def test_what_was_deployed_and_is_away_is_looked_for(said: object) -> None:
    assert seen_of(said, AWAY).not_deployed == {}


@pytest.mark.parametrize("status", [200, 401, 404])
def test_what_answers_is_there_whatever_is_said(status: int) -> None:
    said = answer(200, {"profiles": ""})
    assert seen_of(said, answer(status, {"database": "ok"})).not_deployed == {}


def test_its_checks_are_waived_by_name(tmp_path: Path) -> None:
    seen = seen_of(answer(200, {"profiles": ""}), AWAY)
    target = seen.target.located(seen.target.urls, unavailable=seen.not_deployed)
    told = recorder(tmp_path)
    Schedule(options(tmp_path, target), told, manifest.load()).require(target)
    waived = {one["check"] for one in events(told, "waiver")}
    assert "smoke.routes.serves_grafana" in waived
    assert all("grafana" in check for check in waived)


def test_only_a_target_that_nothing_is_known_of_asks_its_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "HERE", tmp_path)
    (tmp_path / ".env").write_text("SERVER_NAME=bot.test\nCOMPOSE_PROFILES=grafana\n")
    own, other = behind_proxy("https://bot.test"), behind_proxy("https://other.test")
    assert (own.told_by_entry, dict(own.unavailable)) == (False, {})
    assert other.told_by_entry
    assert not targets.localhost().told_by_entry
