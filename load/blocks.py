"""Who gets which block of the traffic when a candidate runs beside its baseline."""

import random
from collections.abc import Iterator

SIDES = ("baseline", "candidate")


def plan(pairs: int, seed: int) -> Iterator[str]:
    """The side of each block in order of time: both sides of every pair, in random order.

    Short blocks let a disturbance of the machine fall on both sides; the random order within a
    pair is what the judge's arithmetic rests on.
    """
    chance = random.Random(seed)  # noqa: S311 (a plan has to repeat)
    for _ in range(pairs):
        yield from chance.sample(SIDES, 2)
