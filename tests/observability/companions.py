"""The webhook that alerts end at, and how an alert is followed to it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from gate import Operator, check, expect
from gate.machine.modes import make_readable
from gate.sweep import companions
from tests.observability.files import NEEDS, prometheus

FILE = Path(__file__).parent.parent / "companions.yaml"
RECEIVER = Path(__file__).with_name("receiver.py")
"""What it mounts."""
LIMIT_SECONDS = 60
PORT = 8080
DELIVERY_NEEDS = (*NEEDS, "direct:alertmanager", "direct:exchange")
FIRES_SECONDS = 45.0
"""Until a rule fires: stale after 10 s, held for 15 s; a scrape and an evaluation, 5 s each."""
SENT_SECONDS = 45.0
"""From Prometheus to the webhook: the group waits 5 s, and 10 s after a delivery that failed."""


AWAY = ("*smoke.*", "observability.alerts.*", "*observability.prometheus.*")
check_fires = check(
    "{source}",
    cause="the metric does not tell the condition, or the rule does not see it",
    fix="put the rule's expression to Prometheus, then look at the metric in /api/metrics",
    needs=DELIVERY_NEEDS,
    follows=AWAY,
)
check_reaches = check(
    "alertmanager",
    cause="Alertmanager has no way out, or Prometheus none to it: alerts end in silence",
    fix="look at Alertmanager's log for `notify`, then at ALERT_WEBHOOK_URL and `alerting:`",
    needs=DELIVERY_NEEDS,
    follows=(*AWAY, "*observability.delivery.fires[{rule}*"),
)


class Services(Protocol):
    """What pytest-docker gives."""

    def port_for(self, service: str, container_port: int) -> int:
        """Return the port on the host."""


@pytest.fixture(scope="session")
def docker_compose_command(operator: Operator) -> str:
    """Compose with a time limit, and with what the companions' file asks for."""
    make_readable(RECEIVER)
    stack = operator.stack
    values = {
        "GATE_RUN_ID": stack.run_id,
        "GATE_STARTED": stack.started,
        "GATE_NETWORK": f"{stack.project}_front",
    }
    words = " ".join(f"{name}={value}" for name, value in values.items())
    return f"env {words} timeout {LIMIT_SECONDS} docker compose --env-file /dev/null"


@pytest.fixture(scope="session")
def docker_compose_file() -> str:
    return str(FILE)


@pytest.fixture(scope="session")
def docker_compose_project_name(operator: Operator) -> str:
    return companions(operator.stack.run_id)


@pytest.fixture(scope="session")
def docker_setup() -> str:
    return "up --detach --no-build --pull never"


@pytest.fixture(scope="session")
def docker_cleanup() -> str:
    return "down --volumes --timeout 2"


@dataclass(frozen=True)
class Webhook:
    """The companion that alerts are delivered to."""

    operator: Operator
    url: str

    def alerts(self) -> list[dict[str, Any]]:
        """Every alert that was delivered so far."""
        posted = self.operator.http(self.url, "webhook").json()
        return [alert for one in posted for alert in one["alerts"]]

    def until(self, name: str, status: str, seconds: float) -> dict[str, Any]:
        """The delivered alert of a rule, waiting for it. Fails the check when it does not come."""

        def look() -> list[dict[str, Any]]:
            return [one for one in self.alerts() if one["labels"]["alertname"] == name]

        def there(found: list[dict[str, Any]]) -> bool:
            return any(one["status"] == status for one in found)

        found = self.operator.until(look, seconds, f"{name} {status} at the webhook", there)
        return next(one for one in found if one["status"] == status)


@pytest.fixture(scope="session")
def webhook(operator: Operator, docker_services: Services) -> Webhook:
    """The webhook, ready."""
    made = Webhook(operator, f"http://127.0.0.1:{docker_services.port_for('webhook', PORT)}/alerts")
    operator.until(made.alerts, 10, "the webhook companion to answer", lambda _: True)
    return made


def expect_fires(operator: Operator, rule: str, condition: str, component: str) -> None:
    """Wait for an alert to fire in Prometheus. Fails the check when it does not."""

    def firing() -> list[str]:
        alerts = prometheus(operator, "alerts")["alerts"]
        return [one["labels"]["alertname"] for one in alerts if one["state"] == "firing"]

    what = f"{rule} to fire in Prometheus after {condition}"
    operator.until(firing, FIRES_SECONDS, what, lambda names: rule in names, component=component)


def expect_delivered(webhook: Webhook, rule: str) -> None:
    """Wait for an alert to reach the webhook. Fails the check when it does not."""
    found = webhook.until(rule, "firing", SENT_SECONDS)
    expect(found["annotations"].get("summary"), f"{rule} with a summary", found["annotations"])
