"""A candidate against its baseline: every operation of a run, and all together.

Side by side both are sent the same traffic in turns, so that the machine's noise falls on both.
Apart, the baseline is an earlier run: whatever the machine did otherwise then is in every
difference, so that only large ones are told, and less is claimed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from load import runner
from load.blocks import SIDES
from load.judge import EFFECTS, Comparison, Difference, Side, Verdict, compare, together
from load.measures import WHOLE
from load.profile import SAFE, Profile
from load.samples import MEASURED, Array, Run, RunError, Samples

# How each constant was chosen: docs/judge.md.

CANDIDATE, BASELINE = range(len(SIDES))
LEAST_APART = 1.5
"""Ratio of latencies that counts between runs at different times: less is often the machine's."""
REQUESTS_APART = 100
"""Of each run: enough for p50, p95 and errors. Tails are told from as many as side by side."""
ORDER: tuple[Verdict, ...] = ("worse", "not enough data", "better", "same")
COLUMNS = ["what", "answer", "would see", *EFFECTS, "errors"]


@dataclass(frozen=True)
class Answers:
    """What a comparison says of each operation, and of all together."""

    found: dict[str, Comparison]
    is_side_by_side: bool
    """Whether both took turns in one run."""
    version: str | None
    revision: str | None
    """Of the baseline."""
    doubt: str = ""
    """Why nothing at all is known, where the two runs cannot be held against each other."""

    @property
    def baseline(self) -> str:
        """Who the baseline is, in words."""
        who = f"{self.version} ({str(self.revision)[:12]})"
        return who if self.is_side_by_side else f"an earlier run of {who}"

    @property
    def verdict(self) -> Verdict:
        """The one answer that counts: any worse, else any without data, else any better."""
        given = {one.verdict for one in self.found.values()} or {"not enough data"}
        return next(one for one in ORDER if one in given)

    @property
    def title(self) -> str:
        """What a table of it is called; how far it can be trusted is part of that."""
        if self.is_side_by_side:
            return f"Load: against {self.baseline}, both in turns in one run"
        return (
            f"Load: against {self.baseline}, not side by side: the machine's noise did not cancel,"
            f" and only what took {LEAST_APART:g} times as long is told"
            f"{'; ' if self.doubt else ''}{self.doubt}"
        )

    def words(self, name: str) -> str:
        """What became of an operation."""
        if name not in self.found:
            return "the profile does not send it"
        if self.doubt:
            return f"not enough data: {self.doubt}"
        return words(self.found[name])

    def rows(self) -> Iterator[list[str]]:
        """A line of the table for each operation."""
        for name, one in self.found.items():
            effects = {each.name: effect(each) for each in one.differences}
            sees = f"{one.sees:.2f} times" if one.differences else ""
            yield [name, one.verdict, sees, *(effects.get(column, "") for column in COLUMNS[3:])]

    def entry(self) -> dict[str, Any]:
        """As JSON: ratios, for errors a difference of shares; null where nothing bounds it."""
        return {
            "version": self.version,
            "revision": self.revision,
            "side_by_side": self.is_side_by_side,
            "verdict": self.verdict,
            "operations": {name: _entry(one) for name, one in self.found.items()},
        }


def side_by_side(run: Run) -> Answers:
    """Judge a run whose traffic was dealt to both sides."""
    found = {}
    for name in (*run.operations, WHOLE):
        own = _measured(run, name)
        pair = own.block // len(SIDES)
        sides = (own.side == one for one in (CANDIDATE, BASELINE))
        candidate, baseline = ((own.where(mask), pair[mask]) for mask in sides)
        found[name] = compare(*_paired(candidate, baseline))
    return Answers(together(found), True, **run.summary["baseline"])


def apart(run: Run, earlier: Run) -> Answers:
    """Judge a run against an earlier one of the same profile, second by second."""
    found: dict[str, Comparison] = {}
    for name in (*(one for one in run.operations if one.startswith(SAFE)), WHOLE):
        runs = (_measured(one, name) for one in (run, earlier))
        candidate, baseline = ((own, own.intended.astype(np.int64)) for own in runs)
        sides = _paired(candidate, baseline)
        found[name] = compare(*sides, least=LEAST_APART, requests=REQUESTS_APART)
    told, doubt = together(found), _doubt(scheduling_lag_p90(run), scheduling_lag_p90(earlier))
    if doubt:
        told = {name: replace(one, verdict="not enough data") for name, one in told.items()}
    who = {key: earlier.summary[key] for key in ("version", "revision")}
    return Answers(told, False, **who, doubt=doubt)


