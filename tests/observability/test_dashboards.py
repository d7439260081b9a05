"""Dashboards: provisioned, and every panel of theirs shows something."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import yaml

from gate import Operator, check, expect, fail
from tests.observability.files import COMPOSE, NEEDS, mounted, series, strange_labels

check_grafana = partial(check, "grafana", needs=NEEDS)
FOLDER = "/etc/grafana/dashboards"
PROVISIONING = "/etc/grafana/provisioning"
NAMES = sorted(path.stem for path in (COMPOSE / "grafana" / "dashboards").glob("*.json"))
FIRST_SECONDS = 30.0
"""A rate needs two scrapes of a metric, and some count what happened a moment ago."""
RUNNING = (*NEEDS, "grafana")


@pytest.fixture(scope="session")
def files(operator: Operator) -> dict[str, str]:
    """What Grafana is provisioned with: as compose mounts it, whether Grafana runs or not."""
    return mounted(operator, "grafana", "/etc/grafana")


def datasources(files: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path, text in files.items():
        if path.startswith(f"{PROVISIONING}/datasources/"):
            found += _parsed(yaml.safe_load, path, text).get("datasources") or []
    return found


def dashboard(files: dict[str, str], name: str) -> dict[str, Any]:
    path = f"{FOLDER}/{name}.json"
    if path not in files:
        fail(f"the dashboard {path}", f"files: {sorted(files)}")
    return dict(_parsed(json.loads, path, files[path]))


def _parsed(parse: Any, path: str, text: str) -> Any:
    try:
        return parse(text)
    except (ValueError, yaml.YAMLError) as error:
        fail(f"{path} to be readable", error)


def queries(board: dict[str, Any]) -> Iterator[tuple[str, str, str | None]]:
    """(panel, expression, uid of its datasource) of every query."""
    for panel in board.get("panels", []):
        for target in panel.get("targets", []):
            source = target.get("datasource") or panel.get("datasource") or {}
            yield panel["title"], target["expr"], source.get("uid")


@check_grafana(
    cause="the datasource's file was changed: another uid, or `localhost`, which is Grafana itself",
    fix="compose/grafana/provisioning/datasources: uid prometheus, http://prometheus:9090",
)
def test_datasource_is_provisioned(files: dict[str, str]) -> None:
    found = {one.get("uid"): one for one in datasources(files)}
    expect("prometheus" in found, "a datasource with uid prometheus", sorted(found, key=str))
    seen = found["prometheus"].get("url")
    expect(seen == "http://prometheus:9090", "http://prometheus:9090", seen)


@check_grafana(
    cause="the provider's file is missing or looks into another folder",
    fix=f"compose/grafana/provisioning/dashboards: a file provider with path {FOLDER}",
)
def test_dashboards_are_provisioned(files: dict[str, str]) -> None:
    texts = [text for path, text in files.items() if path.startswith(f"{PROVISIONING}/dashboards/")]
    providers = [one for text in texts for one in (yaml.safe_load(text).get("providers") or [])]
    paths = [one.get("options", {}).get("path") for one in providers]
    expect(FOLDER in paths, f"a provider that reads {FOLDER}", paths)


@pytest.mark.parametrize("name", NAMES)
@check_grafana(
    cause="a panel names a datasource that is not there, or two boards share a uid",
    fix="set the datasource's uid in every panel to prometheus; give each board its own uid",
    follows="observability.dashboards.datasource_is_provisioned",
)
def test_panels_have_a_datasource(files: dict[str, str], name: str) -> None:
    board = dashboard(files, name)
    uids = {one.get("uid") for one in datasources(files)}
    strange = [panel for panel, _, uid in queries(board) if uid not in uids]
    expect(not strange, f"panels of the datasources {sorted(uids, key=str)}", f"others: {strange}")
    expect(list(queries(board)), "a dashboard with queries", "none")
    same = [one for one in NAMES if dashboard(files, one).get("uid") == board.get("uid")]
    expect(same == [name], f"a uid of its own for {name}", same)


@pytest.mark.parametrize("name", NAMES)
@check(
    "prometheus",
    cause="a metric or label was renamed, or is not scraped: the panel says `No data`",
    fix="run the query below in Prometheus; compare its names with /api/metrics",
    needs=NEEDS,
    follows=("*smoke.*", "observability.alerts.asks_for_metrics_that_exist"),
)
def test_every_panel_shows_something(operator: Operator, files: dict[str, str], name: str) -> None:
    for panel, expression, _ in queries(dashboard(files, name)):
        what = f"a series for the panel {panel!r}: {expression}"
        operator.until(partial(series, operator, expression), FIRST_SECONDS, what)
    asked = [expression for _, expression, _ in queries(dashboard(files, name))]
    missing = strange_labels(operator, asked)
    expect(not missing, "a series of everything that a panel groups by", f"none of {missing}")


@check_grafana(
    cause="Grafana cannot reach Prometheus: a wrong URL in its datasource, or another network",
    fix="ask /grafana/api/datasources/uid/prometheus/health as admin",
    needs=RUNNING,
    follows="smoke.routes.serves_grafana",
)
def test_grafana_reaches_prometheus(operator: Operator) -> None:
    password = operator.credentials.grafana_password or ""
    path = "/grafana/api/datasources/uid/prometheus/health"
    answer = operator.http(path, auth=("admin", password))
    expect(answer.status == 200, "the datasource's health to answer 200", answer.brief)
    expect(answer.json().get("status") == "OK", "status OK", answer.brief)


@pytest.mark.parametrize("name", NAMES)
@check_grafana(
    cause="Grafana has refused the dashboard's file, or did not see it",
    fix="`docker compose logs grafana | grep provisioning`",
    needs=RUNNING,
    follows="smoke.routes.serves_grafana",
)
def test_grafana_has_the_dashboard(operator: Operator, name: str) -> None:
    password = operator.credentials.grafana_password or ""
    answer = operator.http(f"/grafana/api/dashboards/uid/{name}", auth=("admin", password))
    expect(answer.status == 200, f"the dashboard {name}", answer.brief)
