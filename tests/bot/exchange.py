"""Speaks to the paper exchange, the witness: its order log, what is held there, its drills.

What the bot says of itself proves nothing; the exchange's order log does. Looks go past the
drills, so that a troubled exchange can still be read. See compose/exchange/README.md.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gate import Operator, expect
from gate.model import model
from gate.wait import POLL_SECONDS
from gate.wire import Answer, Wire

OURS = "breakout-bot"
"""The bot's client id at the exchange."""
OTHERS = "somebody-else"
EXCHANGE = model().name("exchange")
PAST_DRILLS = {"X-Witness": "gate"}
HISTORY = 300
"""Candles that a symbol has; no preset looks back further."""
ABOVE, NEAR, BELOW = 1.02, 0.985, 0.97
"""Shares of the highest candle: where a breakout is put, what is near one, where a calm symbol is
put. Noise is 0.06 % a tick."""
ENTRY_SECONDS = 15.0
"""A standing breakout is bought within this; the engine scans every few seconds."""
QUIET_SECONDS = 4.0
"""Some scans long: a loop that still runs would have bought by then."""
EXIT_SECONDS = 8.0
"""A few cycles: seeing the price, selling, writing it down."""
LOG_LINES = 10_000
"""Of one page: the most that the exchange gives."""

Entry = dict[str, Any]


async def order_log(wire: Wire, after: int = 0) -> list[Entry]:
    """Return the lines of the order log after a sequence number, oldest first."""
    lines: list[Entry] = []
    while True:
        path = f"/log?after={lines[-1]['seq'] if lines else after}&limit={LOG_LINES}"
        answer = await wire.http(path, EXCHANGE, headers=PAST_DRILLS)
        expect(answer.status == 200, "/log to answer 200", answer.brief, component=EXCHANGE)
        page = answer.json()["entries"]
        lines += page
        if len(page) < LOG_LINES:
            return lines


def accepted(lines: Iterable[Entry], client: str = OURS) -> list[Entry]:
    """Return the orders of a client that the exchange has taken."""
    taken = (line for line in lines if line["event"] == "order_accepted")
    return [line for line in taken if line["client_id"] == client]


async def drill(wire: Wire, **switches: Any) -> None:
    """Switch drills on; those not named go off. Fails the check when they are refused."""
    answer = await wire.http("/drills", EXCHANGE, "PUT", json=switches)
    expect(answer.status == 200, "the exchange to take a drill", answer.brief)


