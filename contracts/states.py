"""The engine's state model: its table, and what the exchange's log may hold in each state."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise, permutations
from typing import Any

TABLE: Mapping[str, Mapping[str, str]] = {
    "IDLE": {"start": "RUNNING", "emergency-stop": "EMERGENCY"},
    "RUNNING": {"stop": "IDLE", "pause": "PAUSED", "emergency-stop": "EMERGENCY"},
    "PAUSED": {"stop": "IDLE", "resume": "RUNNING", "emergency-stop": "EMERGENCY"},
    "EMERGENCY": {"emergency-stop": "EMERGENCY", "reset": "IDLE"},
}
"""state → command → next state; what is missing answers 409 and changes nothing."""

COMMANDS = ("start", "stop", "pause", "resume", "emergency-stop", "reset")
RATE_LIMITED = 429
UNDER_WAY_SECONDS = 0.5
"""An entry that was on its way to the exchange when the pause was answered is no breach."""

Entry = Mapping[str, Any]


def way(state: str, wanted: str) -> list[str]:
    """Return the fewest commands that lead from a state to another; none from an unknown one."""
    ways = {state: list[str]()}
    for reached in iter(queue := [state]):
        for command, leads_to in TABLE.get(reached, {}).items():
            if leads_to not in ways:
                ways[leads_to] = [*ways[reached], command]
                queue.append(leads_to)
    return ways.get(wanted, [])


def after(state: str, command: str) -> tuple[int, str]:
    """The status that a command answers in a state, and the state it leads to."""
    found = TABLE[state].get(command)
    return (200, found) if found else (409, state)


def explained(state: str, commands: Sequence[str], statuses: Sequence[int], end: str) -> bool:
    """Whether some order of commands that were sent at once gives these statuses and this end."""
    return any(
        _in_order(state, [(commands[n], statuses[n]) for n in order], end)
        for order in permutations(range(len(commands)))
    )


def _in_order(state: str, told: Iterable[tuple[str, int]], end: str) -> bool:
    for command, status in told:
        if status == RATE_LIMITED:  # turned away at the door: it did nothing
            continue
        expected, state = after(state, command)
        if status != expected:
            return False
    return state == end


def orders(entries: Sequence[Entry]) -> list[Entry]:
    """Those of the log that the exchange took."""
    return [one for one in entries if one["event"] == "order_accepted"]


def breaches(state: str, entries: Sequence[Entry], since: float, unfinished: bool) -> list[str]:
    """What the log must not hold from the time `since`, while the engine was in `state`.

    `unfinished`: the exchange was away when positions were to be closed, so closing goes on.
    """
    if state == "RUNNING":
        return []
    leaving_is_fine = state == "PAUSED" or unfinished
    late = since + (UNDER_WAY_SECONDS if state == "PAUSED" else 0.0)
    taken = [one for one in orders(entries) if one["time"] > late]
    wrong = [one for one in taken if not (one["reduce_only"] and leaving_is_fine)]
    return [f"an order in {state}: {_order(one)}" for one in wrong]


def two_traders(entries: Sequence[Entry]) -> list[str]:
    """Where an older engine's order was taken after a newer engine's."""
    return [
        f"two traders: {_order(b)} under token {b['fencing_token']} after {a['fencing_token']}"
        for a, b in pairwise(orders(entries))
        if b["fencing_token"] < a["fencing_token"]
    ]


def _order(one: Entry) -> str:
    kind = "exit" if one["reduce_only"] else "entry"
    return f"{kind} {one['side']} {one['quantity']:g} {one['symbol']} (log line {one['seq']})"
