"""The budget of the contract stage: the gate's by itself, larger by minutes, never a guess."""

import pytest

from contracts.agreed import ContractError
from contracts.budget import MINUTES, SEED, Budget, budget
from contracts.fuzz import agreed_schema
from tests.contract.explorer import written


def test_without_a_word_it_is_the_gates() -> None:
    assert budget({}) == Budget()


def test_minutes_make_it_larger_and_bound_each_operation() -> None:
    found = budget({MINUTES: "35", SEED: "7"})
    assert found.seed == 7
    assert found.examples > Budget.examples
    assert found.seconds_each < 120
    assert found.more_seconds > 35 * 60


@pytest.mark.parametrize("value", ["-1", "ten", "1.5", "٣"])
def test_what_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(ContractError, match=f"expected {SEED} to be a whole number"):
        budget({SEED: value})


def test_a_case_is_written_down_the_same_in_every_process() -> None:
    operation = agreed_schema(budget({})).find_operation_by_label("GET /api/")
    assert operation is not None
    assert written(operation.Case()) == "GET /api/ {} no body"
