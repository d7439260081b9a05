"""Whatever changes something needs the key: each such operation of the served API, one by one."""

from collections import defaultdict
from typing import Any

from gate import Operator, expect
from gate.wire import Answer
from tests.bot.api import Engine
from tests.bot.control.engine import check_api, run
from tests.bot.exchange import OURS, Exchange

CHANGING = frozenset({"put", "post", "delete", "patch"})
LEAST = 10
"""Operations that the agreed API has at least; fewer mean that the document is not it."""
FIX = "repeat the operation with curl; see API_KEY, and that the proxy passes X-API-Key on"


def operations(operator: Operator, order: str) -> list[tuple[str, str]]:
    """(method, path) of everything that the served document says can change something.

    `order` is the order that those would change that take one.
    """
    document = operator.json("/api/openapi.json")
    values = defaultdict(lambda: "gate-key", order_id=order)
    found = [
        (method.upper(), path.format_map(values))
        for path, item in document["paths"].items()
        for method in item
        if method in CHANGING
    ]
    expect(len(found) >= LEAST, f"{LEAST} operations or more that change something", found)
    return found


def body(path: str) -> dict[str, Any]:
    """A body that the operation would act on, were the door open."""
    return {"command": "stop"} if path.endswith("/command") else {}


def call(operator: Operator, method: str, path: str, key: bool | str) -> Answer:
    """One operation with this key."""
    return operator.http(path, method=method, key=key, json=body(path))


def picture(operator: Operator, exchange: Exchange) -> dict[str, Any]:
    """What must not have changed: the engine, its presets, its orders."""
    status = Engine(operator).status()
    return {
        "engine": {name: status[name] for name in ("state", "preset", "mode", "startedAt")},
        "presets": operator.json("/api/presets/"),
        "orders": sorted(order["id"] for order in exchange.orders()),
    }


def expect_shut(
    operator: Operator, exchange: Exchange, keys: list[bool | str], status: int
) -> None:
    """Try every operation with each key on a running engine; nothing may open or change."""
    run(operator, exchange)
    order = exchange.rest(OURS, "XRPUSDT")["id"]
    before = picture(operator, exchange)
    tried = [(*one, key) for one in operations(operator, order) for key in keys]
    answers = [(method, path, call(operator, method, path, key)) for method, path, key in tried]
    open_ = [f"{m} {path}: {a.status}" for m, path, a in answers if a.status != status]
    expect(not open_, f"every operation to answer {status}", "; ".join(dict.fromkeys(open_)))
    after = picture(operator, exchange)
    changed = [name for name in before if before[name] != after[name]]
    expect(not changed, "refused operations to change nothing", f"changed: {changed}")


@check_api(cause="an operation that changes something is open to everyone", fix=FIX)
def test_nothing_changes_without_a_key(operator: Operator, exchange: Exchange) -> None:
    expect_shut(operator, exchange, [False], 401)


@check_api(cause="the key is compared in part, or not at all", fix=FIX)
def test_nothing_changes_with_a_wrong_key(operator: Operator, exchange: Exchange) -> None:
    key = operator.credentials.api_key or ""
    # Short, long, another one, and what people forget to change.
    wrong = [key[:-1], key + "x", key.swapcase(), "wrong-" + key[::-1], "changeme"]
    expect_shut(operator, exchange, [*wrong], 403)


@check_api(cause="an operation asks for another key, or fails behind it", fix=FIX)
def test_everything_opens_with_the_right_key(operator: Operator) -> None:
    tried = operations(operator, "no-such-order")
    answers = [(m, path, call(operator, m, path, True)) for m, path in tried]
    refused = [f"{m} {path}: {a.brief}" for m, path, a in answers if not opened(a)]
    expect(not refused, "every operation to be let in with the key", "; ".join(refused))


def opened(answer: Answer) -> bool:
    """Whether the operation was reached: it may dislike the state, but not the key."""
    return answer.status not in (401, 403) and answer.status < 500
