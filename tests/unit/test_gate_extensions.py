"""What stages and fault planting bring to a run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.budget import MINUTES, SEED
from gate import extensions
from gate.extensions import Asked, Extension
from gate.options import Options
from tests.contract.options import ContractOptions
from tests.faults.options import FaultOptions
from tests.load import options as load_options
from tests.load.options import LoadOptions
from tests.unit.fakes import DISPOSABLE, LIVE, Planted, options

CATALOGUE = Path(__file__).parent.parent / "faults" / "catalogue"
COMPARED = next(path for path in CATALOGUE.glob("*.toml") if "\nbaseline" in path.read_text())
PLAIN = CATALOGUE / "redis-cannot-save.toml"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MINUTES, raising=False)
    monkeypatch.delenv(SEED, raising=False)
    monkeypatch.setattr(load_options, "baseline", lambda word, *_: word)


def read(folder: Path, *stages: str, **given: Any) -> Options:
    words = {f"--{name.replace('_', '-')}": value for name, value in given.items()}
    asked = Asked(DISPOSABLE, stages or ("smoke",), words.get)
    return options(folder, extensions=extensions.read(asked))


def test_without_options_nothing_is_brought(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert (found.gives, found.expects, found.changes_the_stack) == (frozenset(), None, False)
    assert not any(found.more_seconds.values())
    assert found.of(LoadOptions) == LoadOptions()
    stack: Any = SimpleNamespace()
    assert [one.hook(stack) for one in found.extensions] == [None, None, None]


def test_an_extension_that_was_not_read_was_not_asked_for(tmp_path: Path) -> None:
    assert options(tmp_path).of(ContractOptions).previous is None
    assert Extension().defaults == {}


def test_the_first_wish_of_where_to_begin_counts(tmp_path: Path) -> None:
    found = options(tmp_path, extensions=(Planted(), Planted(wanted=bool)))
    assert found.expects is bool


def test_a_fault_changes_the_stack_and_ends_no_stage_early(tmp_path: Path) -> None:
    found = read(tmp_path, fault=str(PLAIN))
    assert found.changes_the_stack
    assert found.expects is None
    stack: Any = SimpleNamespace(folder=tmp_path)
    hook = found.of(FaultOptions).hook(stack)
    assert hook is not None
    assert (hook.fault.id, hook.event().id) == ("redis-cannot-save", "redis-cannot-save")


def test_a_stage_ends_with_the_checks_of_the_fault_that_is_to_be_caught(tmp_path: Path) -> None:
    expects = read(tmp_path, fault=str(PLAIN), until_caught=True).expects
    assert expects is not None
    assert expects("smoke.redis.can_save")
    assert not expects("smoke.tls.certificate_lasts")


def test_a_fault_is_for_a_stack_of_the_run_s_own() -> None:
    asked = Asked(LIVE, ("smoke",), {"--fault": str(PLAIN)}.get)
    with pytest.raises(pytest.UsageError, match="expected --fault with a disposable stack only"):
        extensions.read(asked)


def compared_with(found: Options) -> Any:
    return found.of(LoadOptions).baseline


def test_a_fault_s_baseline_counts_for_load_where_the_command_line_has_none(tmp_path: Path) -> None:
    fault = str(COMPARED)
    assert compared_with(read(tmp_path, fault=fault)) is None
    found = read(tmp_path, "load", fault=fault)
    assert compared_with(found) == found.of(FaultOptions).defaults["--baseline"]
    assert found.gives == {"baseline"}
    assert compared_with(read(tmp_path, "load", fault=fault, baseline="v1")) == "v1"


def test_a_long_load_and_time_to_explore_have_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MINUTES, "5")
    found = read(tmp_path, load_profile="nightly", load_workers="3")
    assert found.more_seconds["contract"] == 600
    assert found.more_seconds["load"] > 600
    assert found.of(LoadOptions).workers == 3


def test_a_previous_contract_is_compared_with(tmp_path: Path) -> None:
    contract = str(CATALOGUE.parent.parent.parent / "contracts" / "openapi.json")
    found = read(tmp_path, previous_contract=contract)
    assert found.gives == {"previous-contract"}
    assert found.of(ContractOptions).previous is not None
