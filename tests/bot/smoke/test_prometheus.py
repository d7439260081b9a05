"""Prometheus has samples of the bot."""

from gate import Evidence, check, expect, get
from gate.model import model
from tests.smoke.probes import PROMETHEUS_AWAY, prometheus_data

JOB_OF_THE_BOT = model().of_kind("api")[0].job
SAMPLES = get("/prometheus/api/v1/query?query=breakout_bot_build_info", "prometheus")


@check(
    "prometheus",
    cause="the scrape answers 200 with something other than the bot's metrics",
    fix="look at the scrape URL: it must serve breakout_bot_… metrics",
    follows=(f"smoke.prometheus.scrapes[{JOB_OF_THE_BOT}]", *PROMETHEUS_AWAY),
)
def test_has_samples_of_the_bot(seen: Evidence) -> None:
    found = prometheus_data(seen, SAMPLES)["result"]
    expect(found, "a sample of breakout_bot_build_info", "none")
