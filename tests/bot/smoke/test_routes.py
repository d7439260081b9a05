"""Services of the bot answer by their own names too."""

from urllib.parse import urlsplit

import pytest

from gate import Evidence, Probe, check, expect, probe
from gate.wire import Answer, Wire
from tests.smoke.probes import API


def by_sub_domain(label: str, path: str, component: str) -> Probe[Answer]:
    """A probe of a service by its own name, over the connection that the other probes use."""

    @probe(component, ("proxy", "project", component))
    async def ask(wire: Wire) -> Answer:
        name = urlsplit(wire.base("proxy")).netloc
        return await wire.http(path, headers={"Host": f"{label}.{name}"})

    return ask


SUB_DOMAINS = {
    API: by_sub_domain("api", "/health", API),
    "prometheus": by_sub_domain("prometheus", "/api/v1/query?query=vector(1)", "prometheus"),
    "grafana": by_sub_domain("grafana", "/api/health", "grafana"),
}


OWN_WORDS = {API: "engine_initialized", "prometheus": "resultType", "grafana": "database"}
"""What is only in the answer of the right service."""


@pytest.mark.parametrize("component", list(SUB_DOMAINS))
@check(
    "proxy",
    cause="the name is not among those that the proxy knows, or leads to another service",
    fix="look at `map $host $door` in compose/proxy/nginx.conf, and ask by path for comparison",
    needs=("proxy", "project", "{component}"),  # what stands before a far proxy may drop names
    follows=("smoke.reach.answers*[{component}]", "smoke.routes.serves_*"),
)
def test_answers_by_sub_domain(seen: Evidence, component: str) -> None:
    answer = seen[SUB_DOMAINS[component]]
    expect(f'"{OWN_WORDS[component]}"' in answer.text, f"an answer of {component}", answer.brief)
