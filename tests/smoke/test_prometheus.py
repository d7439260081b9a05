"""Prometheus and Alertmanager: everything is scraped, has samples, and alerts have a way out."""

import re
from typing import Any

import pytest

from gate import Evidence, check, expect, fail, get
from gate.model import model
from tests.smoke.probes import PROMETHEUS_AWAY, body_of, ok, prometheus_data

JOBS = [one.job for one in model().services.values() if one.job]
TARGETS = get("/prometheus/api/v1/targets?state=active", "prometheus")
RULES = get("/prometheus/api/v1/rules", "prometheus")
MANAGERS = get("/prometheus/api/v1/alertmanagers", "prometheus")
RECEIVER = get("/api/v2/status", "alertmanager", service="alertmanager")


def target(seen: Evidence, job: str) -> dict[str, Any]:
    found = prometheus_data(seen, TARGETS)["activeTargets"]
    mine = [one for one in found if one["labels"].get("job") == job]
    if not mine:
        jobs = sorted({one["labels"].get("job") for one in found})
        fail(f"a target of the job {job}", f"jobs: {', '.join(jobs)}")
    down = [one for one in mine if one["health"] != "up"]
    return dict((down or mine)[0])


@pytest.mark.parametrize("job", JOBS)
@check(
    "prometheus",
    cause="a wrong path, port or name in prometheus.yml, or the scraped service is away",
    fix="open the scrape URL below; compare compose/prometheus/prometheus.yml",
    follows=(*PROMETHEUS_AWAY, "smoke.reach.answers*[{job}]", "smoke.containers.is_running[{job}]"),
)
def test_scrapes(seen: Evidence, job: str) -> None:
    found = target(seen, job)
    expect(
        found["health"] == "up",
        f"the target {job} up",
        f"{found['health']}: {found['lastError']}",
        f"scrape URL {found['scrapeUrl']}, last scrape {found['lastScrape']}",
    )


@check(
    "prometheus",
    cause="the rule file is missing or not named in rule_files: no error, and no alerts",
    fix="`promtool check config`; look at rule_files and the mount",
    follows=PROMETHEUS_AWAY,
)
def test_has_alert_rules(seen: Evidence) -> None:
    groups = prometheus_data(seen, RULES)["groups"]
    rules = [rule for group in groups for rule in group["rules"] if rule["type"] == "alerting"]
    names = {rule["name"] for rule in rules}
    expect("Watchdog" in names and len(names) > 1, "alert rules with Watchdog", sorted(names))
    broken = [rule["name"] for rule in rules if rule["health"] == "err"]
    expect(not broken, "rules that can be evaluated", f"broken: {broken}")


@check(
    "prometheus",
    cause="`alerting:` in prometheus.yml is missing or names an address that does not resolve",
    fix="compare `alerting:` with the alertmanager service; alerts go nowhere until then",
    follows=PROMETHEUS_AWAY,
)
def test_knows_an_alertmanager(seen: Evidence) -> None:
    active = prometheus_data(seen, MANAGERS)["activeAlertmanagers"]
    expect(active, "an active Alertmanager", "none")


@check(
    "alertmanager",
    cause="ALERT_WEBHOOK_URL is not set: every alert ends at a receiver that tells nobody",
    fix="set ALERT_WEBHOOK_URL in compose/.env and deploy; see `amtool config routes`",
    needs=("stack", "direct:alertmanager"),  # a live one may be without, by its own choice
    follows="smoke.reach.answers*[alertmanager]",
)
def test_alertmanager_has_a_route(seen: Evidence) -> None:
    config = body_of(ok(seen[RECEIVER]))["config"]["original"]
    receiver = re.search(r"^route:\s+receiver: *(\S+)", config, re.MULTILINE)
    named = receiver[1] if receiver else "no receiver"
    expect(receiver and named != "none", "a route to a receiver that tells somebody", named)
