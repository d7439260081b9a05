"""What a Dockerfile says of the image that is made: base, ports, command, what is copied."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

_CONTINUED = re.compile(r"\\[ \t]*\r?\n(?:[ \t]*(?:#.*)?\r?\n)*")
_VARIABLE = re.compile(r"\$\{?(\w+)(?::?-([^}]*))?\}?")


@dataclass(frozen=True)
class _Stage:
    name: str
    base: str
    lines: list[tuple[str, str]]


@dataclass(frozen=True)
class Dockerfile:
    """One Dockerfile, up to the stage that is asked for."""

    text: str
    target: str | None = None
    arguments: Mapping[str, str] | None = None

    @cached_property
    def _stages(self) -> list[_Stage]:
        values = dict(self.arguments or {})
        stages: list[_Stage] = []
        for line in _CONTINUED.sub(" ", self.text).splitlines():
            word, _, rest = line.strip().partition(" ")
            word, rest = word.upper(), rest.strip()
            if word == "ARG" and not stages:
                name, _, default = rest.partition("=")
                values.setdefault(name.strip(), default.strip("\"' "))
            elif word == "FROM":
                parts = [part for part in rest.split() if not part.startswith("--")]
                alias = parts[2] if len(parts) > 2 and parts[1].lower() == "as" else ""
                base = _VARIABLE.sub(
                    lambda hit: values.get(hit[1]) or hit[2] or "", parts[0] if parts else ""
                )
                stages.append(_Stage(alias, base, []))
            elif stages and word and not word.startswith("#"):
                stages[-1].lines.append((word, rest))
        return stages

    @cached_property
    def _chain(self) -> list[_Stage]:
        """The stage that the image is of, and those that it is built upon, the last one first."""
        stages = self._stages
        named = [n for n, stage in enumerate(stages) if stage.name == self.target]
        at = named[0] if named and self.target else len(stages) - 1
        chain: list[_Stage] = []
        while at >= 0:
            chain.append(stages[at])
            below = [n for n in range(at) if stages[n].name and stages[n].name == stages[at].base]
            at = below[-1] if below else -1
        return chain

    @property
    def base(self) -> str:
        """The image that it begins with; empty where it cannot be told."""
        return self._chain[-1].base if self._chain else ""

    @property
    def ports(self) -> tuple[int, ...]:
        """TCP ports that it exposes."""
        words = [
            word for stage in self._chain for rest in _of(stage, "EXPOSE") for word in rest.split()
        ]
        found = [word.partition("/") for word in words]
        return tuple(int(port) for port, _, kind in found if port.isdigit() and kind != "udp")

    @property
    def command(self) -> str:
        """Entry point and command of the last stage that has any."""
        for stage in self._chain:
            entry, command = _of(stage, "ENTRYPOINT"), _of(stage, "CMD")
            if entry or command:
                return " ".join(_plain(words[-1]) for words in (entry, command) if words)
        return ""

    @property
    def copied(self) -> tuple[tuple[str, ...], ...]:
        """What it copies from its context: sources, and the path in the image as the last."""
        rows = [
            rest for stage in self._chain for word in ("COPY", "ADD") for rest in _of(stage, word)
        ]
        own = [row for row in rows if "--from=" not in row]
        split = [_split(row) for row in own]
        return tuple(tuple(w for w in words if not w.startswith("--")) for words in split)

    @property
    def text_of_runs(self) -> str:
        """Everything that is run to make it, in one text."""
        return "\n".join(rest for stage in self._stages for rest in _of(stage, "RUN"))


def _of(stage: _Stage, word: str) -> list[str]:
    return [rest for each, rest in stage.lines if each == word]


def _plain(words: str) -> str:
    """Give the exec form, `["a", "b"]`, as the words that it holds."""
    return " ".join(re.findall(r'"((?:[^"\\]|\\.)*)"', words)) if words.startswith("[") else words


def _split(row: str) -> list[str]:
    row = " ".join(part.strip('",[]') for part in row.split()) if "[" in row else row
    try:
        return shlex.split(row)
    except ValueError:
        return row.split()
