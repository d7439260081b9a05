"""Alerts end to end: a real condition reaches the webhook through Prometheus and Alertmanager."""

import pytest

from gate import Operator, check
from gate.operator import API
from tests.bot.api import Engine
from tests.observability.companions import (
    AWAY,
    DELIVERY_NEEDS,
    FIRES_SECONDS,
    Webhook,
    check_fires,
    check_reaches,
    expect_delivered,
    expect_fires,
)

RULES = {
    "EngineEmergency": "an emergency stop",
    "StopUnfinished": "an emergency stop while the market of a position is halted",
    "MarketDataStale": "prices that stand still",
}
ENDED = "EngineEmergency"


@pytest.mark.parametrize(("rule", "source"), [(rule, API) for rule in RULES])
@check_fires
def test_fires(operator: Operator, rule: str, source: str) -> None:
    expect_fires(operator, rule, RULES[rule], source)


@pytest.mark.parametrize("rule", list(RULES))
@check_reaches
def test_reaches_the_webhook(webhook: Webhook, rule: str) -> None:
    expect_delivered(webhook, rule)


@check(
    "alertmanager",
    cause="`send_resolved` is off, or the end of an alert is not evaluated",
    fix="set send_resolved: true in alertmanager.yml, so that the end of trouble is told too",
    needs=DELIVERY_NEEDS,
    follows=(*AWAY, "*observability.delivery.reaches_the_webhook[*]"),
)
def test_end_of_trouble_is_known(operator: Operator, webhook: Webhook) -> None:
    Engine(operator).command("reset")

    def told_last() -> list[str]:
        told = [one["status"] for one in webhook.alerts() if one["labels"]["alertname"] == ENDED]
        return told[-1:]

    what = f"the end of {ENDED} at the webhook after a reset"
    operator.until(told_last, FIRES_SECONDS, what, lambda status: status == ["resolved"])
