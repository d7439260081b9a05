"""The options of the contract stage: what clients not yet updated know, and time to explore."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from gate.extensions import Asked, Extension, Option
from gate.target import Target

OPTIONS = (
    Option(
        "--previous-contract",
        "FILE or URL of the contract that clients not yet updated know",
        takes_path=True,
    ),
)


@dataclass(frozen=True)
class ContractOptions(Extension):
    """What the contract stage was asked for."""

    previous: Mapping[str, Any] | None = None
    """The OpenAPI document that clients not yet updated were written for."""
    exploring_seconds: float = 0.0
    """By which the stage takes longer than in the gate (GATE_CONTRACT_MINUTES)."""

    @property
    def gives(self) -> frozenset[str]:
        """Say whether there is a document to compare with."""
        return frozenset({"previous-contract"} if self.previous is not None else ())

    @property
    def more_seconds(self) -> Mapping[str, float]:
        """Give the time to explore."""
        return {"contract": self.exploring_seconds}


def read(asked: Asked) -> ContractOptions:
    """Read the previous contract and the time to explore. Raises `pytest.UsageError`."""
    source = asked.values("--previous-contract")
    if source is None:
        source = asked.defaults.get("--previous-contract")
    return ContractOptions(previous_contract(source, asked.target), _exploring_seconds())


def previous_contract(source: str | None, target: Target | None = None) -> Mapping[str, Any] | None:
    """Read the contract at a path or URL. Raises `pytest.UsageError` for what is none."""
    if source is None:
        return None
    from contracts import agreed  # only where one is given

    try:
        return agreed.read(source, target)
    except agreed.ContractError as error:
        raise pytest.UsageError(f"--previous-contract: {error}") from None


def _exploring_seconds() -> float:
    if not (os.environ.get("GATE_CONTRACT_SEED") or os.environ.get("GATE_CONTRACT_MINUTES")):
        return 0.0
    from contracts.budget import budget  # only where the environment asks for more

    try:
        return budget().more_seconds
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
