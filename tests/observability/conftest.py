"""Companions of this stage, and the conditions that its alerts are about."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from gate.checks import CheckFailed
from gate.operator import BOT, Operator
from gate.sweep import companions
from gate.wire import WireError

FILE = Path(__file__).parent.parent / "companions.yaml"
LIMIT_SECONDS = 60
PORT = 8080
HALTED = "ADAUSDT"
CLOSED_SECONDS = 10.0
"""For what a stop has left, once its market is traded again; the engine tries every second."""


class Services(Protocol):
    """What pytest-docker gives."""

    def port_for(self, service: str, container_port: int) -> int:
        """Return the port on the host."""


@pytest.fixture(scope="session")
def docker_compose_command(operator: Operator) -> str:
    """Compose with a time limit, and with what the companions' file asks for."""
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


def _hold(operator: Operator, symbol: str) -> None:
    """Let the bot have a position: bought past it, under a token newer than any."""
    now = int(time.time() * 1000)
    order = {
        "client_id": BOT,
        "client_order_id": f"observability-{now}",
        "symbol": symbol,
        "side": "buy",
        "quantity": 100,
        "fencing_token": now,
    }
    operator.http("/orders", "exchange", "POST", json=order)


@pytest.fixture(scope="package", autouse=True)
def conditions(operator: Operator, webhook: Webhook) -> Iterator[None]:
    """Real conditions that alerts are about, begun first so that they ripen while others look.

    What a broken stack does not do is told by the checks that wait for the alerts. The next stage
    finds a market that moves, and an engine with nothing left to close.
    """
    assert webhook is not None
    with suppress(WireError):
        _hold(operator, HALTED)
        drills = {"freeze_feed": True, "halted": [HALTED]}
        operator.http("/drills", "exchange", "PUT", json=drills)
        operator.command("emergency-stop")
    yield
    with suppress(WireError, CheckFailed):
        operator.http("/drills", "exchange", "DELETE")
        operator.command("reset")
        operator.until(
            operator.status, CLOSED_SECONDS, "all closed", lambda it: not it.get("liquidating")
        )
