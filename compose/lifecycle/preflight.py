"""What has to hold before anything is changed: each finding says what to do."""

import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from compose.lifecycle import building, releases
from compose.lifecycle.deployment import Deployment
from compose.machine import engine
from compose.release import HERE, Release
from gate.errors import MachineError, UsageError
from gate.machine.commands import run
from gate.machine.ports import is_own_address
from gate.settings import changes, exists
from gate.target import certificate_folder, public_url
from gate.wire import in_days, least_left

if TYPE_CHECKING:
    from cryptography import x509

LEAST_DISK = 3 * 2**30
LEAST_MEMORY = 1 * 2**30
LEAST_DOCKER, LEAST_COMPOSE = (20, 10), (2, 20)
LEAST_SECRET = 16
EXAMPLES = (
    "changeme",
    "change-me",
    "change_me",
    "your",
    "example",
    "default",
    "password",
    "secret",
)
SECRETS = ("API_KEY", "REDIS_PASSWORD")
CERTIFICATE = ("server.crt", "server.key")
OBTAINED = "letsencrypt/live/breakout-bot"
TLS_FILES = (
    *CERTIFICATE,
    *("ca.crt", "ca.key", "own", "acme", "letsencrypt", "letsencrypt/live", OBTAINED),
    *(f"{OBTAINED}/{name}" for name in ("fullchain.pem", "privkey.pem")),
)
"""What certs.sh reads or writes in the certificate folder."""
OWN_AUTHORITY = "Breakout Bot deployment CA"
"""The common name of the authority that certs.sh makes."""
ALLOW = "PREFLIGHT_ALLOW"
"""The setting that allows for every command what `--allow` does for one."""
NOT_OF_A_ROLLBACK = frozenset({"names", "clock", "certificate"})
"""Checks of what was there before, too: going back changes none of it."""
MODES = ("paper", "live")
SUB_DOMAINS = ("api", "grafana", "prometheus")
"""First labels of names that the proxy gives to one service (nginx.conf, `map $host $door`)."""


@dataclass(frozen=True)
class Finding:
    """One thing that speaks against going on: expected, seen, what to do."""

    expected: str
    todo: str
    check: str = ""
    """The word that `--allow` and PREFLIGHT_ALLOW take for it."""


def findings(
    deployment: Deployment, release: Release, allowed: frozenset[str] = frozenset()
) -> list[Finding]:
    """List everything that speaks against changing this deployment to this release."""
    allowed |= allowed_by(deployment.values)
    asked = [check for check in CHECKS if check.__name__ not in allowed]
    return [
        replace(finding, check=check.__name__)
        for check in asked
        for finding in check(deployment, release)
    ]


def allowed_by(values: Mapping[str, str]) -> frozenset[str]:
    """Give the checks that the settings allow for good. Raises `UsageError` for a name of none."""
    named = frozenset(word.strip() for word in values.get(ALLOW, "").split(",") if word.strip())
    known = [check.__name__ for check in CHECKS]
    if unknown := sorted(named.difference(known)):
        raise UsageError(f"expected {ALLOW} to name some of {', '.join(known)}; got {unknown[0]!r}")
    return named


def versions(_: Deployment, __: Release) -> Iterator[Finding]:
    """Check that Docker and Compose are there and new enough."""
    asked = (
        ("Docker", ["docker", "version", "--format", "{{.Server.Version}}"], LEAST_DOCKER),
        ("Compose", ["docker", "compose", "version", "--short"], LEAST_COMPOSE),
    )
    for name, command, least in asked:
        done = run(command, 10.0)
        if not done.ok:
            raise MachineError(f"Expected {name} to answer, but: {done.text[-200:]}")
        seen = done.out.strip()[: engine.SHOWN]
        if not engine.new_enough(seen, least):
            wanted = ".".join(map(str, least))
            yield Finding(f"{name} {wanted} or newer, seen {seen!r}", f"update {name}")


def room(_: Deployment, __: Release) -> Iterator[Finding]:
    """Check for disk for another set of images and a backup, and memory for two colours."""
    root = run(["docker", "info", "--format", "{{.DockerRootDir}}"], 10.0).out.strip()
    place = Path(root) if root and Path(root).exists() else Path("/")
    free = shutil.disk_usage(place).free
    if free < LEAST_DISK:
        yield Finding(f"3 GiB free on {place}, seen {free / 2**30:.1f}", "`docker image prune`")
    lines = Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []
    for line in lines:
        if line.startswith("MemAvailable:") and int(line.split()[1]) * 1024 < LEAST_MEMORY:
            yield Finding(
                f"1 GiB of free memory, seen {line.split()[1]} kB", "stop what is not needed"
            )


