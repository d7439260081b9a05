"""The stack as its stack file describes it: what cannot be read from the compose files.

    model().name("redis")       the service of that name, else the first of that kind
    model().of_kind("redis")    every service of a kind

A service has kinds, and each kind makes promises. Code that means such a promise names the kind,
so that a service may be called anything. `python -m gate.model` (part of `make manifest`) writes
the compose file that turns the stack into a disposable one.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

from gate import toml
from gate.errors import UsageError

FILE = Path(__file__).parent.parent / "compose" / "stack.toml"
SCHEMA = toml.Kind[int]("1, the schema that this gate knows", lambda value: value == 1)
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*")
"""What compose takes as the name of a service."""
PORT = toml.whole(1, 65535)
PATH = toml.Kind[str](
    "a path that begins with /", lambda value: isinstance(value, str) and value.startswith("/")
)
SECRETS = ("api_key", "redis_password", "grafana_password")
"""Fields of `gate.target.Credentials`."""
GENERATED = "# Written by `make manifest` from {file}: the same services on free ports, labelled."


class ModelError(UsageError):
    """A stack file that cannot be used: file, key, what was expected, what was given."""


@dataclass(frozen=True)
class Service:
    """One row of the stack file."""

    name: str
    kinds: tuple[str, ...] = ()
    port: int | None = None
    """The port it listens on, in its container."""
    plain_port: int | None = None
    """The port that redirects to https, in its container."""
    host_port: int | None = None
    """The port of a deployment's host that leads to it; None where none does."""
    scheme: str = "http"
    ready: str | None = None
    """The path that answers 200 once it is ready."""
    job: str | None = None
    """The job of Prometheus that scrapes it."""
    data: str | None = None
    """The folder in its container whose content must outlive it."""
    built_from: str | None = None
    """The folder of its sources, where its image is built from this repository."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Folders in its container with files of this repository, and where those are."""
    image: str | None = None
    """An image that not every machine can have, so that the service may be missing."""
    profile: str | None = None
    """The compose profile that it is part of."""
    one_shot: bool = False
    """Whether it does one job and ends."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of its container in a disposable stack."""


@dataclass(frozen=True)
class Secret:
    """One secret of a stack."""

    variable: str
    """The compose variable that sets it."""
    service: str
    """The service whose container tells it."""
    told_as: str
    """The variable of that container."""


