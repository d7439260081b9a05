"""What a check is: one pytest test that judges evidence about one promise of the deployment.

    @check("proxy", cause="HSTS is set in one location only", fix="set it at server level")
    def test_tells_browsers_to_stay_on_https(seen: Evidence) -> None:
        header = seen[PAGE].headers.get("strict-transport-security", "")
        expect("max-age=" in header, "a Strict-Transport-Security header", header or "none")

The decorator holds what a finding needs besides: the component, the likely cause, the next step.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from gate.errors import HOLD, GateError
from gate.model import model
from gate.stages import STAGES, TESTS

if TYPE_CHECKING:
    import pytest

    from gate.wire.causes import Cause

PARAMETER = re.compile(r"\[([\w-]+)\]")
"""A check's parameter, at the end of its id."""

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Check:
    """What is known of a check before it runs.

    `{name}` stands for a parameter of the test, `{name.attribute}` for what a parameter says.
    """

    component: str
    cause: str
    fix: str
    needs: tuple[str, ...]
    follows: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """What one failed check saw."""

    expected: str
    seen: str
    evidence: str = ""
    component: str | None = None
    cause: str | None = None
    fix: str | None = None


class CheckFailed(GateError):
    """A promise that does not hold. Not an assertion, so that no traceback is made for it."""

    exit_code = HOLD

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"expected {failure.expected}, seen {failure.seen}")
        self.failure = failure


def check(
    component: str,
    *,
    cause: str,
    fix: str,
    needs: str | Sequence[str] = ("proxy",),
    follows: str | Sequence[str] = (),
) -> Callable[[Function], Function]:
    """Mark a test as a check.

    `needs` names what the target must have (`Target.capabilities`), else the check is not required;
    `follows` names checks whose failure explains this one's (globs). A service is named by its
    name or its kind.
    """
    described = _by_name(Check(component, cause, fix, _tuple(needs), _tuple(follows)))

    def mark(function: Function) -> Function:
        function.check = described  # type: ignore[attr-defined]
        return function

    return mark


def expect(
    holds: object,
    expected: str,
    seen: object,
    evidence: str = "",
    *,
    component: str | None = None,
    cause: str | None = None,
) -> None:
    """Raises `CheckFailed` unless `holds`; `component` and `cause` replace the check's own.

    So does what `seen` says of itself: `Answer`, `WireError` and `RedisReplyError` have a cause.
    """
    if not holds:
        fail(expected, seen, evidence, component=component, cause=cause)


def fail(
    expected: str,
    seen: object,
    evidence: str = "",
    *,
    component: str | None = None,
    cause: str | None = None,
) -> NoReturn:
    """The promise does not hold. Raises `CheckFailed`."""
    blamed = component and model().name(component)
    told: Cause | None = getattr(seen, "cause", None) if cause is None else None
    cause, fix = told or (cause, None)
    raise CheckFailed(Failure(expected, str(seen), evidence, blamed, cause, fix))


def node(item: "pytest.Item") -> str:
    """Give a test's own node id. Not every plugin puts the parameters of its tests into theirs."""
    return f"{item.nodeid.partition('::')[0]}::{item.name}"


def identifier(nodeid: str) -> str:
    """Name a check after its place.

    `tests/smoke/test_tls.py::test_certificate_lasts[a]` is `smoke.tls.certificate_lasts[a]`; one of
    a stack's own has their folder in front: `tests/bot/smoke/test_engine.py` `bot.smoke.engine.…`.
    """
    path, _, name = nodeid.partition("::")
    *folders, file = path.removesuffix(".py").split("/")
    own = [folder for folder in folders[-2:-1] if folder != TESTS.name]
    words = [*own, *folders[-1:], file.removeprefix("test_"), name.removeprefix("test_")]
    return ".".join(words)


def stage_of(identifier: str) -> str:
    """Name the stage of a check: `control` for `control.states.a` and for `bot.control.pause.b`."""
    first, _, rest = identifier.partition(".")
    return first if first in STAGES else rest.partition(".")[0]


def described(function: Callable[..., Any], parameters: Mapping[str, Any]) -> Check | None:
    """The check that a test function is, its parameters filled in; None for other tests."""
    found: Check | None = getattr(function, "check", None)
    if found is None or not parameters:
        return found
    return _by_name(
        Check(
            found.component.format_map(parameters),
            found.cause.format_map(parameters),
            found.fix.format_map(parameters),
            tuple(need.format_map(parameters) for need in found.needs),
            tuple(one.format_map(parameters) for one in found.follows),
        )
    )


def _by_name(found: Check) -> Check:
    """The same check with services named as this stack names them."""
    return replace(
        found,
        component=model().name(found.component),
        needs=tuple(map(need, found.needs)),
        # A parameter may be something else that is called like a kind: both are looked for.
        follows=tuple(dict.fromkeys([*found.follows, *map(_of_this_stack, found.follows)])),
    )


def need(word: str) -> str:
    """A need with the service in it named as this stack names it."""
    direct, _, service = word.rpartition(":")
    return f"{direct}:{model().name(service)}" if direct else model().name(word)


def _of_this_stack(check: str) -> str:
    return PARAMETER.sub(lambda found: f"[{model().name(found[1])}]", check)


def _tuple(words: str | Sequence[str]) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words)
