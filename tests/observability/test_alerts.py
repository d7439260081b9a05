"""Alert rules: loaded as written, about metrics that exist, and each of them can fire."""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate import Operator, check, expect, fail
from gate.machine.commands import run
from tests.observability.files import (
    COMPOSE,
    NEEDS,
    PROMETHEUS,
    contains,
    metrics_of,
    prometheus,
    rules,
    strange_labels,
)

check_prometheus = partial(check, "prometheus", needs=NEEDS)
TESTS = "/etc/prometheus/rules_test.yml"
PROMTOOL_SECONDS = 30.0
FAILING = re.compile(r'alertname=\\?"(\w+)')
NAMES = [rule["alert"] for rule in rules()]
TESTED = {
    one["name"] for one in yaml.safe_load((PROMETHEUS / Path(TESTS).name).read_text())["tests"]
}
"""Rules that there is a test of: promtool says nothing of the others."""
WEBHOOK = "webhook"


@dataclass(frozen=True)
class Drilled:
    """What `promtool test rules` says of the rules as they are mounted."""

    code: int
    text: str

    @property
    def failing(self) -> set[str]:
        """Rules that did not fire when they should, or fired when they should not."""
        return set(FAILING.findall(self.text))


@pytest.fixture(scope="session")
def drilled(operator: Operator) -> Drilled:
    words = ["docker", "exec", operator.container("prometheus"), "promtool", "test", "rules"]
    done = run([*words, TESTS], PROMTOOL_SECONDS)
    return Drilled(done.code, done.text)


@pytest.mark.parametrize("rule", NAMES)
@check_prometheus(
    cause="the rule asks for another metric, label, threshold or time than it was meant to",
    fix="`promtool test rules` in compose/prometheus; compare rules.yml with rules_test.yml",
)
def test_fires_when_it_should(drilled: Drilled, rule: str) -> None:
    expect(rule in TESTED, f"a test of {rule} in rules_test.yml", f"tests of {sorted(TESTED)}")
    expect(rule not in drilled.failing, f"{rule} to fire in its test", drilled.text[-800:])
    broken = drilled.code != 0 and not drilled.failing
    expect(not broken, "promtool to run the tests of the rules", drilled.text[-800:])


@check_prometheus(
    cause="Prometheus runs with other rules than the repository's: a hot fix, or no reload",
    fix="`docker compose up -d --force-recreate prometheus`; put hot fixes into rules.yml",
    follows="smoke.prometheus.has_alert_rules",
)
def test_rules_are_loaded_as_written(operator: Operator) -> None:
    groups = prometheus(operator, "rules")["groups"]
    loaded = {one["name"]: one for group in groups for one in group["rules"]}
    missing = [name for name in NAMES if name not in loaded]
    expect(not missing, "every rule of rules.yml", f"no {missing}")
    strange = sorted(set(loaded) - set(NAMES))
    expect(not strange, "no rule besides those of rules.yml", strange)
    for rule in rules():
        _same(operator, loaded[rule["alert"]], rule)


def _same(operator: Operator, loaded: dict[str, Any], written: dict[str, Any]) -> None:
    name = written["alert"]
    query = _formatted(operator, written["expr"])
    seen = _formatted(operator, loaded["query"])
    expect(seen == query, f"{name}: {query}", seen)
    seconds = _seconds(str(written.get("for", "0s")))
    expect(loaded["duration"] == seconds, f"{name} for {seconds} s", f"{loaded['duration']} s")
    kept = _seconds(str(written.get("keep_firing_for", "0s")))
    after = loaded.get("keepFiringFor", 0)
    expect(after == kept, f"{name} to go on firing for {kept} s after its end", f"{after} s")
    labels = {key: loaded["labels"].get(key) for key in written["labels"]}
    expect(labels == written["labels"], f"{name}: labels {written['labels']}", loaded["labels"])


def _formatted(operator: Operator, expression: str) -> str:
    """The expression in Prometheus' own form, so that spaces do not count."""
    return str(prometheus(operator, "format_query", query=expression))


def _seconds(duration: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600}
    return float(sum(int(n) * units[unit] for n, unit in re.findall(r"(\d+)([smh])", duration)))


@check_prometheus(
    cause="the bot renamed a metric, or a rule has a typing error: it can never fire",
    fix="compare the names in rules.yml with /api/metrics",
    follows="*smoke.prometheus.*",
)
def test_asks_for_metrics_that_exist(operator: Operator) -> None:
    known = set(prometheus(operator, "label/__name__/values"))
    missing = sorted(metrics_of(rule["expr"] for rule in rules()) - known)
    expect(not missing, "a sample of every metric that a rule names", f"none of {missing}")


@check_prometheus(
    cause="the bot renamed a label, or a rule has a typing error: it can never fire",
    fix="compare the labels in rules.yml with those in /api/metrics",
    follows=("*smoke.prometheus.*", "observability.alerts.asks_for_metrics_that_exist"),
)
def test_asks_for_labels_that_exist(operator: Operator) -> None:
    missing = strange_labels(operator, [rule["expr"] for rule in rules()])
    expect(not missing, "a series of everything that a rule chooses by", f"none of {missing}")


@pytest.mark.parametrize("rule", NAMES)
@check_prometheus(
    cause="a rule was added without saying what it means",
    fix="give it `severity`, `service`, a `summary` and, unless it is the watchdog, an `action`",
    follows="observability.alerts.rules_are_loaded_as_written",
)
def test_says_what_to_do(operator: Operator, rule: str) -> None:
    groups = prometheus(operator, "rules")["groups"]
    found = [one for group in groups for one in group["rules"] if one["name"] == rule]
    if not found:
        fail(f"the rule {rule}", "it is not loaded")
    labels, told = found[0]["labels"], found[0]["annotations"]
    expect({"severity", "service"} <= labels.keys(), "severity and service", labels)
    wanted = {"summary"} | ({"action"} if labels["severity"] != "none" else set())
    expect(wanted <= told.keys(), " and ".join(sorted(wanted)), told)


@check(
    "alertmanager",
    cause="Alertmanager runs with another file, or ALERT_WEBHOOK_URL did not reach it",
    fix="`docker compose logs alertmanager` names its receiver; set ALERT_WEBHOOK_URL",
    needs=(*NEEDS, "direct:alertmanager"),
    follows="*smoke.*",
)
def test_routes_are_those_of_the_file(operator: Operator) -> None:
    loaded = yaml.safe_load(operator.json("/api/v2/status", "alertmanager")["config"]["original"])
    file = COMPOSE / "alertmanager" / "alertmanager.yml"
    written = yaml.safe_load(file.read_text(encoding="utf-8"))
    written["route"]["receiver"] = WEBHOOK  # start.sh puts it there where there is a URL
    differences = list(contains(loaded, written))
    expect(not differences, "the configuration of alertmanager.yml", "; ".join(differences))
