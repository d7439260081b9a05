"""The exchange as a witness: what was ordered and is held there, and the switches that trouble it.

What the bot says of itself proves nothing; the exchange's order log does. Looks go past the
drills, so that a troubled exchange can still be read. See compose/exchange/README.md.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gate.checks import expect
from gate.model import model
from gate.operator import BOT, POLL_SECONDS, Operator
from gate.wire import Answer

OURS = BOT
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
LOG_LINES = 10_000

Entry = dict[str, Any]


class Witness:
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
        return int(self._look("/log", limit=1)["last_seq"])

    def log(self, after: int = 0) -> list[Entry]:
        """Lines of the order log after a sequence number, oldest first."""
        return list(self._look("/log", after=after, limit=LOG_LINES)["entries"])

    def ours(self, after: int) -> list[Entry]:
        """Orders of this bot that were accepted after a sequence number."""
        return [
            line
            for line in self.log(after)
            if line["event"] == "order_accepted" and line["client_id"] == OURS
        ]

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
        answer = self._operator.http("/drills", EXCHANGE, "PUT", json=switches)
        expect(answer.status == 200, "the exchange to take a drill", answer.brief)

    def calm(self) -> None:
        """End every drill."""
        self._operator.http("/drills", EXCHANGE, "DELETE")

    def move(self, percent: dict[str, float]) -> None:
        """Let prices jump by some percent; the drills that are on stay on."""
        on = self._operator.http("/drills", EXCHANGE).json()
        self.drill(**on, moves=percent)

    def break_out(self, *symbols: str) -> None:
        """See to it that each symbol stands above every candle before the open one."""
        self._put(symbols, ABOVE, lambda share: share <= 1)

    def sink(self) -> None:
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
        *closed, _ = self._look(f"/candles/{symbol}", limit=HISTORY)["candles"]
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
