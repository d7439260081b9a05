"""Every route through the proxy answers with the right status and the right kind of body."""

import pytest

from gate import Evidence, check, expect, get
from tests.smoke.probes import API, FRONTEND, HEALTH, METRICS, PAGE, body_of, ok

JSON_PATHS = (
    "/api/",
    "/api/openapi.json",
    "/api/engine/status",
    "/api/engine/metrics",
    "/api/engine/commands",
    "/api/trading/positions",
    "/api/trading/orders",
    "/api/positions",
    "/api/orders",
    "/api/presets/",
    "/api/scanner/last",
    "/api/scanner/status",
    "/api/performance/equity",
    "/api/performance/metrics",
    "/api/performance/r-distribution",
    "/api/metrics/summary",
    "/api/metrics/performance",
    "/api/metrics/health",
    "/api/logs",
)
JSON_ROUTES = {path: get(path, API) for path in JSON_PATHS}
DOCS = get("/api/docs", API)
PROMETHEUS = get("/prometheus/-/ready", "prometheus")
PROMETHEUS_QUERY = get("/prometheus/api/v1/query?query=vector(1)", "prometheus")
GRAFANA = get("/grafana/api/health", "grafana", needs=("proxy", "grafana"))
UNKNOWN = get("/api/no-such-route", API)
UNKNOWN_POSITION = get("/api/trading/positions/no-such-position", API)


@pytest.mark.parametrize("path", JSON_PATHS)
@check(
    API,
    cause="the route is missing from this build, or the proxy sends it elsewhere",
    fix="ask the API past the proxy; compare with /api/openapi.json",
    follows=("*smoke.health.is_healthy", "*smoke.health.reaches[*]"),
)
def test_serves_json(seen: Evidence, path: str) -> None:
    body_of(ok(seen[JSON_ROUTES[path]]))


@check(
    FRONTEND,
    cause="the page was not built into the image, or the proxy sends / elsewhere",
    fix="`docker compose logs breakout-bot-frontend`; look at / on port 3000",
)
def test_serves_the_page(seen: Evidence) -> None:
    answer = ok(seen[PAGE])
    expect(answer.content_type == "text/html", "text/html", answer.content_type)


@check(
    API,
    cause="the documentation is switched off or has a wrong prefix behind the proxy",
    fix="serve it at /api/docs with the specification at /api/openapi.json",
)
def test_serves_its_documentation(seen: Evidence) -> None:
    answer = ok(seen[DOCS])
    expect(answer.content_type == "text/html", "text/html", answer.content_type)
    expect("/api/openapi.json" in answer.text, "a page that loads /api/openapi.json", answer.brief)


@check(
    API,
    cause="the route answers the page or JSON in place of Prometheus text",
    fix="look at /api/metrics on port 8000",
    follows="*smoke.health.is_healthy",
)
def test_serves_metrics_as_prometheus_text(seen: Evidence) -> None:
    answer = ok(seen[METRICS])
    kinds = ("text/plain", "application/openmetrics-text")
    expect(answer.content_type in kinds, " or ".join(kinds), answer.content_type)
    expect("# TYPE breakout_bot_" in answer.text, "metrics named breakout_bot_…", answer.brief)


@check(
    API,
    cause="a catch-all of the page answers for the API (a wrong path then looks fine)",
    fix="let the proxy send all of /api to the API, and the API answer 404 as JSON",
)
@pytest.mark.parametrize("where", ["a route", "a position"])
def test_says_404_in_json_for_what_is_not_there(seen: Evidence, where: str) -> None:
    answer = ok(seen[UNKNOWN if where == "a route" else UNKNOWN_POSITION], 404)
    body = body_of(answer)
    right = isinstance(body, dict) and body.get("status_code") == 404 and "detail" in body
    expect(right, 'a body with "detail" and "status_code": 404', answer.brief)


@check(
    API,
    cause="debug mode is on, or an exception handler shows too much",
    fix="switch debug off; log the traceback, answer with `detail` only",
)
def test_shows_no_traceback(seen: Evidence) -> None:
    for answer in (seen[UNKNOWN], seen[UNKNOWN_POSITION], seen[HEALTH]):
        leaks = [word for word in ("Traceback", 'File "/') if word in answer.text]
        expect(not leaks, "no traceback in any body", answer.brief, answer.url)


@pytest.mark.parametrize("path", ["/prometheus/-/ready", "/prometheus/api/v1/query"])
@check(
    "prometheus",
    cause="the proxy has no route for it, strips the wrong prefix, or Prometheus is away",
    fix="look at port 9090 directly, then at `location /prometheus/` of the proxy",
    follows="smoke.reach.answers*[prometheus]",
)
def test_serves_prometheus(seen: Evidence, path: str) -> None:
    if path.endswith("query"):
        return expect(body_of(ok(seen[PROMETHEUS_QUERY]))["status"] == "success", "success", path)
    # The proxy may keep Prometheus' own management paths to itself.
    answer = seen[PROMETHEUS]
    return expect(answer.status in (200, 403), "200, or 403 from the proxy", answer.brief)


@check(
    "grafana",
    cause="Grafana is away or does not know that it is served under /grafana",
    fix="look at port 3001; set GF_SERVER_ROOT_URL and GF_SERVER_SERVE_FROM_SUB_PATH",
    needs=("proxy", "grafana"),
)
def test_serves_grafana(seen: Evidence) -> None:
    body = body_of(ok(seen[GRAFANA]))
    expect(body.get("database") == "ok", '"database": "ok"', body)
