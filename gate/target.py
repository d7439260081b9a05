"""Targets: where a stack's services are, and what may be done to them.

A target is read from one word (`--target` or `GATE_TARGET`): nothing for a disposable stack,
`localhost` for the ports of a deployed one, a URL for a stack behind its proxy, or a TOML file.
Everything wrong with that word raises `TargetError` before anything is started.
"""

import os
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from gate import settings, toml
from gate.errors import TargetError
from gate.machine.docker import engine_is_here
from gate.machine.ports import is_own_address
from gate.model import model
from gate.urls import (
    DEFAULT_PORTS,
    authority,
    authority_of,
    base_url,
    host_of,
    leading_to,
    origin,
    plain_url,
)

HERE = model().folder
"""The folder of what is deployed, with the settings of the deployment on this machine."""
ENTRY = model().entry
SERVICES = model().running
DEPLOYED_PROJECT = model().project
LOOPBACK = "127.0.0.1"
SECRET_WORDS = ("password", "secret", "api_key", "apikey", "token")


Kind = Literal["disposable", "live"]
Mode = Literal["paper", "live"]
Trust = Literal["verify", "any"]
KIND: toml.Kind[Kind] = toml.one_of("live", "disposable")
MODE: toml.Kind[Mode] = toml.one_of("paper", "live")
TRUST: toml.Kind[Trust] = toml.one_of("verify", "any")
NOT_HERE = ("absent", "internal")
A_URL = toml.Kind[str](
    'a URL, "internal" or "absent"', lambda value: isinstance(value, str) and value
)


@dataclass(frozen=True)
class Target:
    """One deployment as the gate sees it."""

    name: str
    kind: Kind
    urls: Mapping[str, str] = field(default_factory=dict)
    """Base URLs of the services that can be reached from here: origin, Host and name in TLS."""
    connect: Mapping[str, str] = field(default_factory=dict)
    """Where TCP goes for an address of these URLs, `HOST:PORT` each, when not to itself."""
    absent: frozenset[str] = frozenset()
    """Services that this deployment does not have."""
    unavailable: Mapping[str, str] = field(default_factory=dict)
    """Services it should have and does not, with the reason: their checks are waived by name."""
    mode: Mode = "paper"
    """Trading mode that the engine must be in."""
    ca_file: Path | None = None
    """CA certificates to verify with, in place of the system's."""
    trust: Trust = "verify"
    """`any` takes whatever certificate is served, by this machine only: a rollback must not fail
    for a certificate that ended."""
    plain_http: str | None = None
    """The address that must redirect to https."""
    project: str | None = None
    """Compose project, where Docker may be asked about the containers."""
    env_file: Path | None = None
    """A file that may hold the secrets of this deployment."""
    told_by_entry: bool = False
    """Whether only its entry can tell which optional services were deployed."""
    managed: bool = False
    """Whether this run brings the stack up itself, so that it may restart its containers."""

    @property
    def live(self) -> bool:
        """Whether nothing may be changed: look, don't touch."""
        return self.kind == "live"

    @property
    def url(self) -> str:
        """The base URL at which people use it: that of its entry."""
        return self.urls[ENTRY]

    @property
    def capabilities(self) -> frozenset[str]:
        """What checks can count on: services, `direct:SERVICE`, what may be done to them, and
        `acme`, a local ACME server beside them."""
        direct = {f"direct:{service}" for service in self.urls if service != ENTRY}
        parts = set(SERVICES) - self.absent - self.unavailable.keys()
        extra = {"disposable"} if not self.live else set()
        if self.managed:
            extra |= {"stack", "acme"} - self.unavailable.keys()
        if self.project:
            extra.add("project")
        return frozenset(parts | direct | extra)

    def address_of(self, url: str) -> tuple[str, int]:
        """Give (host, port) where a connection for `url` has to go."""
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 80)
        host = parts.hostname or ""
        to = self.connect.get(authority(host, port))
        if to is None:
            return host, port
        host, _, number = to.rpartition(":")
        return host.strip("[]"), int(number)

    def located(self, urls: Mapping[str, str], **changes: Any) -> "Target":
        """The same target once its services' addresses are known."""
        return replace(self, urls=dict(urls), **changes)


def read(word: str | None, ca_file: Path | None = None) -> Target:
    """The target that `word` names, verified with `ca_file`, else `GATE_CA_FILE`, else its own.

    Raises `TargetError`.
    """
    target, given = _read(word), os.environ.get("GATE_CA_FILE")
    ca_file = ca_file or (Path(given) if given else target.ca_file)
    if ca_file is not None:
        _certificates(ca_file)
    # Whole: programs of ours that read it too work in other folders.
    return replace(target, ca_file=ca_file.absolute() if ca_file else None)


def _certificates(path: Path) -> None:
    wanted = f"expected a file of CA certificates in PEM form, got {path}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise TargetError(f"{wanted}: it holds none") from None
    except OSError as error:
        raise TargetError(f"{wanted}: {(error.strerror or str(error)).lower()}") from None


