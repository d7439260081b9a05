"""Who gets which block of the traffic when a candidate runs beside its baseline."""

import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from load.arrivals import Schedule
from load.samples import TYPES

SIDES = ("candidate", "baseline")
BLOCK = 25
"""Arrivals: short enough that a disturbance of the machine falls on both sides."""


def plan(pairs: int, seed: int) -> Iterator[str]:
    """The side of each block in order of time: both sides of every pair, in random order.

    Short blocks let a disturbance of the machine fall on both sides; the random order within a
    pair is what the judge's arithmetic rests on.
    """
    chance = random.Random(seed)  # noqa: S311 (a plan has to repeat)
    for _ in range(pairs):
        yield from chance.sample(SIDES, 2)


def deal(whole: Schedule, seed: int) -> Schedule:
    """The same arrivals, dealt out to both sides block by block."""
    block = np.arange(len(whole)) // BLOCK
    pairs = len(whole) // (2 * BLOCK) + 1
    turns = np.array([SIDES.index(side) for side in plan(pairs, seed)], TYPES["side"])
    return replace(whole, side=turns[block], block=block.astype(TYPES["block"]))
