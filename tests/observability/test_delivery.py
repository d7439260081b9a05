"""Alerts end to end: the one that always fires reaches the webhook."""

import pytest

from gate import Operator
from tests.observability.companions import (
    Webhook,
    check_fires,
    check_reaches,
    expect_delivered,
    expect_fires,
)

WATCHDOG = "Watchdog"


@pytest.mark.parametrize(("rule", "source"), [(WATCHDOG, "prometheus")])
@check_fires
def test_fires(operator: Operator, rule: str, source: str) -> None:
    expect_fires(operator, rule, "nothing at all: it always fires", source)


@pytest.mark.parametrize("rule", [WATCHDOG])
@check_reaches
def test_reaches_the_webhook(webhook: Webhook, rule: str) -> None:
    expect_delivered(webhook, rule)