class Exchange:
    """Reads the exchange, moves its prices and switches its drills. Raises `WireError`."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    # Looking

    def _look(self, path: str, **params: Any) -> Any:
        answer = self._operator.http(path, EXCHANGE, params=params, headers=PAST_DRILLS)
        expect(answer.status == 200, f"{path} to answer 200", answer.brief, component=EXCHANGE)
        return answer.json()

    def mark(self) -> int:
        """The sequence number of the log's last line."""
        return int(self._look("/log", after=0, limit=1)["last_seq"])

    def log(self, after: int = 0) -> list[Entry]:
        """Lines of the order log after a sequence number, oldest first."""
        return list(self._operator.run(lambda wire: order_log(wire, after)))

    def ours(self, after: int) -> list[Entry]:
        """Orders of this bot that were accepted after a sequence number."""
        return accepted(self.log(after))

    def openings(self, after: int) -> list[Entry]:
        """Those of them that open a position or add to one."""
        return [order for order in self.ours(after) if not order["reduce_only"]]

    def closings(self, after: int) -> list[Entry]:
        """Those of them that close a position or a part of one."""
        return [order for order in self.ours(after) if order["reduce_only"]]

    def orders(self, client: str = OURS) -> list[Entry]:
        """A client's open orders."""
        return list(self._look("/orders", client_id=client, status="open"))

    def positions(self, client: str = OURS) -> dict[str, float]:
        """What a client holds: quantities by symbol."""
        held = self._look("/positions", client_id=client)
        return {position["symbol"]: float(position["quantity"]) for position in held}

    def prices(self) -> dict[str, float]:
        """Every symbol's price now."""
        return dict(self._look("/prices")["prices"])

    def candles(self, symbol: str, limit: int = HISTORY) -> list[dict[str, float]]:
        """The last candles of a symbol, oldest first; the last one is open."""
        return list(self._look(f"/candles/{symbol}", limit=limit)["candles"])

    def time(self) -> float:
        """The exchange's clock, which its log is written by."""
        return float(self._look("/time")["time"])

    def flat(self) -> bool:
        """Whether this bot has no open order and no position."""
        return not self.orders() and not self.positions()

    def expect_flat(self, when: str) -> None:
        """Fails the check unless this bot has no open order and no position."""
        orders, held = self.orders(), self.positions()
        seen = f"{len(orders)} open orders, positions {held or 'none'}"
        expect(not orders and not held, f"no open order and no position of ours {when}", seen)

    # Troubling

    def drill(self, **switches: Any) -> None:
        """Switch drills on; those not named go off."""
        self._operator.run(lambda wire: drill(wire, **switches))

    def end_drills(self) -> None:
        """End every drill."""
        self._operator.http("/drills", EXCHANGE, "DELETE")

    def move(self, percent: dict[str, float]) -> None:
        """Let prices jump by some percent; the drills that are on stay on."""
        on = self._operator.http("/drills", EXCHANGE).json()
        self.drill(**on, moves=percent)

    def break_out(self, *symbols: str) -> None:
        """See to it that each symbol stands above every candle before the open one."""
        self._put(symbols, ABOVE, lambda share: share <= 1)

    def move_below_breakout(self) -> None:
        """See to it that no symbol is near a breakout."""
        self._put(self.prices(), BELOW, lambda share: share > NEAR)

    def _put(self, symbols: Iterable[str], where: float, astray: Callable[[float], bool]) -> None:
        """Move the symbols that are astray to a share of their highest candle."""
        # Prices, not closes: a candle hears of a jump with the next tick, and would be moved twice.
        prices = self.prices()
        shares = {symbol: prices[symbol] / self._level(symbol) for symbol in symbols}
        moves = {s: (where / share - 1) * 100 for s, share in shares.items() if astray(share)}
        if moves:
            self.move(moves)

    def _level(self, symbol: str) -> float:
        """The highest price of a symbol in its candles before the open one."""
        *closed, _ = self.candles(symbol)
        return float(max(candle["high"] for candle in closed))

    # Orders of the check's own

    def rest(self, client: str, symbol: str) -> Entry:
        """Place a limit order far below the market, where it stays open."""
        price = round(self.prices()[symbol] / 2, 4)
        return _taken(self.try_to_buy(client, symbol, type="limit", price=price))

    def buy(self, client: str, symbol: str) -> Entry:
        """Buy at market."""
        return _taken(self.try_to_buy(client, symbol))

    def try_to_buy(self, client: str, symbol: str, **what: Any) -> Answer:
        """Send an order for about 100 USD, under the client's newest token unless told another."""
        order = {
            "client_id": client,
            "client_order_id": f"gate-{time.monotonic_ns()}",
            "symbol": symbol,
            "side": "buy",
            "quantity": round(100 / self.prices()[symbol], 6),
            "fencing_token": self.token(client),
            **what,
        }
        return self._operator.http("/orders", EXCHANGE, "POST", json=order, headers=PAST_DRILLS)

    def token(self, client: str) -> int:
        """The newest fencing token that the exchange has seen of a client."""
        seen = [
            line["fencing_token"]
            for line in self.log()
            if line.get("client_id") == client and "fencing_token" in line
        ]
        return max(seen, default=0)

    def flatten(self) -> None:
        """Close whatever this bot has open, without asking it."""
        self._operator.http(
            "/flatten", EXCHANGE, "POST", params={"client_id": OURS}, headers=PAST_DRILLS
        )

    # Watching

    def entered(self, *symbols: str, seconds: float = ENTRY_SECONDS) -> list[Entry]:
        """Hold symbols in a breakout until this bot has bought each; its orders.

        Fails the check when that takes more than `seconds`.
        """
        after = self.mark()

        def missing() -> list[str]:
            bought = {order["symbol"] for order in self.openings(after)}
            left = [symbol for symbol in symbols if symbol not in bought]
            self.break_out(*left)
            return left

        what = f"an order of ours for each breakout ({', '.join(symbols)})"
        self._operator.until(missing, seconds, what, lambda left: not left)
        return self.openings(after)

    def expect_closed(self, after: int, *symbols: str, seconds: float = EXIT_SECONDS) -> None:
        """Fails the check unless each symbol is sold soon, counted from a line of the log.

        Not judged by what is held: a price beyond its target is a breakout too, and bought again.
        """
        self._operator.until(
            lambda: {order["symbol"] for order in self.closings(after)},
            seconds,
            f"what reached its target or its stop closed ({', '.join(symbols)})",
            lambda sold: sold >= set(symbols),
        )

    def expect_no_entry(self, symbols: Sequence[str], seconds: float, when: str) -> None:
        """Hold symbols in a breakout for `seconds`. Fails the check when this bot buys."""
        after, deadline = self.mark(), time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.break_out(*symbols)
            seen = [order["symbol"] for order in self.openings(after)]
            expect(not seen, f"no order that opens a position {when}", f"orders for {seen}")
            time.sleep(POLL_SECONDS)


def _taken(answer: Answer) -> Entry:
    """The order in the exchange's answer. Fails the check when it was turned away."""
    expect(answer.status == 201, "the exchange to take an order", answer.brief)
    return dict(answer.json())