def _read(word: str | None) -> Target:
    if word is None or word == "disposable":
        return Target("disposable", "disposable", managed=True)
    if word == "localhost":
        return localhost()
    if "://" in word:
        return behind_proxy(word)
    if word.endswith(".toml"):
        return from_file(Path(word))
    hint = f" (a URL needs its scheme: https://{word})" if "." in word else ""
    raise TargetError(
        "expected --target to be localhost, a URL such as https://bot.example.org, or a .toml"
        f" file, got {word!r}{hint}"
    )


def localhost() -> Target:
    """The stack deployed on this machine from this folder, on its default ports."""
    env_file = HERE / ".env"
    values = env_values(env_file) if settings.exists(env_file) else {}
    folder = certificate_folder(values, HERE)
    ours = folder / "ca.crt" if folder else None
    left_out = _profiles_left_out(values)
    here = [one for one in model().services.values() if one.host_port and one.name not in left_out]
    urls = {one.name: f"{one.scheme}://localhost:{one.host_port}" for one in here}
    url = public_url(values)
    return Target(
        name="localhost",
        kind="live",
        urls={**urls, ENTRY: url},
        connect=leading_to(url, f"{LOOPBACK}:443", f"{LOOPBACK}:80"),
        unavailable=left_out,
        mode="live" if values.get("MODE") == "live" else "paper",
        ca_file=ours if ours and ours.is_file() else None,
        plain_http=plain_url(url),
        project=DEPLOYED_PROJECT if _docker_is_here() else None,
        env_file=env_file if env_file.is_file() else None,
    )


def public_url(values: Mapping[str, str]) -> str:
    """Give the URL at which people use the deployment of these settings: `https://SERVER_NAME`.

    Where browsers reach it under another port, CORS_ORIGINS has to say so and counts here too.
    Raises `TargetError` for a name that no URL can have.
    """
    name = values.get("SERVER_NAME") or "localhost"
    url = base_url(f"https://{name}", "SERVER_NAME", ("https",), "a host name")
    for word in values.get("CORS_ORIGINS", "").split(","):
        with suppress(ValueError):
            parts = urlsplit(word.strip())
            if parts.scheme == "https" and host_of(parts) == urlsplit(url).hostname:
                return origin(parts)
    return url


def certificate_folder(values: Mapping[str, str], project: Path) -> Path | None:
    """Give the folder of the served certificate; None for a named volume. `project` is compose's
    own folder, which paths of the settings are relative to."""
    source = values.get("TLS_SOURCE") or "./tls"
    if not source.startswith((".", "/", "~")):
        return None
    return (project / Path(source).expanduser()).resolve()


def _docker_is_here() -> bool:
    """Whether Docker runs the stack here: without it, its ports were forwarded to here.

    What was deployed from this folder runs here, whether or not its engine can be found.
    """
    deployed = HERE / "releases" / DEPLOYED_PROJECT / "order.json"
    return engine_is_here() or deployed.is_file()


def _profiles_left_out(values: Mapping[str, str]) -> dict[str, str]:
    """Services of profiles that the deployment's own settings leave out."""
    profiles = [name.strip() for name in values.get("COMPOSE_PROFILES", "").split(",")]
    return {
        one.name: f"COMPOSE_PROFILES in {HERE.name}/.env leaves {one.name} out of this deployment"
        for one in model().services.values()
        if values and one.profile and one.profile not in profiles
    }


def behind_proxy(url: str) -> Target:
    """A live stack of which only the entry can be reached.

    For the deployment of this folder its own settings say the rest: mode, authority, services.
    """
    base = base_url(url, "--target", ("https",))
    target = Target(
        name=base,
        kind="live",
        urls={ENTRY: base},
        plain_http=plain_url(base),
        told_by_entry=True,
    )
    with suppress(TargetError):  # settings that cannot be read are no matter of another host's
        own = localhost()
        if own.env_file and own.url == base:
            target = replace(target, mode=own.mode, unavailable=own.unavailable)
            return replace(target, ca_file=own.ca_file, told_by_entry=False)
    return target


def from_file(path: Path) -> Target:
    """The target that a TOML file describes; it mentions every service. Raises `TargetError`."""
    table = toml.read(path, TargetError)
    _refuse_secrets(table)
    urls, absent = _services(table.table("services", required=True))
    ca_file = table.get("ca_file", toml.TEXT, None)
    plain = table.get("plain_http", toml.TEXT, None) or plain_url(urls[ENTRY])
    plain_http = base_url(plain, table.place("plain_http"), ("http",))
    connect = _connect(table, urls[ENTRY], plain_http)
    target = Target(
        name=table.get("name", toml.TEXT, path.stem),
        kind=table.get("kind", KIND, "live"),
        urls=urls,
        connect=connect,
        absent=absent,
        mode=table.get("mode", MODE, "paper"),
        ca_file=path.parent / ca_file if ca_file else None,
        trust=_trust(table, connect),
        plain_http=plain_http,
        project=table.get("project", toml.TEXT, None),
    )
    table.refuse_unknown()
    return target


