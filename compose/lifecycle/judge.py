"""Is the new colour worse than the old one? Judged on the proxy's log of the same minutes.

Where its constants come from: docs/judge.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import comb
from typing import Any

FEWEST = 50
"""Requests that the new colour must have had: no evidence is not success."""
DOUBT = 0.01
"""Chance of refusing a colour that is as good as the other, in each of the two tests."""
SLOWER = 2.0
SLOW_FLOOR = 0.05
"""An answer is slow above these seconds, and above so many times the old 95th percentile."""


@dataclass(frozen=True)
class UpstreamStats:
    """What one colour answered."""

    requests: int
    errors: int
    seconds: tuple[float, ...]

    def slow(self, limit: float) -> int:
        """Count the answers that took longer than `limit` seconds."""
        return sum(duration > limit for duration in self.seconds)


def upstream_stats(entries: Iterable[Mapping[str, Any]], upstream: str) -> UpstreamStats:
    """Count what `upstream` (address:port) answered by the proxy's log, WebSockets left out."""
    mine = [entry for entry in entries if entry["upstream"] == upstream and not entry["upgrade"]]
    errors = sum(int(entry["status"]) >= 500 for entry in mine)
    return UpstreamStats(len(mine), errors, tuple(float(entry["request_time"]) for entry in mine))


def canary_regression(new: UpstreamStats, old: UpstreamStats) -> str | None:
    """Say why the new colour must not go on; None when nothing speaks against it.

    Fisher's exact test, one-sided, on two counts: answers of 500 and above, and slow answers. A
    test of a middle value would not see one answer in twenty grow slow.
    """
    if new.requests < FEWEST or old.requests < FEWEST:
        return (
            f"too little traffic to judge: {new.requests} requests of the new colour and"
            f" {old.requests} of the old, at least {FEWEST} each are needed"
        )
    if _more(new.errors, new.requests, old.errors, old.requests):
        return (
            f"{new.errors} of {new.requests} requests failed on the new colour,"
            f" {old.errors} of {old.requests} on the old"
        )
    limit = max(SLOW_FLOOR, SLOWER * _percentile(old.seconds, 0.95))
    if _more(new.slow(limit), new.requests, old.slow(limit), old.requests):
        return (
            f"{new.slow(limit)} of {new.requests} answers of the new colour took more than"
            f" {limit * 1000:.0f} ms, {old.slow(limit)} of {old.requests} of the old"
        )
    return None


def _more(bad: int, of: int, old_bad: int, old_of: int) -> bool:
    """Tell whether so many bad among the new would be too unlikely if both colours were alike."""
    every, all_bad = of + old_of, bad + old_bad
    ways = sum(comb(all_bad, k) * comb(every - all_bad, of - k) for k in range(bad, all_bad + 1))
    return ways / comb(every, of) < DOUBT


def _percentile(values: tuple[float, ...], part: float) -> float:
    return sorted(values)[int(part * (len(values) - 1))]
