"""How much the contract stage may do: one table for the gate, exploring at night beyond it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from contracts.agreed import ContractError

SEED = "GATE_CONTRACT_SEED"
FACTOR = "GATE_CONTRACT_FACTOR"


@dataclass(frozen=True)
class Budget:
    """Counts that bound the stage, and the seed that makes its cases repeat."""

    seed: int = 20_261_124
    examples: int = 12
    """Generated cases of one operation, beside its documented examples and its boundary values."""
    histories: int = 6
    """Histories of the engine's state model."""
    steps: int = 8
    """Commands and mishaps in one history."""
    chains: int = 10
    """Chains of operations that use each other's answers."""
    chain_steps: int = 5
    """Operations in one chain."""


def budget(environment: Mapping[str, str] = os.environ) -> Budget:
    """The budget, with the seed and the factor that the environment sets.

    Raises `ContractError` for a value that is no number.
    """
    plain = Budget()
    factor = _number(environment, FACTOR, 1)
    return replace(
        plain,
        seed=_number(environment, SEED, plain.seed),
        examples=plain.examples * factor,
        histories=plain.histories * factor,
        chains=plain.chains * factor,
    )


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    given = environment.get(name) or str(default)
    if not (given.isascii() and given.isdigit() and int(given) > 0):
        raise ContractError(f"expected {name} to be a number above 0, got {given!r}")
    return int(given)
