"""A compose project as compose itself renders it: there is no second reader of its YAML.

    project = render(Path("shop/compose.yaml"))     # or the folder, as `docker compose` finds it
    project.services["db"].image                    # "postgres:16"
    project.unset                                   # variables in it that nobody sets: made up

Compose reads override files, `extends`, `include`, profiles, `.env` and the caller's variables;
nothing is asked of an engine, nothing is started. What it refuses is a `UsageError` in its words.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gate.dockerfile import Dockerfile
from gate.errors import UsageError
from gate.machine.commands import Result, run
from gate.settings import UNSET

LIMIT = 30.0
FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
"""Names that compose finds by itself, with the override file beside them."""
_REQUIRED = re.compile(r"required variable (\w+) is missing a value")
"""Compose 2's words for `${NAME:?…}`."""
_OWN = ("COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "COMPOSE_PATH_SEPARATOR")
"""The caller's variables that name another project than the one that is asked about."""
_DEFAULT_DOCKERFILE = "Dockerfile"


@dataclass(frozen=True)
class RenderedService:
    """One service as rendered; `raw` is compose's own JSON of it."""

    name: str
    raw: Mapping[str, Any]
    folder: Path

    @property
    def image(self) -> str | None:
        """The image it is started from; for one that is built, what the build is tagged with."""
        return self.raw.get("image")

    @property
    def is_built(self) -> bool:
        """Whether its image is made from sources."""
        return "build" in self.raw

    @property
    def context(self) -> Path | None:
        """The folder that it is built from; None for an image, and for a context elsewhere."""
        build = self.raw.get("build") or {}
        path = self.folder / str(build.get("context", "."))
        return path if self.is_built and path.is_dir() else None

    @cached_property
    def dockerfile(self) -> Dockerfile | None:
        """What its Dockerfile says of the image; None where there is none to read."""
        build = self.raw.get("build") or {}
        text = build.get("dockerfile_inline")
        if text is None and self.context is not None:
            try:
                path = self.context / build.get("dockerfile", _DEFAULT_DOCKERFILE)
                text = path.read_text(encoding="utf-8", errors="replace")
            except OSError:
                return None
        arguments = {name: str(value or "") for name, value in (build.get("args") or {}).items()}
        return None if text is None else Dockerfile(text, build.get("target"), arguments)

    @property
    def command(self) -> str:
        """The words that its container runs, as far as files say; empty where the image knows."""
        own = [*_words(self.raw.get("entrypoint")), *_words(self.raw.get("command"))]
        return " ".join(own) or (self.dockerfile.command if self.dockerfile else "")

    @property
    def ports(self) -> tuple[int, ...]:
        """TCP ports in the container that compose file or Dockerfile name; published ones first."""
        published = [
            int(port["target"])
            for port in self.raw.get("ports") or ()
            if port.get("protocol", "tcp") == "tcp" and str(port.get("target", "")).isdigit()
        ]
        exposed = [str(port).partition("/") for port in self.raw.get("expose") or ()]
        inside = [
            int(port) for port, _, protocol in exposed if port.isdigit() and protocol != "udp"
        ]
        image = self.dockerfile.ports if self.dockerfile else ()
        return tuple(dict.fromkeys([*published, *inside, *image]))

    @property
    def is_published(self) -> bool:
        """Whether a port of the host leads to it, or it has the host's network."""
        return bool(self.raw.get("ports")) or self.raw.get("network_mode") == "host"

    @property
    def environment(self) -> dict[str, str]:
        """Its variables, without those of its image."""
        return {name: str(v or "") for name, v in (self.raw.get("environment") or {}).items()}

    @property
    def health_check(self) -> str:
        """The words of its health check; empty for none, and for the image's own."""
        test = (self.raw.get("healthcheck") or {}).get("test") or ()
        return " ".join(_words(test)).removeprefix("CMD-SHELL ").removeprefix("CMD ")

    @property
    def mounts(self) -> dict[str, Path]:
        """Paths in its container where a file or folder of the host is, and which."""
        return {
            str(volume["target"]): self.folder / str(volume["source"])
            for volume in self.raw.get("volumes") or ()
            if volume.get("type") == "bind" and volume.get("source")
        }

    @property
    def waits_for(self) -> dict[str, str]:
        """Services that it is started after, with the condition of each."""
        depends = self.raw.get("depends_on") or {}
        return {name: str(row.get("condition", "")) for name, row in depends.items()}


@dataclass(frozen=True)
class Project:
    """Everything that compose says of a project."""

    name: str
    folder: Path
    services: Mapping[str, RenderedService]
    unset: tuple[str, ...] = ()
    """Variables that the files use, without a default, and nobody sets."""
    configs: Mapping[str, Any] = field(default_factory=dict)

    def waited_for_to_end(self, name: str) -> bool:
        """Whether another service is started only once this one has ended well."""
        ended = "service_completed_successfully"
        return any(each.waits_for.get(name) == ended for each in self.services.values())


def render(place: Path, more: Sequence[Path] = ()) -> Project:
    """Render a project from its folder or its compose file, and further files on top.

    Services of every profile are in it. Raises `UsageError`.
    """
    if not place.exists():
        raise UsageError(f"expected a compose file or its folder, got {place}, which is not there")
    folder = place if place.is_dir() else place.parent
    found = place.is_dir() or (place.name in FILES and not more)
    words = [] if found else [f"--file={path.absolute()}" for path in (place, *more)]
    answer, unset = _config(words, folder)
    if not answer.ok:
        names = f"; not set: {', '.join(unset)}" if unset else ""
        why = f"expected a project that compose can read, got: {_why(answer.err)}{names}"
        raise UsageError(f"{place}: {why}")
    try:
        tree = json.loads(answer.out)
        rows = tree["services"] or {}
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{place}: expected JSON of compose, got: {answer.out[:80]!r}") from None
    if not rows:
        raise UsageError(f"{place}: expected a service or more, got none")
    home = folder.absolute()
    return Project(
        name=str(tree.get("name", "")),
        folder=home,
        services={name: RenderedService(name, row, home) for name, row in rows.items()},
        unset=unset,
        configs=tree.get("configs") or {},
    )


def _config(words: Sequence[str], folder: Path) -> tuple[Result, tuple[str, ...]]:
    """Ask compose, with a value made up for each variable that it will not do without.

    Give its answer, and the variables that nobody sets: what is made from those is not known.
    """
    # The project is the caller's, and so are the variables that it is made from.
    variables = {name: value for name, value in os.environ.items() if name not in _OWN}
    required: list[str] = []
    while True:
        made_up = dict.fromkeys(required, "not-set")
        command = ["docker", "compose", *words, "--profile=*", "config", "--format=json"]
        answer = run(command, LIMIT, cwd=folder, base={**variables, **made_up})
        missing = _REQUIRED.search(answer.err)
        if answer.ok or missing is None or missing[1] in required:
            return answer, tuple(dict.fromkeys([*required, *UNSET.findall(answer.err)]))
        required.append(missing[1])


def _words(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(word) for word in value or ()]


def _why(text: str) -> str:
    """Give compose's sentence without its warnings."""
    lines = [line for line in text.strip().splitlines() if "level=warning" not in line]
    kept = [line for line in lines if not UNSET.search(line)]
    return " ".join(" ".join(kept[-3:]).split()) or "no reason"
