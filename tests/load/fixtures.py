"""Fixtures of the load stage: one run of load for all its checks."""

from collections.abc import Callable

import pytest

from compose.earlier import Version
from gate import Operator
from gate.errors import MachineError
from gate.run import Gate
from load import history, profile, runner, versus
from load.samples import Run
from load.versus import Answers
from tests.load import baseline, report
from tests.load.options import LoadOptions
from tests.load.report import PROFILE

Rest = Callable[[], None]


def valid(found: Run) -> Run:
    """The run, if it says something. Raises `MachineError`."""
    if not found.summary["validity"]["valid"]:
        reasons = "; ".join(found.summary["validity"]["reasons"])
        raise MachineError(f"expected a valid run of load, but {reasons}")
    return found


@pytest.fixture(scope="session")
def rest() -> Rest:
    """Bring the stack to rest before load; a team's own checks replace it."""
    return lambda: None


@pytest.fixture(scope="session")
def load_run(gate: Gate, operator: Operator, rest: Rest) -> Run:
    """A run of the profile that says something. Raises `MachineError` for one that does not."""
    rest()
    folder = operator.folder / "load"
    chosen = gate.options.of(LoadOptions).profile or profile.load(PROFILE)
    where, keys = operator.target, operator.credentials
    workers = gate.options.of(LoadOptions).workers
    beside = operator.stack if workers > 1 and where.managed else None
    found = runner.run(chosen, where, keys, folder, workers, stack=beside)
    report.write(gate.stream, found)
    history.append(gate.options.report_dir / history.FILE, operator.folder.name, found)
    return valid(found)


@pytest.fixture(scope="session")
def comparison(gate: Gate, operator: Operator, load_run: Run, rest: Rest) -> Answers:
    """The candidate against its baseline. Raises `MachineError` for a run that says nothing."""
    given = gate.options.of(LoadOptions).baseline
    if isinstance(given, Version):
        rest()
        found = versus.side_by_side(_in_turns(gate, operator, given))
    else:
        assert given is not None
        found = versus.apart(load_run, given)
    report.write_comparison(gate.stream, found)
    return found


def _in_turns(gate: Gate, operator: Operator, version: Version) -> Run:
    """A run whose traffic went to the candidate and the baseline in turns."""
    chosen = gate.options.of(LoadOptions).profile or profile.load(PROFILE)
    folder = operator.folder / "load" / "baseline"
    with baseline.baseline_stack(gate, operator.stack, version) as other:
        words = "sending requests to candidate and baseline in turns"
        with gate.phase("comparison", words):
            where, keys = operator.target, operator.credentials
            return valid(runner.run(chosen, where, keys, folder, baseline=other.target()))
