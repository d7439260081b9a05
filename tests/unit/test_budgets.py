"""A stage, or a run, that takes too long gets no more work, and says so."""

from gate.budgets import WHOLE, Budgets, read
from gate.stages import STAGES
from load import profile


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_stage_that_is_out_of_time_is_stopped_and_the_next_is_not() -> None:
    clock = Clock()
    budgets = Budgets({WHOLE: 100, "smoke": 10, "control": 10}, clock)
    assert budgets.spent("smoke") is None
    clock.now = 11
    assert "the stage smoke has 10 s" in str(budgets.spent("smoke"))
    assert budgets.spent("control") is None


def test_a_run_that_is_out_of_time_is_stopped() -> None:
    clock = Clock()
    budgets = Budgets({WHOLE: 100, "smoke": 1000}, clock)
    clock.now = 101
    assert "the whole run has 100 s" in str(budgets.spent("smoke"))


def test_a_long_load_has_its_time_beside_the_budget() -> None:
    nightly = profile.load("nightly").seconds
    given, usual = read({"load": nightly, "contract": 60.0}), read()
    assert given["load"] - nightly == usual["load"] < nightly
    assert given["contract"] - 60 == usual["contract"]
    assert given[WHOLE] - nightly - 60 == usual[WHOLE]
    assert given["control"] == usual["control"]


def test_every_stage_has_a_budget() -> None:
    assert set(read()) == {WHOLE, *STAGES}
