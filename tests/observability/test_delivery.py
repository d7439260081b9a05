"""Alerts end to end: a real condition reaches the webhook through Prometheus and Alertmanager."""

import pytest

from gate.checks import check, expect
from gate.operator import API, Operator
from tests.observability.conftest import Webhook
from tests.observability.files import NEEDS, prometheus

WHOLE = (*NEEDS, "direct:alertmanager", "direct:exchange")
AWAY = ("smoke.*", "observability.alerts.*", "observability.prometheus.*")
RULES = {
    "Watchdog": "nothing at all: it always fires",
    "EngineEmergency": "an emergency stop",
    "StopUnfinished": "an emergency stop while the market of a position is halted",
    "MarketDataStale": "prices that stand still",
}
FIRED_BY = {rule: "prometheus" if rule == "Watchdog" else API for rule in RULES}
"""Who is to blame where a rule's condition is met and Prometheus does not see it."""
ENDED = "EngineEmergency"
SECONDS = 45.0
"""Until a rule fires: stale after 10 s, held for 15 s; a scrape and an evaluation, 5 s each."""
SENT_SECONDS = 45.0
"""From Prometheus to the webhook: the group waits 5 s, and 10 s after a delivery that failed."""


@pytest.mark.parametrize(("rule", "source"), list(FIRED_BY.items()))
@check(
    "{source}",
    cause="the metric does not tell the condition, or the rule does not see it",
    fix="put the rule's expression to Prometheus, then look at the metric in /api/metrics",
    needs=WHOLE,
    follows=AWAY,
)
def test_fires(operator: Operator, rule: str, source: str) -> None:
    what = f"{rule} to fire in Prometheus after {RULES[rule]}"
    operator.until(
        lambda: _firing(operator), SECONDS, what, lambda names: rule in names, component=source
    )


@pytest.mark.parametrize("rule", list(RULES))
@check(
    "alertmanager",
    cause="Alertmanager has no way out, or Prometheus none to it: alerts end in silence",
    fix="look at Alertmanager's log for `notify`, then at ALERT_WEBHOOK_URL and `alerting:`",
    needs=WHOLE,
    follows=(*AWAY, "observability.delivery.fires[{rule}*"),
)
def test_reaches_the_webhook(webhook: Webhook, rule: str) -> None:
    found = webhook.until(rule, "firing", SENT_SECONDS)
    expect(found["annotations"].get("summary"), f"{rule} with a summary", found["annotations"])


def _firing(operator: Operator) -> list[str]:
    alerts = prometheus(operator, "alerts")["alerts"]
    return [one["labels"]["alertname"] for one in alerts if one["state"] == "firing"]


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
