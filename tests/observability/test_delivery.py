"""Alerts end to end: a real condition reaches the webhook through Prometheus and Alertmanager."""

import pytest

from tests.checks import check, expect
from tests.observability.conftest import Webhook
from tests.observability.files import NEEDS, prometheus
from tests.operator import Operator

WHOLE = (*NEEDS, "direct:alertmanager", "direct:exchange")
AWAY = ("smoke.*", "observability.alerts.*", "observability.prometheus.*")
RULES = {
    "Watchdog": "nothing at all: it always fires",
    "EngineEmergency": "an emergency stop",
    "MarketDataStale": "prices that stand still",
}
ENDED = "EngineEmergency"
SECONDS = 45.0
"""Stale after 10 s, held for 15 s; then a scrape, an evaluation and the group's wait, 5 s each."""


@pytest.mark.parametrize("rule", list(RULES))
@check(
    "alertmanager",
    cause="Alertmanager has no way out, or Prometheus none to it: alerts end in silence",
    fix="look at Alertmanager's log for `notify`, then at ALERT_WEBHOOK_URL and `alerting:`",
    needs=WHOLE,
    follows=AWAY,
)
def test_reaches_the_webhook(operator: Operator, webhook: Webhook, rule: str) -> None:
    found = webhook.until(rule, "firing", _limit(operator, rule))
    expect(found["annotations"].get("summary"), f"{rule} with a summary", found["annotations"])


def _limit(operator: Operator, rule: str) -> float:
    """A rule that Prometheus itself does not know to fire is not waited for as long."""
    known = [one["labels"]["alertname"] for one in prometheus(operator, "alerts")["alerts"]]
    return SECONDS if rule in known else SECONDS - 10


@check(
    "alertmanager",
    cause="`send_resolved` is off, or the end of an alert is not evaluated",
    fix="set send_resolved: true in alertmanager.yml, so that the end of trouble is told too",
    needs=WHOLE,
    follows=(*AWAY, "observability.delivery.reaches_the_webhook[*]"),
)
def test_end_of_trouble_is_known(operator: Operator, webhook: Webhook) -> None:
    operator.command("reset")

    def told_last() -> list[str]:
        told = [one["status"] for one in webhook.alerts() if one["labels"]["alertname"] == ENDED]
        return told[-1:]

    what = f"the end of {ENDED} at the webhook after a reset"
    operator.until(told_last, SECONDS, what, lambda status: status == ["resolved"])