def settings(deployment: Deployment, _: Release) -> Iterator[Finding]:
    """Check that every secret is one, and that compose reads what is written."""
    if not exists(deployment.env_file):
        yield Finding(f"settings in {deployment.env_file}, seen no file", "`make env` writes one")
        return
    values = deployment.values
    for name in SECRETS:
        problem = _weak(values.get(name, ""))
        if problem:
            yield Finding(f"a secret in {name}, seen one that is {problem}", f"set {name} anew")
    plain = str(urlsplit(public_url({"SERVER_NAME": deployment.server_name})).hostname)
    if plain != deployment.server_name:  # else the origin that browsers send is not this one
        yield Finding(
            f"SERVER_NAME as browsers write it, {plain}, seen {deployment.server_name}",
            f"set SERVER_NAME to {plain}",
        )
    label, dot, rest = plain.partition(".")
    if dot and label in SUB_DOMAINS:
        yield Finding(
            f"a SERVER_NAME for the whole deployment, seen {plain}, which the proxy gives to"
            f" {label} alone",
            f"set SERVER_NAME to {rest}, or to another name such as bot.{rest}",
        )
    if values.get("MODE", "paper") not in MODES:
        yield Finding(f"MODE to be one of {', '.join(MODES)}, seen another", "set MODE")
    for change in changes(deployment.env_file):
        yield Finding(
            f"compose to read {change.name} as it is written, seen that {change.reason}", change.fix
        )


def _weak(value: str) -> str | None:
    if not value.strip():
        return "blank"
    if any(word in value.lower() for word in EXAMPLES):
        return "an example or a default"
    if len(value) < LEAST_SECRET or len(set(value)) < 5:
        return f"shorter than {LEAST_SECRET} characters or too simple"
    return None


def configuration(deployment: Deployment, release: Release) -> Iterator[Finding]:
    """Check that compose renders it, and that no service hides a secret behind a blank."""
    try:
        services = deployment.services(release)
    except MachineError as error:
        yield Finding(
            f"a configuration that compose takes, seen: {error}", "mend the file it names"
        )
        return
    for service, definition in services.items():
        for name, value in (definition.get("environment") or {}).items():
            if name in SECRETS and not value:
                yield Finding(f"{name} of {service}, seen a blank", "take the blank override out")


def ports(deployment: Deployment, release: Release) -> Iterator[Finding]:
    """Check that the host's ports are free, or ours already."""
    try:
        services = deployment.services(release)
    except MachineError:
        return  # said by `configuration`
    ours = {port for container in deployment.containers() for _, port in container.published()}
    for service, definition in services.items():
        for port in definition.get("ports") or ():
            number = str(port.get("published") or "")
            if number not in ("", "0", *ours) and _busy(port.get("host_ip", ""), int(number)):
                yield Finding(
                    f"port {number} free for {service}, seen it held by {_holder(number)}",
                    "stop that, or give the deployment another port; nothing was stopped for you",
                )