@dataclass(frozen=True)
class Model:
    """A stack: the services of one deployment, and what is known of them all."""

    file: Path
    project: str
    """The compose project of a deployment."""
    label_prefix: str
    compose: tuple[str, ...]
    """Compose files, relative to the folder of the stack file."""
    disposable: str
    """The generated compose file on top of them that makes a stack disposable."""
    entry: str
    """The service that leads to the others."""
    services: Mapping[str, Service]
    ca: str | None = None
    """`SERVICE:PATH` of the CA that a disposable stack makes for itself."""
    hooks: str | None = None
    """The module with what only this stack's owner knows (`gate.hooks`)."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Compose variables of a disposable stack."""
    secrets: Mapping[str, Secret] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder of the stack file."""
        return self.file.parent

    @property
    def files(self) -> list[Path]:
        """The compose files."""
        return [self.folder / name for name in self.compose]

    @property
    def running(self) -> tuple[str, ...]:
        """Names of the services that go on running, in the order of the file."""
        return tuple(name for name, one in self.services.items() if not one.one_shot)

    @property
    def built(self) -> dict[str, str]:
        """Services whose images are built from this repository, and their folders."""
        return {n: one.built_from for n, one in self.services.items() if one.built_from}

    @property
    def mounted(self) -> tuple[str, ...]:
        """Folders of this repository that containers mount: those that no image is built from."""
        folders = {name for one in self.services.values() for name in one.files.values()}
        return tuple(sorted(folders.difference(self.built.values())))

    @property
    def data(self) -> dict[str, str]:
        """Services with data that must outlive their containers, and the folders with it."""
        return {name: one.data for name, one in self.services.items() if one.data}

    def label(self, name: str) -> str:
        """Give a label of this stack by its last part."""
        return f"{self.label_prefix}.{name}"

    def of_kind(self, kind: str) -> tuple[Service, ...]:
        """Every service of a kind, in the order of the file."""
        return tuple(one for one in self.services.values() if kind in one.kinds)

    def name(self, word: str) -> str:
        """Name the service that a word means: of that name, else the first of that kind.

        Any other word means itself: `stack`, `docker`.
        """
        if word in self.services:
            return word
        return next((one.name for one in self.of_kind(word)), word)


@cache
def model() -> Model:
    """The stack of this work tree, read once. Raises `ModelError`."""
    return read(FILE)


def read(path: Path) -> Model:
    """The stack that a file describes. Raises `ModelError`."""
    top = toml.read(path, ModelError)
    top.get("schema", SCHEMA, None)
    rows = top.table("services")
    services = {name: _service(name, row) for name, row in rows.tables()}
    if not services:
        raise top.error("expected one [services.NAME] or more, got none")
    one = toml.one_of(*services)
    made = Model(
        file=path,
        project=top.get("name", toml.TEXT),
        label_prefix=top.get("label", toml.TEXT),
        compose=tuple(top.get("compose", toml.TEXTS)),
        disposable=top.get("disposable", toml.TEXT),
        entry=top.get("entry", one),
        services=MappingProxyType(services),
        ca=top.get("ca", toml.TEXT, None),
        hooks=top.get("hooks", toml.TEXT, None),
        environment=top.get("environment", toml.TABLE_OF_TEXT, {}),
        secrets={name: _secret(name, row, one) for name, row in top.table("secrets").tables()},
    )
    top.refuse_unknown()
    return made


def _service(name: str, row: toml.Table) -> Service:
    if not NAME.fullmatch(name):
        raise row.error("expected a name that compose takes: letters, digits, `.`, `_`, `-`")
    made = Service(
        name=name,
        kinds=tuple(row.get("kinds", toml.TEXTS, ())),
        port=row.get("port", PORT, None),
        plain_port=row.get("plain_port", PORT, None),
        host_port=row.get("host_port", PORT, None),
        scheme=row.get("scheme", toml.one_of("http", "https", "redis"), "http"),
        ready=row.get("ready", PATH, None),
        job=row.get("job", toml.TEXT, None),
        data=row.get("data", PATH, None),
        built_from=row.get("built_from", toml.TEXT, None),
        files=row.get("files", toml.TABLE_OF_TEXT, {}),
        image=row.get("image", toml.TEXT, None),
        profile=row.get("profile", toml.TEXT, None),
        one_shot=row.get("one_shot", toml.FLAG, False),
        environment=row.get("environment", toml.TABLE_OF_TEXT, {}),
    )
    if made.port and made.scheme != "redis":
        row.get("ready", PATH)  # nothing else tells when it is ready
    return made


def _secret(name: str, row: toml.Table, service: toml.Kind[str]) -> Secret:
    if name not in SECRETS:
        raise row.error(f"expected one of {', '.join(SECRETS)}, got {name!r}")
    variable = row.get("variable", toml.TEXT)
    return Secret(variable, row.get("service", service), row.get("as", toml.TEXT, variable))


def disposable(stack: Model) -> str:
    """The compose file that makes this stack disposable: labels of its run and free ports."""
    import yaml  # only where it is written

    trees = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in stack.files]
    run, started = stack.label("gate.run"), stack.label("gate.started")
    lines = [
        GENERATED.format(file=stack.file.name),
        "x-run: &run",
        "  labels: &labels",
        f"    {run}: ${{GATE_RUN_ID:?the gate sets GATE_RUN_ID}}",
        f"    {started}: ${{GATE_STARTED:?the gate sets GATE_STARTED}}",
        "",
        "services:",
    ]
    for one in stack.services.values():
        lines += _overlay(one)
    for part in ("networks", "volumes"):
        names = dict.fromkeys(name for tree in trees for name in tree.get(part) or ())
        if names:
            lines += ["", f"{part}:", *(f"  {name}: *run" for name in names)]
    return "\n".join(lines) + "\n"


def _overlay(one: Service) -> list[str]:
    lines = [f"  {one.name}:", "    labels: *labels"]
    if ports := [port for port in (one.port, one.plain_port) if port]:
        published = ", ".join(f'"127.0.0.1::{port}"' for port in ports)
        lines.append(f"    ports: !override [{published}]")
    if one.environment:
        values = ", ".join(f'{name}: "{value}"' for name, value in one.environment.items())
        lines.append(f"    environment: {{{values}}}")
    return lines


def main() -> int:
    """Write the disposable stack's compose file."""
    stack = model()
    path = stack.folder / stack.disposable
    path.write_text(disposable(stack), encoding="utf-8")
    sys.stdout.write(f"{path.name} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
