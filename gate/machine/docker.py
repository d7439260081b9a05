"""Which Docker engine is meant, and the one environment of every docker, compose and git call.

The engine is chosen as Docker's own client does: DOCKER_HOST, else DOCKER_CONTEXT, else the current
context of config.json, else the socket of this machine. It is chosen once in a process and then
pinned: the plugins (Compose, Buildx) and our own connections get the same one. Of the caller's
variables only those have a part that say where the engine is and how it is reached (`KEPT`). What
would change project, builder, platform or repository (COMPOSE_*, BUILDX_*, GIT_* …) has none.
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from gate.errors import MachineError

ROOT = Path(__file__).parents[2]
DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
DEFAULT_CONTEXT = "default"
NOBODY = "Docker's default"
TLS = ("DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
"""How DOCKER_HOST is spoken to; a context brings its own."""
CHOOSING = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "HOME", *TLS[:2])
PATHS = ("DOCKER_CONFIG", "DOCKER_CERT_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR")
"""Relative to the caller's folder; compose runs in another."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
KEPT = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_RUNTIME_DIR"),
    *("SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "DOCKER_API_VERSION"),
    *PROXIES,
    *(name.lower() for name in PROXIES),
)
LOOPBACK = re.compile(r"localhost|127\.[0-9.]+|::1")
TCP_PORT = 2375
SCHEMES = ("unix", "tcp", "ssh", "http", "https", "npipe", "fd")


@dataclass(frozen=True)
class Engine:
    """One Docker engine: where it is, and what chose it."""

    address: str
    """As in DOCKER_HOST: `unix:///var/run/docker.sock`."""
    chosen_by: str
    """The variable, context or file, for people."""
    context: str | None = None
    has_tls: bool = False
    """Whether it is spoken to over TLS, where it has no socket."""

    @property
    def is_default(self) -> bool:
        """Whether it is the engine of this machine, which may be started for want of one."""
        return self.address == DEFAULT_ADDRESS and self.context is None

    @property
    def is_local(self) -> bool:
        """Whether it is reached without leaving this machine."""
        return self.url is not None

    @property
    def url(self) -> str | None:
        """Where HTTP requests to it go, over `socket` where it has one.

        None for one elsewhere, or over TLS: its certificates are known to Docker's client alone.
        """
        if self.socket is not None:
            return "http://docker"
        parts = urlsplit(self.address)
        host = parts.hostname or "localhost"
        if parts.scheme != "tcp" or self.has_tls or not LOOPBACK.fullmatch(host):
            return None
        return f"http://{f'[{host}]' if ':' in host else host}:{parts.port or TCP_PORT}"

    @property
    def socket(self) -> str | None:
        """Its Unix socket; None for one that is reached another way."""
        return self.address.removeprefix("unix://") if self.address.startswith("unix://") else None

    def __str__(self) -> str:
        return f"{self.address}{' over TLS' if self.has_tls else ''} ({self.chosen_by})"


def engine(variables: Mapping[str, str] = os.environ) -> Engine:
    """Choose the engine. Raises `MachineError` where a choice names none."""
    return _choose(tuple(variables.get(name, "") for name in CHOOSING))


def local() -> Engine:
    """Choose the engine. Raises `MachineError` too for one where nothing can be looked at."""
    chosen = engine()
    if chosen.url is None:
        raise MachineError(
            "expected a Docker engine on this machine, on a Unix socket or a port of loopback"
            " without TLS, to look at the containers and reach their ports, got"
            f" {chosen}; run this on that machine, or choose another engine by DOCKER_HOST or"
            " `docker context use`"
        )
    return chosen


@lru_cache(maxsize=64)
def _choose(values: tuple[str, ...]) -> Engine:
    """Choose once: `docker context use` in another terminal does not split a command in two."""
    host, context, config, home, *tls = values
    if host:
        return Engine(_checked(host, "DOCKER_HOST"), "DOCKER_HOST", has_tls=any(tls))
    folder = _config_folder(config, home)
    chosen_by = f"DOCKER_CONTEXT={context}"
    if not context:
        context = _current_context(folder / "config.json")
        chosen_by = f"current context {context} in {folder / 'config.json'}"
    if context in ("", DEFAULT_CONTEXT):
        return Engine(DEFAULT_ADDRESS, NOBODY)
    has_tls = (folder / "contexts" / "tls" / _key(context)).exists()
    return Engine(_context_address(folder, context, chosen_by), chosen_by, context, has_tls)


