"""The stack as its stack file describes it: what cannot be read from the compose files.

    model().name("redis")       the service of that name, else the first of that kind
    model().of_kind("redis")    every service of a kind

A service has kinds, and each kind makes promises. Code that means such a promise names the kind,
so that a service may be called anything. `python -m gate.model` (part of `make manifest`) writes
the compose file that turns the stack into a disposable one.
"""

import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gate.errors import UsageError

FILE = Path(__file__).parent.parent / "compose" / "stack.toml"
SCHEMA = 1
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*")
"""What compose takes as the name of a service."""
SCHEMES = ("http", "https", "redis")
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
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: expected a readable stack file: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: expected TOML, got: {error}") from None
    return _model(path, _Table(path, "", table))


class _Table:
    """A table of the file that is read key by key, each with the type it must have."""

    def __init__(self, path: Path, where: str, values: dict[str, Any]) -> None:
        self.path, self.where, self._values = path, where, values
        self._known: set[str] = set()

    def refuse(self, key: str, expected: str, seen: object) -> ModelError:
        """An error about one key."""
        return ModelError(f"{self.path}: {self.where}{key}: expected {expected}, got {seen!r}")

    def get(self, key: str, kind: type, expected: str, default: Any = None) -> Any:
        """The value of a key; `default` where it is not given."""
        self._known.add(key)
        value = self._values.get(key, default)
        # A bool is an int to Python, and no port to anybody.
        right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if key in self._values and not right:
            raise self.refuse(key, expected, value)
        return value

    def text(self, key: str) -> str | None:
        """Text, or None where it is not given."""
        value: str | None = self.get(key, str, "text")
        if value is not None and not value.strip():
            raise self.refuse(key, "text", value)
        return value

    def required(self, key: str) -> str:
        """Text that must be given."""
        value = self.text(key)
        if value is None:
            raise ModelError(f"{self.path}: {self.where}{key}: expected text, got no such key")
        return value

    def port(self, key: str) -> int | None:
        """The number of a port, or None where it is not given."""
        value: int | None = self.get(key, int, "a port from 1 to 65535")
        if value is not None and not 1 <= value <= 65535:
            raise self.refuse(key, "a port from 1 to 65535", value)
        return value

    def words(self, key: str) -> tuple[str, ...]:
        """A list of names."""
        value = self.get(key, list, "a list of names", [])
        if wrong := [one for one in value if not (isinstance(one, str) and NAME.fullmatch(one))]:
            raise self.refuse(key, "a list of names", wrong[0])
        return tuple(value)

    def texts(self, key: str) -> Mapping[str, str]:
        """A table of names and texts."""
        value = self.get(key, dict, "a table of names and texts", {})
        if wrong := [name for name, text in value.items() if not isinstance(text, str)]:
            raise self.refuse(f"{key}.{wrong[0]}", "text", value[wrong[0]])
        return MappingProxyType(value)

    def tables(self, key: str) -> dict[str, "_Table"]:
        """A table of tables."""
        value = self.get(key, dict, "a table", {})
        for name, row in value.items():
            if not isinstance(row, dict):
                raise self.refuse(f"{key}.{name}", "a table", row)
        where = f"{self.where}{key}."
        return {name: _Table(self.path, f"{where}{name}.", row) for name, row in value.items()}

    def end(self) -> None:
        """Refuse what nothing has asked for: a misspelt key must not count for nothing."""
        for key in self._values.keys() - self._known:
            known = ", ".join(sorted(self._known))
            raise ModelError(f"{self.path}: {self.where}{key}: expected one of {known}")


def _model(path: Path, top: _Table) -> Model:
    schema = top.get("schema", int, f"{SCHEMA}", SCHEMA)
    if schema != SCHEMA:
        raise top.refuse("schema", f"{SCHEMA}, the only one that this gate knows", schema)
    services = {name: _service(name, row) for name, row in top.tables("services").items()}
    secrets = {name: _secret(row, services) for name, row in top.tables("secrets").items()}
    made = Model(
        file=path,
        project=top.required("name"),
        label_prefix=top.required("label"),
        compose=top.words("compose"),
        disposable=top.required("disposable"),
        entry=_one_of(top, "entry", services),
        services=MappingProxyType(services),
        ca=top.text("ca"),
        hooks=top.text("hooks"),
        environment=top.texts("environment"),
        secrets=MappingProxyType(secrets),
    )
    if not made.compose:
        raise top.refuse("compose", "at least one compose file", list(made.compose))
    top.end()
    return made


def _service(name: str, row: _Table) -> Service:
    if not NAME.fullmatch(name):
        raise ModelError(f"{row.path}: {row.where[:-1]}: expected a name that compose takes")
    scheme = row.text("scheme") or "http"
    if scheme not in SCHEMES:
        raise row.refuse("scheme", f"one of {', '.join(SCHEMES)}", scheme)
    ready, data = row.text("ready"), row.text("data")
    for key, value in (("ready", ready), ("data", data)):
        if value is not None and not value.startswith("/"):
            raise row.refuse(key, "a path that begins with /", value)
    made = Service(
        name=name,
        kinds=row.words("kinds"),
        port=row.port("port"),
        plain_port=row.port("plain_port"),
        host_port=row.port("host_port"),
        scheme=scheme,
        ready=ready,
        data=data,
        built_from=row.text("built_from"),
        files=row.texts("files"),
        image=row.text("image"),
        profile=row.text("profile"),
        one_shot=row.get("one_shot", bool, "true or false", False),
        environment=row.texts("environment"),
    )
    row.end()
    if made.port and scheme != "redis" and ready is None:
        raise ModelError(
            f"{row.path}: {row.where}ready: expected the path that answers 200 once {name} is"
            " ready, got no such key"
        )
    return made


def _secret(row: _Table, services: Mapping[str, Service]) -> Secret:
    variable, service = row.required("variable"), _one_of(row, "service", services)
    made = Secret(variable, service, row.text("as") or variable)
    row.end()
    return made


def _one_of(table: _Table, key: str, services: Mapping[str, Service]) -> str:
    value = table.required(key)
    if value not in services:
        raise table.refuse(key, f"one of the services {', '.join(services) or '(none)'}", value)
    return value


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
