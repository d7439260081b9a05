"""Alerts end to end: the one that always fires reaches the webhook."""

import pytest

from gate import Operator, check
from tests.observability.companions import DELIVERY_NEEDS, Webhook, expect_delivered, expect_fires

AWAY = ("*smoke.*", "observability.alerts.*", "*observability.prometheus.*")
WATCHDOG = "Watchdog"


@pytest.mark.parametrize(("rule", "source"), [(WATCHDOG, "prometheus")])
@check(
    "{source}",
    cause="the metric does not tell the condition, or the rule does not see it",
    fix="put the rule's expression to Prometheus, then look at the metric in /api/metrics",
    needs=DELIVERY_NEEDS,
    follows=AWAY,
)
def test_fires(operator: Operator, rule: str, source: str) -> None:
    expect_fires(operator, rule, "nothing at all: it always fires", source)


@pytest.mark.parametrize("rule", [WATCHDOG])
@check(
    "alertmanager",
    cause="Alertmanager has no way out, or Prometheus none to it: alerts end in silence",
    fix="look at Alertmanager's log for `notify`, then at ALERT_WEBHOOK_URL and `alerting:`",
    needs=DELIVERY_NEEDS,
    follows=(*AWAY, "*observability.delivery.fires[{rule}*"),
)
def test_reaches_the_webhook(webhook: Webhook, rule: str) -> None:
    expect_delivered(webhook, rule)
