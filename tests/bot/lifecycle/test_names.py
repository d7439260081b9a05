"""A whole life under a public name, with a certificate that another authority has signed."""

from pathlib import Path

from compose.lifecycle import proxy, recovery, rollback, verify
from compose.lifecycle.deployment import API, PROXY, Deployment, docker
from compose.lifecycle.errors import Rejected
from compose.lifecycle.releases import image
from compose.lifecycle.state import UpdateOptions
from compose.release import Release
from gate import check, expect, fail
from tests.bot.lifecycle.authority import Authority, authority
from tests.bot.lifecycle.disposable import deployed, disposable, revision, updated

NAME = "trade.company.test"
OPTIONS = UpdateOptions(watch=1.0, backup=False)


def install(deployment: Deployment, signed: Authority, release: Release, **lasts: float) -> None:
    """Put a certificate for the deployment's name, and its authority, where operators put them."""
    signed.issue(deployment.server_name, f"*.{deployment.server_name}", **lasts)
    volume = deployment.volume("tls")
    labels = {"project": deployment.project, "volume": "tls"}
    own = [f"--label=com.docker.compose.{name}={value}" for name, value in labels.items()]
    variables = ("GATE_RUN_ID", "GATE_STARTED")
    run = zip(verify.GATE_LABELS, map(deployment.values.get, variables), strict=True)
    own += [f"--label={label}={value}" for label, value in run]
    docker("volume", "create", *own, volume)
    # By way of standard input: a folder of this machine need not be one of the engine's.
    script = "cd /tls && " + " && ".join(
        f"printf %s '{(signed.folder / name).read_text()}' >{name}"
        for name in ("ca.crt", "server.crt", "server.key")
    )
    script += " && chown 101 server.key && chmod 400 server.key"
    flags = ["--rm", "--user", "0:0", "--network", "none", "-v", f"{volume}:/tls"]
    docker("run", *flags, image(PROXY, release), "sh", "-c", script)


@check(
    "proxy",
    cause="a command asks the deployment by another name than SERVER_NAME, or trusts another"
    " authority than the one beside its certificate",
    fix="`openssl s_client -servername NAME` shows what is served; its CA goes into GATE_CA_FILE",
    needs=("stack", "proxy", API),
    follows="bot.lifecycle.deploy.runs_what_should_run",
)
def test_lives_under_the_certificate_of_another_authority(
    first: Release, second: Release, tmp_path: Path
) -> None:
    company = authority(tmp_path, "Company CA")
    with disposable(NAME) as deployment:
        install(deployment, company, first)
        try:
            deployed(deployment, first)
            updated(deployment, second, OPTIONS)
        except Rejected as refused:
            fail("a deploy and an update that end well", refused)
        where = verify.target(deployment, proxy.live(deployment))
        expect(where.url == f"https://{NAME}", f"https://{NAME}", where.url)
        expect(verify.look(where, "/healthz"), "an answer under that name", "none")
        install(deployment, company, first, days=30, age_days=31)
        try:
            recovery.execute(deployment, rollback.read_state(deployment, first, OPTIONS))
        except Rejected as refused:
            fail("a rollback, whatever the certificate", refused)
        install(deployment, company, first)
        expect(revision(deployment) == first.revision, first.revision, revision(deployment))
