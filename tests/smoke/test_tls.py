"""TLS at the proxy: what a strict client sees."""

import ssl
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from gate import Evidence, check, expect, fail, probe
from gate.wire import Answer, Certificate, Wire, WireError, in_days, least_left
from tests.smoke.probes import PAGE

OLD_VERSIONS = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1}
AWAY = ("smoke.containers.is_running[proxy]", "smoke.stack.starts[*]", "smoke.stack.is_prepared[*]")
REACHED = ("smoke.tls.can_be_reached", *AWAY)
NAMES_MATCH = ("Hostname mismatch", "IP address mismatch")


@probe("proxy")
async def CERTIFICATE(wire: Wire) -> Certificate:
    """The certificate as served."""
    return await wire.certificate()


@probe("proxy")
async def OLD_TLS(wire: Wire) -> list[str]:
    """Old versions of TLS that the proxy still speaks."""
    return [name for name, v in OLD_VERSIONS.items() if await wire.accepts_tls(v)]


@probe("proxy")
async def PLAIN(wire: Wire) -> Answer:
    """A request to the plain http port."""
    if wire.target.plain_http is None:
        raise WireError("the plain http port is not published")
    return await wire.http(wire.target.plain_http + "/positions?from=gate")


@check(
    "proxy",
    cause="the proxy is down, its port is closed, or the name leads to another host",
    fix="`docker compose ps proxy` in compose/ on its host; then DNS and the firewall",
    follows=AWAY,
)
def test_can_be_reached(seen: Evidence) -> None:
    error = seen.error(CERTIFICATE)
    expect(error is None, "a TLS connection", error)


@check(
    "proxy",
    cause="it expired, is for another name, or its CA is not the one given (--ca-file)",
    fix="look at the served certificate with `openssl s_client -connect HOST:443 -servername HOST`",
    follows=("smoke.tls.certificate_is_for_this_name", "smoke.tls.certificate_lasts", *REACHED),
)
def test_certificate_is_trusted(seen: Evidence) -> None:
    found = seen[CERTIFICATE]
    expect(found.trusted, "a certificate that verifies", found.problem, _described(found))


@check(
    "proxy",
    cause="the certificate of another host was installed, or SERVER_NAME changed after it was made",
    fix="install a certificate for this name in compose/tls, then `docker compose restart proxy`",
    follows=REACHED,
)
def test_certificate_is_for_this_name(seen: Evidence) -> None:
    found = seen[CERTIFICATE]
    wrong = (found.problem or "").startswith(NAMES_MATCH)
    host = urlsplit(seen.target.url).hostname
    expect(not wrong, f"a certificate for {host}", f"one for {', '.join(found.names) or 'no name'}")


@check(
    "proxy",
    cause="renewal failed, or the renewed certificate was not loaded",
    fix="renew it and reload the proxy; compare the file in compose/tls with the one served",
    follows=REACHED,
)
def test_certificate_lasts(seen: Evidence) -> None:
    found = seen[CERTIFICATE]
    begins, ends = found.not_before, found.not_after
    if begins is None or ends is None:
        fail("a certificate that says until when", "one that does not")
    left, least = ends - datetime.now(UTC), least_left(begins, ends)
    expect(
        left > least,
        f"more than {in_days(least)} left",
        f"{in_days(left)} of {in_days(ends - begins)}, until {ends}",
    )


def _described(found: Certificate) -> str:
    return f"names: {', '.join(found.names)}; until {found.not_after}; {found.protocol}"


@check(
    "proxy",
    cause="ssl_protocols allows versions with known attacks",
    fix="`ssl_protocols TLSv1.2 TLSv1.3;` in the proxy's configuration",
    follows=("smoke.reach.answers[proxy]", *REACHED),
)
def test_old_versions_are_refused(seen: Evidence) -> None:
    spoken = seen[OLD_TLS]
    expect(not spoken, "TLS 1.2 or newer only", f"also TLS {', '.join(spoken)}")


@check(
    "proxy",
    cause="port 80 is closed, or serves the site itself",
    fix="redirect everything on port 80 to https with 308",
    follows=REACHED,
)
def test_plain_http_is_redirected(seen: Evidence) -> None:
    answer = seen[PLAIN]
    to = answer.headers.get("location", "")
    right = answer.status in (301, 308) and to.startswith("https://")
    expect(right, "301 or 308 to https", f"{answer.status} {to}")
    expect(to.endswith("/positions?from=gate"), "the same path after the redirect", to)


@pytest.mark.parametrize("days", [180])
@check(
    "proxy",
    cause="the header is missing, short, or set in one location only",
    fix="add_header Strict-Transport-Security with `always` at server level",
    follows="smoke.reach.answers*",
)
def test_browsers_are_told_to_stay_on_https(seen: Evidence, days: int) -> None:
    header = seen[PAGE].headers.get("strict-transport-security", "")
    age = next((p.partition("=")[2] for p in header.split(";") if "max-age" in p), "0").strip()
    long_enough = age.isdigit() and int(age) >= days * 86400
    expect(long_enough, f"Strict-Transport-Security for {days} days", header or "no such header")
