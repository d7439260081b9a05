"""pytest wiring only: options, markers, hooks and fixtures; what they do lives beside it."""

import gc
import signal
import sys
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TextIO, cast

import pytest

# Compiled modules are kept even where the environment says not to: a live smoke run is typed by
# people, and compiling the suite anew costs them 0.2 s each time.
sys.dont_write_bytecode = False
gc.set_threshold(200_000)

from gate.model import ModelError, model

try:
    model()  # others make constants of it
except ModelError as error:
    raise pytest.UsageError(str(error)) from None

from gate import manifest, options
from gate.evidence import Evidence
from gate.machine import interrupts
from gate.machine.console import Unfailing, duplicated, say
from gate.run import Gate
from gate.stages import STAGES, folders

if TYPE_CHECKING:
    from gate.operator import Operator

GATE = pytest.StashKey[Gate]()
LEFT_OPEN = pytest.mark.filterwarnings("ignore::ResourceWarning")
"""On every check: what a look at an engine that was away has left open is not what a later check,
in whose time it is collected, could not judge."""
OURS = Path(__file__).parent.parent / "tests"


def pytest_addoption(parser: pytest.Parser) -> None:
    options.declare(parser)


def pytest_configure(config: pytest.Config) -> None:
    for stage in STAGES.values():
        config.addinivalue_line("markers", f"{stage.name}: {stage.question}")
    if config.option.help or of_our_own(config):
        return
    asked_for = options.read(config)
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        # A stage that is not asked for is not imported: some cost a second.
        config.args = [str(folder) for folder in folders(asked_for.stages)]
    for plugin in (plugin for stage in asked_for.stages for plugin in STAGES[stage].plugins):
        config.pluginmanager.import_plugin(plugin)
    if config.option.collectonly:  # a mere listing; what is wrong is refused all the same
        return
    screen = duplicated(sys.stderr)  # pytest captures the other while a check is at work
    if screen is not sys.stderr:
        config.add_cleanup(screen.close)
    config.stash[GATE] = Gate(asked_for, " ".join(["pytest", *sys.argv[1:]]), screen)
    quiet(config)
    for number in interrupts.heeded():
        signal.signal(number, config.stash[GATE].told_to_stop)


def of_our_own(config: pytest.Config) -> bool:
    """Whether it is the project's own tests that are run, and no checks."""
    paths = [Path(config.invocation_params.dir, arg.partition("::")[0]) for arg in config.args]
    own = [OURS / "unit", OURS / "faults"]
    return all(any(path.resolve().is_relative_to(one) for one in own) for path in paths)


def share(config: pytest.Config, *fixtures: ModuleType) -> None:
    """Register modules of fixtures that several folders of checks use, once; the last one counts.

    Called by their conftest files: what one of those imports is fixtures of its own folder only.
    """
    for module in fixtures:
        if not config.pluginmanager.has_plugin(module.__name__):
            config.pluginmanager.register(module, module.__name__)


def quiet(config: pytest.Config) -> None:
    """The gate shows its own report; of pytest only errors in the suite itself remain."""
    config.option.verbose = -2
    config.option.no_header = config.option.no_summary = True
    config.option.tbstyle = "short"
    sys.stdout = cast(TextIO, Unfailing(sys.stdout))  # the reporter, made after this, takes it


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, Any, Any]:
    # Collected before those for any stack, a stack's own checks are run after them.
    items.sort(key=manifest.is_own)
    result = yield
    if GATE in config.stash:
        config.stash[GATE].collect(items)
        gc.freeze()  # pytest collects garbage as it ends: 50 ms for what is still in use
    return result


def pytest_itemcollected(item: pytest.Item) -> None:
    stage = item.path.parent.name
    if stage in STAGES:
        item.add_marker(stage)
        item.add_marker(LEFT_OPEN)


def pytest_deselected(items: Iterable[pytest.Item]) -> None:
    for item in items:
        if GATE in item.config.stash:
            item.config.stash[GATE].deselect([item])


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    gate = session.config.stash.get(GATE, None)
    if gate is None or session.testsfailed:
        return None
    return None if gate.prepare(session.items) else True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    gate = item.config.stash.get(GATE, None)
    reason = gate.begin(item) if gate else None
    if reason:  # skipped, so that pytest tears down what no later check needs
        pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, Any]:
    report = yield
    if GATE in item.config.stash:
        item.config.stash[GATE].take_result(item, call)
    return report


def pytest_report_teststatus(config: pytest.Config) -> tuple[str, str, str] | None:
    return ("", "", "") if GATE in config.stash else None


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    gate = session.config.stash.get(GATE, None)
    if gate is not None and not (exitstatus == pytest.ExitCode.USAGE_ERROR and not gate.has_begun):
        session.exitstatus = gate.finish(exitstatus)


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, Any, Any]:
    """End with the verdict's exit code, whatever pytest finds when the verdict is written.

    It raises, as it ends, what it was warned of where nobody could be told: of a socket left open.
    """
    try:
        code = yield
    except pytest.UsageError:
        raise
    except Exception as error:
        code = _code_of_verdict(config)
        if code is None:
            raise
        seen = str(error).partition("\n")[0]
        say(f"after the verdict, in pytest's own end: {type(error).__name__}: {seen}")
        return code
    verdict = _code_of_verdict(config)
    return code if verdict is None else verdict


def _code_of_verdict(config: pytest.Config) -> int | None:
    gate = config.stash.get(GATE, None)
    return None if gate is None else gate.exit_code


@pytest.fixture(scope="session")
def gate(pytestconfig: pytest.Config) -> Gate:
    """The run of the gate that this check belongs to."""
    return pytestconfig.stash[GATE]


@pytest.fixture(scope="session")
def seen(gate: Gate) -> Evidence:
    """Everything that was seen of the target, gathered before the first check."""
    assert gate.evidence is not None
    return gate.evidence


@pytest.fixture(scope="session")
def operator(gate: Gate) -> Iterator["Operator"]:
    """Hands on the disposable stack of this run, for stages that judge by doing."""
    made = gate.operator()
    yield made
    made.close()
