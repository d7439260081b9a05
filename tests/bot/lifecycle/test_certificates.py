"""A certificate of an ACME authority is obtained, served and renewed, for real, with pebble."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from compose.machine import acme
from gate import Operator, check, expect
from gate.machine.commands import run, run_checked
from gate.sweep import companions
from tests.bot.lifecycle import pages

PAGE = "public-certificate"
NAMES = "bot.example.test,api.bot.example.test"
FILE = Path(__file__).parents[2] / "companions.yaml"
LIMIT = 30.0
ROOT_OF_TRUST = (
    "import urllib.request as u; print(u.urlopen('https://acme:15000/roots/0').read().decode())"
)


@dataclass(frozen=True)
class Authority:
    """The companion that gives certificates out."""

    directory: str
    root: str
    """The certificate that clients have to trust, PEM."""


@pytest.fixture
def authority(operator: Operator) -> Iterator[Authority]:
    """An ACME server beside the run's stack, to which the names lead to its proxy."""
    stack = operator.stack
    address = operator.docker(
        "inspect",
        "--format",
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        operator.container("proxy"),
    )
    values = {
        "GATE_RUN_ID": stack.run_id,
        "GATE_STARTED": stack.started,
        "GATE_NETWORK": f"{stack.project}_front",
        "GATE_ACME_IMAGE": acme.image(),
        "GATE_PROXY_ADDRESS": address.strip(),
    }
    head = ["docker", "compose", "-p", companions(stack.run_id), "--env-file", "/dev/null"]
    head += ["-f", str(FILE), "--profile", "acme"]
    up = ["up", "--detach", "--no-build", "--pull", "never", "acme"]
    try:
        run_checked("start pebble", [*head, *up], LIMIT, env=values)
        root = operator.until(lambda: _root(stack.run_id), 15, "pebble to answer")
        yield Authority("https://acme:14000/dir", root)
    finally:
        run([*head, "rm", "--stop", "--force", "acme"], LIMIT, env=values)


def _root(run_id: str) -> str:
    container = f"{companions(run_id)}-acme-1"
    done = run(["docker", "exec", container, "/usr/bin/python3", "-c", ROOT_OF_TRUST], LIMIT)
    return done.out if done.ok else ""


@pytest.fixture
def own_again(operator: Operator) -> Iterator[None]:
    """The checks after this one find the stack with its own certificate."""
    yield
    certs = operator.container("certs")
    image = operator.docker("inspect", "--format", "{{.Config.Image}}", certs).strip()
    script = "rm -rf /tls/letsencrypt /tls/server.crt /tls/server.key"
    flags = ["--rm", "--user", "0:0", "--network", "none", "--volumes-from", certs]
    operator.docker("run", *flags, image, "sh", "-c", script)
    operator.docker("start", "--attach", certs)


@pytest.mark.usefixtures("own_again")
@check(
    "proxy",
    cause="the proxy does not answer the challenge from the folder acme, or certs.sh does not put"
    " what was obtained in place",
    fix="follow docs/runbooks/public-certificate.md by hand; ask for a file in"
    " /.well-known/acme-challenge/ on port 80",
    needs=("stack", "proxy", "acme"),
)
def test_a_public_one_is_obtained_served_and_renewed(
    operator: Operator, authority: Authority, tmp_path: Path
) -> None:
    root = tmp_path / "root.pem"
    root.write_text(authority.root)
    environment = pages.shell(tmp_path) | {
        "PROJECT": operator.stack.project,
        "BOT": operator.target.url,
        "CA": str(root),
        "NAMES": NAMES,
        "ACME": authority.directory,
        "CERTBOT": acme.image(),
        "RENEW": "--force-renewal",
    }
    pages.follow(PAGE, environment)


@check(
    "proxy",
    cause="certs.sh does not take its own authority back once there is no other certificate",
    fix="`docker compose logs certs`; the runbook certificate-renewal makes one anew",
    needs=("stack", "proxy", "acme"),
    follows="bot.lifecycle.certificates.a_public_one_is_obtained_served_and_renewed",
)
def test_our_own_comes_back(operator: Operator) -> None:
    answer = operator.http("/healthz", fresh=True)
    expect(answer.status == 200, "status 200", answer.brief)
