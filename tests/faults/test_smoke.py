"""Each fault of a deployment turns the gate to HOLD, with one finding that names the component."""

import re
import time
from pathlib import Path

import pytest

from tests.faults.plant import LIMIT, Outcome, Planted, gate

COMPOSE = Path(__file__).parent.parent.parent / "compose"


def held(outcome: Outcome, component: str, check: str) -> None:
    """HOLD, and the one finding is this."""
    assert outcome.code == 1, outcome.output
    assert outcome.verdict["verdict"] == "HOLD"
    assert outcome.roots == [(component, check)], outcome.output
    finding = outcome.verdict["findings"][0]
    assert finding["likely_cause"]
    assert finding["next_step"]


def test_a_healthy_stack_is_promoted_and_only_looked_at(planted: Planted) -> None:
    before = len(planted.logs("proxy").splitlines())
    outcome = planted.judge()
    assert outcome.code == 0, outcome.output
    assert outcome.verdict["verdict"] == "PROMOTE"
    assert outcome.verdict["mutations"] == []
    requests = planted.logs("proxy").splitlines()[before:]
    methods = {found[1] for line in requests if (found := re.search(r'"method":"(\w+)"', line))}
    assert methods == {"GET", "OPTIONS"}


def test_redis_stopped(planted: Planted) -> None:
    redis = planted.container("redis")
    with planted.docker(["stop", "-t", "2", redis], ["start", redis]):
        held(planted.judge(), "redis", "smoke.containers.is_running[redis]")


def test_redis_paused(planted: Planted) -> None:
    redis = planted.container("redis")
    with planted.docker(["pause", redis], ["unpause", redis]):
        held(planted.judge(), "redis", "smoke.containers.is_running[redis]")


def test_older_revision_of_the_api(planted: Planted) -> None:
    override = "services: {breakout-bot-api: {environment: {BOT_REVISION: 0ddba11}}}"
    with planted.override("breakout-bot-api", override):
        ready(planted)
        outcome = planted.judge("--expect-revision", planted.stack.release.revision)
        check = "smoke.version.runs_the_expected[breakout-bot-api-revision]"
        held(outcome, "breakout-bot-api", check)


def test_prometheus_scrapes_a_wrong_path(planted: Planted) -> None:
    folder = planted.folder / "prometheus"
    folder.mkdir()
    for path in (COMPOSE / "prometheus").iterdir():
        text = path.read_text(encoding="utf-8").replace("/api/metrics", "/api/metric")
        (folder / path.name).write_text(text, encoding="utf-8")
    override = f'services: {{prometheus: {{volumes: ["{folder}:/etc/prometheus:ro"]}}}}'
    folder.chmod(0o755)
    planted.folder.chmod(0o755)
    with planted.override("prometheus", override):
        ready(planted)
        held(planted.judge(), "prometheus", "smoke.prometheus.scrapes[breakout-bot-api]")


def test_asset_of_the_page_missing(planted: Planted) -> None:
    override = "services: {breakout-bot-frontend: {tmpfs: [/tmp, /srv/page/assets]}}"
    with planted.override("breakout-bot-frontend", override):
        ready(planted)
        outcome = planted.judge()
        held(outcome, "breakout-bot-frontend", "smoke.frontend.every_asset_is_there")


def test_certificate_that_ends_in_three_days(planted: Planted) -> None:
    with planted.certificate(3, "localhost"):
        held(planted.judge(), "proxy", "smoke.tls.certificate_lasts")


def test_certificate_for_another_name(planted: Planted) -> None:
    with planted.certificate(90, "other.example"):
        held(planted.judge(), "proxy", "smoke.tls.certificate_is_for_this_name")


def test_proxy_without_upgrade_headers(planted: Planted) -> None:
    text = (COMPOSE / "proxy" / "nginx.conf").read_text(encoding="utf-8")
    path = planted.folder / "nginx.conf"
    path.write_text(
        re.sub(r"proxy_set_header (Upgrade|Connection) .*\n", "", text), encoding="utf-8"
    )
    planted.folder.chmod(0o755)
    override = f'services: {{proxy: {{volumes: ["{path}:/etc/nginx/nginx.conf:ro"]}}}}'
    with planted.override("proxy", override):
        ready(planted)
        held(planted.judge(), "proxy", "smoke.websocket.upgrades_through_the_proxy")


def test_exchange_unreachable(planted: Planted) -> None:
    network = f"{planted.stack.project}_back"
    exchange = planted.container("exchange")
    leave = ["network", "disconnect", network, exchange]
    with planted.docker(leave, ["network", "connect", "--alias", "exchange", network, exchange]):
        outcome = planted.judge()
        assert outcome.code == 1, outcome.output
        assert {component for component, _ in outcome.roots} == {"exchange"}, outcome.output


def test_health_check_that_cannot_fail(planted: Planted) -> None:
    override = 'services: {alertmanager: {healthcheck: {test: ["CMD", "true"]}}}'
    with planted.override("alertmanager", override):
        ready(planted)
        outcome = planted.judge()
        held(outcome, "alertmanager", "smoke.containers.health_check_can_fail[alertmanager]")


def ready(planted: Planted) -> None:
    """Wait until the changed service has been looked at by Docker and Prometheus."""
    target = planted.stack.target()
    planted.stack.ready(target, LIMIT)
    planted.stack.settle(target)


@pytest.mark.parametrize(
    ("service", "change", "check"),
    [
        (
            "breakout-bot-api",
            'environment: {API_KEY: ""}',
            "smoke.stack.starts[breakout-bot-api]",
        ),
        (
            "redis",
            'healthcheck: {test: ["CMD-SHELL", "redis-cli ping | cat"]}',
            "smoke.containers.health_check_can_fail[redis]",
        ),
    ],
)
def test_a_stack_of_its_own(tmp_path: Path, service: str, change: str, check: str) -> None:
    path = tmp_path / "fault.yaml"
    path.write_text(f"services: {{{service}: {{{change}}}}}", encoding="utf-8")
    started = time.monotonic()
    outcome = gate("-m", "smoke", f"--compose-file={path}", folder=tmp_path)
    held(outcome, service, check)
    assert time.monotonic() - started < LIMIT
    if "API_KEY" in change:
        assert "API_KEY" in str(outcome.verdict["findings"][0]["evidence"])
