"""How much the contract stage may do: one table for the gate, and minutes to explore at night."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from contracts.agreed import ContractError, labels

SEED = "GATE_CONTRACT_SEED"
MINUTES = "GATE_CONTRACT_MINUTES"


@dataclass(frozen=True)
class Budget:
    """Counts that bound the stage, and the seed that makes its cases repeat."""

    seed: int = 20_261_124
    examples: int = 12
    """Generated cases of one operation, beside its documented examples and its boundary values."""
    seconds_each: float = float("inf")
    """Time for one operation's cases; those beyond it are not sent. Only at night."""
    histories: int = 6
    """Histories of the engine's state model."""
    steps: int = 8
    """Commands and mishaps in one history."""
    chains: int = 10
    """Chains of operations that use each other's answers."""
    chain_steps: int = 5
    """Operations in one chain."""
    more_seconds: float = 0.0
    """That the stage takes at most on top of what it takes in the gate."""


def budget(environment: Mapping[str, str] = os.environ) -> Budget:
    """The gate's budget, or one for some minutes; the seed may be given too.

    Raises `ContractError` for a value that is no number.
    """
    plain = replace(Budget(), seed=_number(environment, SEED, Budget.seed))
    minutes = _number(environment, MINUTES, 0)
    if not minutes:
        return plain
    return replace(
        plain,
        examples=plain.examples * 10 * minutes,
        seconds_each=minutes * 60 / len(labels()),
        histories=plain.histories * minutes,
        chains=plain.chains * minutes,
        more_seconds=2 * minutes * 60,  # the minutes for cases; histories and chains beside them
    )


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    given = environment.get(name) or str(default)
    if not (given.isascii() and given.isdigit()):
        raise ContractError(f"expected {name} to be a whole number, got {given!r}")
    return int(given)