def _current_context(path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return str(content.get("currentContext") or "")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError, AttributeError) as error:
        why = getattr(error, "strerror", None) or "it is no JSON object"
        raise MachineError(
            f"Expected {path} to say which Docker context is in use, but: {why}."
            " Mend the file, or name the engine in DOCKER_HOST."
        ) from None


def _context_address(folder: Path, context: str, chosen_by: str) -> str:
    path = folder / "contexts" / "meta" / _key(context) / "meta.json"
    try:
        endpoint = json.loads(path.read_text(encoding="utf-8"))["Endpoints"]["docker"]
        address = str(endpoint.get("Host") or DEFAULT_ADDRESS)
    except FileNotFoundError:
        raise MachineError(
            f"Expected a Docker context {context!r} ({chosen_by}), but {folder} has none of that"
            " name; `docker context ls` lists them."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MachineError(
            f"Expected the Docker context {context!r} ({chosen_by}) in {path} to name an engine,"
            f" but it cannot be read: {error}."
        ) from None
    return _checked(address, chosen_by)


def _key(context: str) -> str:
    """Name the folder in which Docker's client keeps a context."""
    return hashlib.sha256(context.encode()).hexdigest()


def _checked(address: str, chosen_by: str) -> str:
    """Write an address out as Docker reads it."""
    address = address.strip()
    if "://" not in address:
        address = f"tcp://{address}"
    scheme, _, place = address.partition("://")
    try:
        known = scheme in SCHEMES and urlsplit(address).port != 0
    except ValueError:  # no port
        known = False
    if not known:
        raise MachineError(
            f"Expected the address of a Docker engine such as {DEFAULT_ADDRESS} ({chosen_by}),"
            f" got {address}."
        )
    if scheme == "unix" and not place:
        return DEFAULT_ADDRESS
    if scheme == "unix" and not place.startswith("/"):
        raise MachineError(
            f"Expected the whole path of Docker's socket ({chosen_by}), got {address}:"
            " relative to which folder would be a guess."
        )
    return address


def environment(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Give the variables that every call of Docker's client gets, the engine pinned.

    Raises `MachineError` where a choice names no engine.
    """
    chosen = engine(variables)
    kept = {name: variables[name] for name in KEPT if name in variables}
    if chosen.context and chosen.socket is None:  # with the certificates that the context has
        kept["DOCKER_CONTEXT"] = kept["BUILDX_BUILDER"] = chosen.context
    else:
        kept |= {"DOCKER_HOST": chosen.address, "BUILDX_BUILDER": DEFAULT_CONTEXT}
    if not chosen.context:
        kept |= {name: variables[name] for name in TLS if name in variables}
    for name in PATHS:
        if kept.get(name):
            kept[name] = str(Path(kept[name]).absolute())
    places = (variables.get(name, "") for name in ("DOCKER_CONFIG", "HOME"))
    return kept | _builder_folder(_config_folder(*places))


def _config_folder(config: str, home: str) -> Path:
    return Path(config or Path(home or Path.home()) / ".docker").absolute()


def _builder_folder(config: Path) -> dict[str, str]:
    """Give Buildx another place than a read-only home: it builds nothing where it cannot write."""
    there = next(path for path in (config, *config.parents) if path.exists())
    if os.access(there, os.W_OK):
        return {}
    return {"BUILDX_CONFIG": str(Path(tempfile.gettempdir()) / f"gate-buildx-{os.getuid()}")}


def pinned() -> dict[str, str]:
    """Give the variables that lead a program of ours with a HOME of its own to the same engine."""
    return {name: value for name, value in environment().items() if name.startswith("DOCKER_")}


def git_environment(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Give the variables that git gets: none that leads it to another repository or settings.

    This repository may belong to another user (root deploys from somebody's checkout): its code
    runs already, so git may read it too, where it would say "dubious ownership".
    """
    kept = {name: value for name, value in variables.items() if not name.startswith("GIT_")}
    trust = {"GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": str(ROOT.resolve())}
    # Only looked at: no lock that a commit of somebody's may wait for, no index of root's.
    return kept | trust | {"GIT_CONFIG_COUNT": "1", "GIT_OPTIONAL_LOCKS": "0"}


def engine_is_here() -> bool:
    """Tell whether containers can be asked about: an engine was chosen, or this machine has one.

    A chosen one that is silent counts: not being able to look is no reason to look at less.
    """
    try:
        chosen = engine()
    except MachineError:
        return True
    return chosen.chosen_by != NOBODY or Path(str(chosen.socket)).exists()
