"""One wait: it ends when it holds, or when its time is over, and says what it saw."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gate import wait as waits
from gate.errors import WaitError
from gate.wait import CLOCK, Deadline, wait_until, wait_until_async
from tests.unit.clock import FakeClock


def sync(look: Callable[[], Any], *arguments: Any, **options: Any) -> Any:
    return wait_until(look, *arguments, **options)


def in_a_task(look: Callable[[], Any], *arguments: Any, **options: Any) -> Any:
    async def looking() -> Any:
        return look()

    return asyncio.run(wait_until_async(looking, *arguments, **options))


both = pytest.mark.parametrize("wait", [sync, in_a_task])


@both
def test_it_looks_before_it_sleeps(wait: Callable[..., Any]) -> None:
    clock = FakeClock()
    assert wait(lambda: "there", 5, "it", clock=clock) == "there"
    assert clock.slept == []


@both
def test_it_ends_when_it_holds(wait: Callable[..., Any]) -> None:
    clock, seen = FakeClock(), ["IDLE"]
    clock.at(3.0, lambda: seen.append("RUNNING"))
    last = wait(lambda: seen[-1], 5, "it", lambda state: state == "RUNNING", every=1, clock=clock)
    assert last == "RUNNING"
    assert clock.slept == [1, 1, 1]


@both
def test_it_gives_up_and_says_what_it_saw(wait: Callable[..., Any]) -> None:
    clock = FakeClock()
    with pytest.raises(WaitError) as late:
        wait(lambda: 0, 5, "an answer", every=1, clock=clock)
    assert str(late.value) == "expected an answer within 5 s, got 0"
    assert late.value.seen == 0
    assert clock.time == 5


@both
def test_it_looks_once_more_when_its_time_is_over(wait: Callable[..., Any]) -> None:
    clock, seen = FakeClock(), list[str]()
    clock.at(5.0, lambda: seen.append("at last"))
    assert wait(lambda: seen, 5, "it", every=2.5, clock=clock) == ["at last"]


@both
def test_what_it_ignores_is_not_yet(wait: Callable[..., Any]) -> None:
    def look() -> None:
        raise KeyError("a")

    with pytest.raises(WaitError, match="got 'a'") as late:
        wait(look, 1, "it", every=1, ignoring=(KeyError,), clock=FakeClock())
    assert isinstance(late.value.seen, KeyError)
    with pytest.raises(KeyError):
        wait(look, 1, "it", every=1, ignoring=(ValueError,), clock=FakeClock())


def test_a_deadline_only_comes_nearer() -> None:
    clock = FakeClock()
    deadline = Deadline(10, clock)
    deadline.shorten(20)
    assert deadline.left == 10
    deadline.shorten(2)
    assert (deadline.left, deadline.passed) == (2, False)
    clock.sleep(2)
    assert (deadline.left, deadline.passed) == (0, True)


def test_the_clock_of_a_run_goes_on_by_itself() -> None:
    before = CLOCK.now()
    CLOCK.sleep(0.001)
    asyncio.run(CLOCK.pause(0.001))
    assert CLOCK.now() - before >= 0.002


def test_what_is_waited_for_longest_is_told_while_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(waits, "CLOCK", clock)
    told: list[tuple[str, float] | None] = []

    def look() -> bool:
        told.append(waits.longest_wait())
        return clock.now() >= 8

    with waits.waiting_for("redis", clock) as waiting:
        clock.sleep(3)
        wait_until(look, 30, "a port", every=5, clock=clock)
        waiting.what = "the proxy"
        told.append(waits.longest_wait())
    assert told == [("redis", 3.0), ("redis", 8.0), ("the proxy", 8.0)]
    assert waits.longest_wait() is None


def test_a_wait_that_ends_in_an_error_is_over() -> None:
    with pytest.raises(WaitError):
        wait_until(lambda: 0, 1, "a port", clock=FakeClock())
    assert waits.longest_wait() is None
