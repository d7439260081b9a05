"""The options that plant a fault in the run's stack."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gate.extensions import Asked, Extension, Option

if TYPE_CHECKING:
    from gate.stack import Stack
    from tests.faults.fault import Fault
    from tests.faults.planting import Planting

OPTIONS = (
    Option(
        "--fault",
        "FILE of a fault to plant in the disposable stack (tests/faults/README.md)",
        takes_path=True,
    ),
    Option("--until-caught", "with --fault: begin and end with its checks", is_flag=True),
)


@dataclass(frozen=True)
class FaultOptions(Extension):
    """A defect to plant in the disposable stack."""

    fault: "Fault | None" = None
    until_caught: bool = False
    """Whether a stage ends once it has found the fault."""

    @property
    def defaults(self) -> Mapping[str, str]:
        """What the fault's file says of options that the command line may give."""
        if self.fault is None:
            return {}
        given = {
            "--previous-contract": self.fault.previous_contract,
            "--baseline": self.fault.baseline,
        }
        return {name: value for name, value in given.items() if value is not None}

    @property
    def expects(self) -> Callable[[str], bool] | None:
        """Tell the checks that the fault is planted for, under --until-caught."""
        return self.fault.expects if self.fault is not None and self.until_caught else None

    @property
    def changes_the_stack(self) -> bool:
        """Whether a fault is planted."""
        return self.fault is not None

    def hook(self, stack: "Stack") -> "Planting | None":
        """Return what plants the fault."""
        if self.fault is None:
            return None
        from tests.faults.planting import Planting  # only where a fault is planted

        return Planting(stack, self.fault)


def read(asked: Asked) -> FaultOptions:
    """Read the fault to plant. Raises `pytest.UsageError` for a file that is none."""
    file, until_caught = asked.values("--fault"), bool(asked.values("--until-caught"))
    if file is None:
        if until_caught:
            raise pytest.UsageError("expected --until-caught with --fault FILE, got no --fault")
        return FaultOptions()
    if not asked.target.managed:
        raise pytest.UsageError(
            f"expected --fault with a disposable stack only, got --target {asked.target.name}"
        )
    from tests.faults import fault, planters  # only where one is planted

    try:
        found = fault.load(Path(file).absolute())
        planters.change_sources(found)
        return FaultOptions(found, until_caught)
    except fault.FaultError as error:
        raise pytest.UsageError(str(error)) from None