def scheduling_lag_p90(run: Run) -> float:
    """How late the generator sent one arrival in ten, in ms: how busy the machine was besides."""
    measured = run.samples.where(run.samples.phase == MEASURED)
    lag = measured.latency_ms - measured.service_ms
    return float(np.quantile(lag, 0.9)) if len(lag) else float("inf")


def _doubt(now: float, then: float) -> str:
    if max(now, then) < LEAST_APART * min(now, then):
        return ""
    return (
        f"the machine was not equally busy: one request in ten was sent {now:.2g} ms late or"
        f" more, against {then:.2g} ms"
    )


def require(earlier: Run, profile: Profile) -> None:
    """Raises `RunError` for a run that one of this profile cannot be compared with."""
    for holds, expected, given in _requirements(earlier.summary, profile):
        if not holds:
            raise RunError(f"expected an earlier run {expected}, got one {given}")


def _requirements(found: dict[str, Any], profile: Profile) -> Iterator[tuple[bool, str, str]]:
    name, seed, here = profile.name, profile.seed, runner.machine()
    there, reasons = found["machine"], "; ".join(found["validity"]["reasons"])
    yield not found.get("baseline"), "of one stack alone", "that compares two"
    yield found["profile"] == name, f"of the profile {name}", f"of {found['profile']}"
    yield found["seed"] == seed, f"with the seed {seed}", f"with {found['seed']}"
    same = found["operations"] == profile.names
    yield same, f"of the operations of {name} as it is now", f"of {found['operations']}"
    yield found["validity"]["valid"], "that was valid", f"that was not: {reasons}"
    yield not found["aborted"], "that came to its end", f"that ended early: {found['aborted']}"
    for what, words in (("host", "on the host {}"), ("cores", "on {} cores")):
        yield here[what] == there[what], words.format(here[what]), words.format(there[what])


def effect(one: Difference) -> str:
    """How large a difference is, with its interval."""
    value, low, high = one.effect.value, one.effect.low, one.effect.high
    if one.name == "errors":
        return f"{value:+.2%} ({low:+.2%} to {high:+.2%})"
    return f"{value:.2f} times ({low:.2f} to {high:.2f})"


def words(one: Comparison) -> str:
    """What a comparison came to: what tells, or that nothing does."""
    telling = [each for each in one.telling if each.worse is (one.verdict == "worse")]
    found = "; ".join(_told(each) for each in telling)
    if found:
        return f"{one.verdict}: {found}"
    if one.verdict == "not enough data" and one.differences:
        return f"{one.verdict}: nothing below {one.sees:.2f} times would have been seen"
    return one.verdict


def _told(one: Difference) -> str:
    if one.name == "errors":
        return f"errors {one.candidate:.2%} against {one.baseline:.2%}, {effect(one)}"
    return f"{one.name} {one.candidate:.3g} ms against {one.baseline:.3g} ms, {effect(one)}"


def _measured(run: Run, name: str) -> Samples:
    if name != WHOLE:
        return run.of(name)
    reads = [index for index, one in enumerate(run.operations) if one.startswith(SAFE)]
    every = run.samples
    return every.where((every.phase == MEASURED) & np.isin(every.op, reads))


Blocks = tuple[Samples, Array]


def _paired(candidate: Blocks, baseline: Blocks) -> tuple[Side, Side]:
    """Both sides, without blocks that only one of them has requests in."""
    both = np.intersect1d(candidate[1], baseline[1])
    return _side(*candidate, both), _side(*baseline, both)


def _side(own: Samples, block: Array, both: Array) -> Side:
    kept = np.isin(block, both)
    latency = own.latency_ms[kept].astype(float)
    return Side(latency, ~own.ok[kept], block[kept].astype(np.int64))


def _entry(one: Comparison) -> dict[str, Any]:
    return {
        "verdict": one.verdict,
        "would_see": round(one.sees, 4),
        "telling": [each.name for each in one.telling],
        "differences": {each.name: _numbers(each) for each in one.differences},
    }


def _numbers(one: Difference) -> dict[str, float | None]:
    found = {
        "candidate": one.candidate,
        "baseline": one.baseline,
        "effect": one.effect.value,
        "low": one.effect.low,
        "high": one.effect.high,
        "p": one.p,
    }
    return {name: round(of, 5) if abs(of) < float("inf") else None for name, of in found.items()}