def _busy(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except PermissionError:
            return False
        except OSError:
            return True
    return False


def _holder(port: str) -> str:
    listed = run(["docker", "ps", "--filter", f"publish={port}", "--format", "{{.Names}}"], 10.0)
    if listed.ok and listed.out.strip():
        return f"the container {listed.out.split()[0]}"
    result = run(["ss", "-Hltnp", f"sport = :{port}"], 10.0)
    users = result.out.rpartition("users:")[2].strip("() \n")
    return users.replace('"', "") if result.ok and users else "another program"


def names(deployment: Deployment, _: Release) -> Iterator[Finding]:
    """Check that the public name leads to this host."""
    name = deployment.server_name
    if name == "localhost":
        return
    try:
        addresses = {
            str(entry[4][0]) for entry in socket.getaddrinfo(name, 443, proto=socket.IPPROTO_TCP)
        }
    except OSError:
        yield Finding(f"{name} to resolve, seen no address", f"make an A record for {name}")
        return
    if not any(is_own_address(address) for address in addresses):
        yield Finding(
            f"{name} to lead to this host, seen {', '.join(sorted(addresses))}",
            f"point its A record here; behind NAT write {ALLOW}=names into the settings",
        )


def clock(_: Deployment, __: Release) -> Iterator[Finding]:
    """Check that the clock is not before the code that is deployed."""
    head = run(
        ["git", "-C", HERE, "log", "-1", "--no-show-signature", "--format=%ct"], 5.0
    ).out.strip()
    if head.isdigit() and time.time() < int(head) - 3600:
        yield Finding(
            "a clock that is right, seen one before this tree's last commit", "`timedatectl`"
        )


def certificate(deployment: Deployment, _: Release) -> Iterator[Finding]:
    """Check that a certificate of one's own is whole, for the public name, and lasts.

    Ours is made and renewed by itself; one in a named volume is seen by certs.sh alone.
    """
    folder = certificate_folder(deployment.values, deployment.files[0].parent)
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        yield Finding(f"a folder of certificates in TLS_SOURCE, seen {folder}", "name its folder")
        return
    for name in TLS_FILES:
        path = folder / name
        if path.is_symlink() and not (path.exists() and path.resolve().is_relative_to(folder)):
            yield Finding(
                f"{path} to be a file of its own, seen a link to {path.readlink()}, which leads out"
                " of the folder that the containers have",
                f'copy it in its place: `cp --remove-destination "$(readlink -f {path})" {path}`',
            )
            return
    mine = folder / CERTIFICATE[0]
    if mine.is_file():
        yield from _installed(mine, folder / CERTIFICATE[1], deployment.server_name)
    elif (folder / "fullchain.pem").exists():
        yield Finding(
            f"the certificate in {mine}, seen {folder / 'fullchain.pem'}",
            "copy fullchain.pem to server.crt and privkey.pem to server.key",
        )


def _installed(path: Path, key: Path, name: str) -> Iterator[Finding]:
    from cryptography import x509

    try:
        cert = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        yield Finding(
            f"a certificate in PEM form in {path}, seen: {error}", "put a whole one there"
        )
        return
    if OWN_AUTHORITY in cert.issuer.rfc4514_string():
        return
    begins, ends = cert.not_valid_before_utc, cert.not_valid_after_utc
    left = ends - datetime.now(UTC)
    if left < least_left(begins, ends):
        yield Finding(
            f"{path} to last {in_days(least_left(begins, ends))}, seen {in_days(left)} left of"
            f" {in_days(ends - begins)}",
            "renew it; a rollback does not ask for it",
        )
    if problem := _wrong_key(cert, key):
        yield Finding(f"the key of {path} in {key}, seen {problem}", "put its key there")
    if problem := _broken_chain(path):
        yield Finding(
            f"{path} to lead to an authority that clients trust, seen: {problem}",
            "put what is between behind the leaf in server.crt, and a company's authority into"
            " ca.crt beside it or into the system's store",
        )
    if not _is_for(cert, name):
        yield Finding(
            f"{path} to be for {name} (SERVER_NAME), seen one for {', '.join(_names(cert))}",
            "install one for that name, or set SERVER_NAME to a name of it",
        )


def _wrong_key(cert: "x509.Certificate", path: Path) -> str | None:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except FileNotFoundError:
        return "no file"
    except TypeError:
        return "one with a passphrase, which nobody types at a start"
    except (OSError, ValueError) as error:
        return f"one that cannot be read ({getattr(error, 'strerror', None) or 'no key'})"
    same = key.public_key() == cert.public_key()
    return None if same else "the key of another certificate"


def _broken_chain(path: Path) -> str | None:
    """Say what OpenSSL has against a certificate, but for its time: that is said apart."""
    ca = path.with_name("ca.crt")
    trusted = ["-CAfile", str(ca)] if ca.is_file() and ca.stat().st_size else []
    command = ["openssl", "verify", "-no_check_time", *trusted, "-untrusted", str(path), str(path)]
    done = run(command, 5.0)
    if done.ok or done.code == 127:
        return None
    reasons = [line for line in done.text.splitlines() if line.startswith("error ")]
    return (reasons or done.text.splitlines())[0].rpartition(": ")[2]


def _names(cert: "x509.Certificate") -> list[str]:
    from cryptography import x509

    try:
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ["no name"]
    return [str(name.value) for name in names]


def _is_for(cert: "x509.Certificate", name: str) -> bool:
    """Tell whether one of its names is this one, or a wildcard for it."""
    wanted = name.lower().rstrip(".")
    wild = f"*.{wanted.partition('.')[2]}"
    return any(known.lower() in (wanted, wild) for known in _names(cert))


def data(deployment: Deployment, release: Release) -> Iterator[Finding]:
    """Check that the data's schema is one that the release can work with."""
    before = releases.current(deployment)
    if before is None or building.missing(release):
        return
    schema = building.schema(release)
    if schema < before.schema:
        yield Finding(
            f"code that knows schema {before.schema} of the data, seen one that knows {schema}",
            f"`compose/rollback.sh {release.tag}` takes the data back too",
        )


CHECKS = (versions, room, settings, configuration, ports, names, clock, certificate, data)
"""In this order; each is named as the word that `--allow` takes."""
