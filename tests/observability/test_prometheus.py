"""Prometheus: runs with the file, sees everything, and its numbers move as the bot does."""

from functools import partial

import pytest
import yaml

from gate import Operator, check, expect
from gate.operator import API
from tests.observability.files import NEEDS, config, contains, counters, prometheus, series

check_prometheus = partial(check, "prometheus", needs=NEEDS)
check_api = partial(check, API, needs=NEEDS)
JOBS = [job["job_name"] for job in config()["scrape_configs"]]
REQUESTS = 20
TEXT_FORMAT = "text/plain; version=0.0.4"


@check_prometheus(
    cause="it runs with another file than the repository's: a hot fix, or a reload that failed",
    fix="`docker compose up -d --force-recreate prometheus`; put hot fixes into prometheus.yml",
)
def test_configuration_is_the_file(operator: Operator) -> None:
    loaded = yaml.safe_load(prometheus(operator, "status/config")["yaml"])
    written = config()
    written["rule_files"] = [f"/etc/prometheus/{name}" for name in written["rule_files"]]
    differences = list(contains(loaded, written))
    expect(not differences, "the configuration of prometheus.yml", "; ".join(differences))


@pytest.mark.parametrize("job", JOBS)
@check_prometheus(
    cause="a wrong path, port or name, or the service serves an empty page of metrics",
    fix="open the scrape URL in Prometheus' list of targets",
    follows=("smoke.prometheus.scrapes[*]", "observability.prometheus.configuration_is_the_file"),
)
def test_has_samples_of(operator: Operator, job: str) -> None:
    found = series(operator, f'scrape_samples_scraped{{job="{job}"}} > 0')
    expect(found, f"samples of {job} in every scrape", "none")


@check_prometheus(
    cause="a reload found a mistake: Prometheus goes on with the old file, in silence",
    fix="`promtool check config /etc/prometheus/prometheus.yml`, mend, reload",
    follows="observability.prometheus.has_samples_of[prometheus]",
)
def test_last_reload_was_good(operator: Operator) -> None:
    found = series(operator, "prometheus_config_last_reload_successful")
    expect(found and found[0]["value"][1] == "1", "a good last reload", found or "no sample")


@check_api(
    cause="another content type makes Prometheus guess the format, and newer ones refuse it",
    fix=f"serve /api/metrics as {TEXT_FORMAT}",
)
def test_metrics_say_their_format(operator: Operator) -> None:
    answer = operator.http("/api/metrics")
    seen = answer.headers.get("content-type", "")
    expect(seen.startswith(TEXT_FORMAT), TEXT_FORMAT, seen or "no content type")


@check_api(
    cause="several processes answer in turn, each with counters of its own, or one is set back",
    fix="run one worker process; a counter only rises until the process ends",
    follows="smoke.version.*",
)
def test_counters_never_fall(operator: Operator) -> None:
    before = counters(operator.http("/api/metrics"))
    expect(before, "counters in /api/metrics", "none")
    for _ in range(5):
        now = counters(operator.http("/api/metrics"))
        fallen = [
            f"{name}: {value} then {now.get(name)}"
            for name, value in before.items()
            if now.get(name, -1.0) < value
        ]
        expect(not fallen, "counters that never fall", fallen[:3])
        before = now


@check_api(
    cause="requests pass the part that counts them by: error rates and times are then wrong",
    fix="look at the order of the middleware: counting has to be outside of all that answers",
)
def test_counts_every_request(operator: Operator) -> None:
    def counted() -> float:
        rows = counters(operator.http("/api/metrics")).items()
        mine = [
            value for name, value in rows if "http_requests_total" in name and "/presets/" in name
        ]
        return sum(mine)

    before = counted()
    operator.together([{"path": "/api/presets/"}] * REQUESTS)
    seen = counted() - before
    expect(seen >= REQUESTS, f"{REQUESTS} more requests counted", f"{seen:g} more")
