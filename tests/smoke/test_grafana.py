"""Grafana: the right datasource, and no default password."""

import base64
from typing import Any

from gate import Evidence, check, expect, probe
from gate.wire import Answer, Wire
from tests.smoke.probes import body_of, ok

OLD_VOLUME = "the data volume is older than the password: Grafana reads it at first start only"


def _basic(user: str, password: str) -> dict[str, str]:
    word = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"authorization": f"Basic {word}"}


@probe("grafana", ("proxy", "grafana"))
async def DATASOURCES(wire: Wire) -> Answer:
    """The datasources, as the administrator sees them."""
    headers = _basic("admin", wire.credentials.grafana_password or "")
    return await wire.http("/grafana/api/datasources", headers=headers)


@probe("grafana", ("proxy", "grafana", "disposable"))
async def DEFAULT_LOGIN(wire: Wire) -> Answer:
    """The administrator's page with the password that Grafana comes with.

    Not on a live target: Grafana counts failed logins, and locks the operator out after some.
    """
    return await wire.http("/grafana/api/org", headers=_basic("admin", "admin"))


@check(
    "grafana",
    cause="provisioning was not read, or names another uid or URL",
    fix="compare compose/grafana/provisioning/datasources; set GATE_GRAFANA_PASSWORD",
    needs=("proxy", "grafana"),
    follows="smoke.routes.serves_grafana",
)
def test_has_its_datasource(seen: Evidence) -> None:
    answer = seen[DATASOURCES]
    expect(answer.status != 401, "status 200", answer.brief, cause=OLD_VOLUME)
    found: list[dict[str, Any]] = body_of(ok(answer))
    ours = [one for one in found if one.get("uid") == "prometheus"]
    expect(ours, "a datasource with uid prometheus", [one.get("uid") for one in found])
    expect("localhost" not in ours[0]["url"], "a URL inside the stack", ours[0]["url"])


@check(
    "grafana",
    cause=OLD_VOLUME,
    fix="`grafana cli admin reset-admin-password`, then sign every session out",
    needs=("proxy", "grafana", "disposable"),
    follows="smoke.routes.serves_grafana",
)
def test_refuses_the_default_password(seen: Evidence) -> None:
    answer = seen[DEFAULT_LOGIN]
    expect(answer.status == 401, "status 401 for admin/admin", answer.brief)