def _refuse_secrets(table: toml.Table) -> None:
    for part in (table, table.table("services")):
        for key in part.values:
            if any(word in key.lower() for word in SECRET_WORDS):
                raise part.error(
                    f"expected no secrets in a target file, got the key {key!r};"
                    " set GATE_API_KEY or GATE_REDIS_PASSWORD in the environment",
                    key,
                )


def _services(table: toml.Table) -> tuple[dict[str, str], frozenset[str]]:
    given = {service: table.get(service, A_URL) for service in SERVICES}
    table.refuse_unknown()
    urls = {s: _service_url(table, s, v) for s, v in given.items() if v not in NOT_HERE}
    if ENTRY not in urls:
        raise table.error(f"expected a URL, got {given[ENTRY]!r}", ENTRY)
    return urls, frozenset(s for s, value in given.items() if value == "absent")


def _service_url(table: toml.Table, service: str, value: str) -> str:
    scheme = model().services[service].scheme
    schemes = {"http": ("http", "https"), "redis": ("redis", "rediss")}.get(scheme, (scheme,))
    return base_url(value, table.place(service), schemes, user=scheme == "redis")


def _connect(table: toml.Table, url: str, plain_http: str) -> dict[str, str]:
    """The key `connect`: HOST[:PORT] for the entry, or a table of HOST:PORT to HOST:PORT."""
    value: Any = table.get("connect", toml.ANYTHING, {})
    if isinstance(value, dict):
        to = {_place(table, name): _place(table, to) for name, to in value.items()}
        known = {authority_of(one) for one in (url, plain_http)}
        if unknown := sorted(to.keys() - known):
            where = " or ".join(sorted(known))
            raise table.error(f"expected to say where {where} leads, got {unknown[0]}", "connect")
        return to
    host, _, port = _place(table, value, port=0).rpartition(":")
    tls = port if int(port) else urlsplit(url).port or DEFAULT_PORTS["https"]
    plain = urlsplit(plain_http).port or DEFAULT_PORTS["http"]
    return leading_to(url, f"{host}:{tls}") | leading_to(plain_http, f"{host}:{plain}")


def _place(table: toml.Table, value: Any, port: int | None = None) -> str:
    """`HOST:PORT`, with `port` where a value leaves it out. Raises `TargetError`."""
    wanted = f"expected HOST:PORT, got {value!r}"
    try:
        parts = urlsplit(f"//{value}" if isinstance(value, str) else "")
        number = parts.port if parts.port is not None else port
        right = parts.hostname and parts.netloc == value and "@" not in value and number is not None
        host = host_of(parts) if right else ""
    except ValueError as error:
        raise table.error(f"{wanted}: {error}", "connect") from None
    if not right:
        raise table.error(wanted, "connect")
    return authority(host, int(number or 0))


def _trust(table: toml.Table, connect: Mapping[str, str]) -> Trust:
    trust: Trust = table.get("trust", TRUST, "verify")
    places = {to.rpartition(":")[0].strip("[]") for to in connect.values()}
    if trust == "any" and not (places and all(map(is_own_address, places))):
        got = ", ".join(sorted(places)) or "no connect"
        raise table.error(
            f"expected 'any' only where connect leads to an address of ours, got {got}", "trust"
        )
    return trust


@dataclass(frozen=True)
class Credentials:
    """Secrets of one deployment; whoever holds them keeps them out of reports."""

    api_key: str | None = field(default=None, repr=False)
    redis_password: str | None = field(default=None, repr=False)
    grafana_password: str | None = field(default=None, repr=False)
    redis_user: str | None = None
    """Who logs in to Redis with the password; Redis's default user without one."""

    @property
    def known(self) -> list[str]:
        """Every secret that is set, for redaction."""
        return [v for v in (self.api_key, self.redis_password, self.grafana_password) if v]


def credentials(target: Target, environment: Mapping[str, str] = os.environ) -> Credentials:
    """Secrets from `GATE_*`, from files named by `GATE_*_FILE`, or from the target's env file.

    Raises `TargetError` for a file that cannot be read.
    """
    stored = env_values(target.env_file)

    def secret(name: str) -> str | None:
        given = environment.get(f"GATE_{name}") or _secret_file(environment, f"GATE_{name}_FILE")
        return given or stored.get(name) or None

    return Credentials(
        secret("API_KEY"),
        secret("REDIS_PASSWORD"),
        secret("GRAFANA_PASSWORD"),
        secret("REDIS_USER"),
    )


def _secret_file(environment: Mapping[str, str], variable: str) -> str | None:
    path = environment.get(variable)
    if not path:
        return None
    try:
        secret = Path(path).read_text(encoding="utf-8-sig").strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise TargetError(f"{variable}: expected a readable file, got {path}: {why}") from None
    if not secret.isprintable() or not secret:
        got = "more than one line, or no text" if secret else "nothing"
        raise TargetError(f"{variable}: expected one line with the secret in {path}, got {got}")
    return secret


def env_values(path: Path | None) -> dict[str, str]:
    """Read the settings that a file sets, as compose reads them. Raises `TargetError`."""
    try:
        return settings.read(path) if path is not None else {}
    except settings.SettingsError as error:
        raise TargetError(str(error)) from None
