"""What the stage sent and saw: statuses and parameters of each operation, and broken rules."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from contracts.agreed import load
from contracts.diff import Operation, matches, operations
from contracts.rules import RULES
from gate import fail

DOCUMENT_PATH = "/api/openapi.json"
SHOWN_BODY = 600


@dataclass(frozen=True)
class Breach:
    """One answer that broke a rule."""

    rule: str
    what: str
    request: str
    """As a curl command."""
    answer: str

    @property
    def blocking(self) -> bool:
        """Whether it holds the deployment back."""
        return self.rule not in RULES or RULES[self.rule].blocking


@dataclass
class Ledger:
    """Kept for the whole stage; `seed` is what makes its cases repeat."""

    seed: int
    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    parameters: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    breaches: dict[str, list[Breach]] = field(default_factory=lambda: defaultdict(list))
    agreed: dict[str, Operation] = field(default_factory=lambda: dict(operations(load())))

    cases: int = 0
    _digest: Any = field(default_factory=sha256)

    def sends(self, case: str) -> None:
        """A case goes out; the digest over all of them shows that a seed repeats."""
        self.cases += 1
        self._digest.update(case.encode("utf-8", "surrogatepass") + b"\n")

    @property
    def title(self) -> str:
        """What makes this stage's cases repeat, and a digest that shows whether they did."""
        return f"seed {self.seed}, {self.cases} cases, digest {self._digest.hexdigest()[:16]}"

    def saw(self, label: str, status: int, parameters: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        """One answer of an operation."""
        self.statuses[label][status] += 1
        self.parameters[label] |= parameters

    def label_of(self, method: str, path: str) -> str | None:
        """The operation that a request was for; None for what was not agreed on."""
        plain = path.partition("?")[0]
        fitting = [one for one in self.agreed if one.startswith(f"{method} ")]
        exact = [one for one in fitting if one.partition(" ")[2] == plain]
        found = exact or [one for one in fitting if matches(one.partition(" ")[2], plain)]
        return found[0] if found else None

    def judge(self, label: str) -> None:
        """Fails the check when an answer of the operation broke a blocking rule."""
        blocking = [one for one in self.breaches[label] if one.blocking]
        if not blocking:
            return
        first = min(blocking, key=lambda one: len(one.request))
        rules = sorted({one.rule for one in blocking})
        reason = RULES[first.rule].reason if first.rule in RULES else "it is a rule"
        evidence = f"{first.request}\n\n{first.answer}\n\nseed {self.seed}"
        also = f" (also broken: {', '.join(rules)})" if len(rules) > 1 else ""
        fail(
            f"{label} to keep {first.rule}: {reason}",
            f"{first.what}, {len(blocking)} of {self.statuses[label].total()} answers{also}",
            evidence,
        )

    def tested(self, label: str) -> bool:
        """Whether the operation ever did its work."""
        return any(200 <= status < 300 for status in self.statuses[label])

    def documented(self) -> set[tuple[str, str]]:
        """Every operation with each status that its document promises."""
        return {(label, status) for label, one in self.agreed.items() for status in one.responses}

    def seen(self) -> set[tuple[str, str]]:
        """Documented statuses that came."""
        came = {(label, str(s)) for label, found in self.statuses.items() for s in found}
        return came & self.documented()

    def rows(self) -> Iterator[list[str]]:
        """The table of what was covered, an operation a row."""
        for label, one in self.agreed.items():
            wanted = {f"{place} {name}" for place, name in one.parameters}
            if one.body.get("requestBody"):
                wanted.add("body")
            came = {str(status) for status in self.statuses[label]}
            yield [
                label,
                str(self.statuses[label].total()),
                _listed(one.responses.keys() & came),
                _listed(one.responses.keys() - came),
                _listed(wanted & self.parameters[label]),
                _listed(wanted - self.parameters[label]),
            ]


COLUMNS = [
    "operation",
    "answers",
    "statuses seen",
    "statuses not seen",
    "parameters sent",
    "parameters not sent",
]


def shown(status: int, content_type: str, body: bytes) -> str:
    """An answer as evidence."""
    text = body.decode("utf-8", "replace")
    return f"{status} {content_type}\n{text[:SHOWN_BODY]}"


def _listed(words: Any) -> str:
    return ", ".join(sorted(words)) or "none"


def as_curl(method: str, url: str, body: object = None) -> str:
    """A request as a command to type; the key stays out of it."""
    words = ["curl", "-X", method, "-H", "'X-API-Key: …'"]
    if body is not None:
        words += ["-H", "'Content-Type: application/json'", "-d", f"'{json.dumps(body)}'"]
    return " ".join([*words, f"'{url}'"])
