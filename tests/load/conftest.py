"""One run of load for all checks of the stage."""

from collections.abc import Iterator

import pytest

from compose.machine.console import MachineError
from load import history, profile, runner
from load.samples import Run
from tests.control.engine import at_rest
from tests.control.witness import Witness
from tests.gate import Gate
from tests.load import report
from tests.load.test_levels import PROFILE
from tests.operator import Operator


@pytest.fixture(scope="session")
def load_run(gate: Gate, operator: Operator) -> Iterator[Run]:
    """A run of the profile that says something. Raises `MachineError` for one that does not."""
    witness = Witness(operator)
    at_rest(operator, witness)
    folder = operator.folder / "load"
    chosen = gate.options.load_profile or profile.load(PROFILE)
    where, keys = operator.target, operator.credentials
    workers = gate.options.load_workers
    beside = operator.stack if workers > 1 and where.ours else None
    found = runner.run(chosen, where, keys, folder, workers, beside=beside)
    report.write(gate.stream, found)
    history.append(gate.options.report_dir / history.FILE, operator.folder.name, found)
    if not found.summary["validity"]["valid"]:
        reasons = "; ".join(found.summary["validity"]["reasons"])
        raise MachineError(f"expected a valid run of load, but {reasons}")
    yield found
    at_rest(operator, witness)
