"""The exchange as a witness: what was ordered and is held there, and the switches that trouble it.

What the bot says of itself proves nothing; the exchange's order log does. Looks go past the
drills, so that a troubled exchange can still be read. See compose/exchange/README.md.
"""

import time
from collections.abc import Sequence
from typing import Any

from tests.checks import expect
from tests.operator import POLL_SECONDS, Operator

OURS = "breakout-bot"
OTHERS = "somebody-else"
EXCHANGE = "exchange"
PAST_DRILLS = {"X-Witness": "gate"}
HISTORY = 300
"""Candles that a symbol has; no preset looks back further."""
ABOVE = 1.02
"""How far above its highest candle a breakout is put: noise is 0.06 % a tick."""
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

    def orders(self, client: str = OURS) -> list[Entry]:
        """A client's open orders."""
        return list(self._look("/orders", client_id=client, status="open"))

    def positions(self, client: str = OURS) -> dict[str, float]:
        """What a client holds: quantities by symbol."""
        held = self._look("/positions", client_id=client)
        return {position["symbol"]: float(position["quantity"]) for position in held}

    def price(self, symbol: str) -> float:
        """A symbol's price now."""
        return float(self._look("/prices")["prices"][symbol])

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
        moves = {symbol: self._missing(symbol) for symbol in symbols}
        if any(moves.values()):
            self.move({symbol: percent for symbol, percent in moves.items() if percent})

    def _missing(self, symbol: str) -> float:
        """Percent up to a clear breakout; 0 when it is one."""
        *closed, last = self._look(f"/candles/{symbol}", limit=HISTORY)["candles"]
        price, level = last["close"], max(candle["high"] for candle in closed)
        return 0.0 if price > level else float(level / price * ABOVE - 1) * 100

    # Orders of the check's own

    def rest(self, client: str, symbol: str) -> Entry:
        """Place a limit order far below the market, where it stays open."""
        return self._place(client, symbol, type="limit", price=round(self.price(symbol) / 2, 4))

    def buy(self, client: str, symbol: str) -> Entry:
        """Buy at market."""
        return self._place(client, symbol, type="market")

    def _place(self, client: str, symbol: str, **what: Any) -> Entry:
        order = {
            "client_id": client,
            "client_order_id": f"gate-{time.monotonic_ns()}",
            "symbol": symbol,
            "side": "buy",
            "quantity": round(100 / self.price(symbol), 6),
            "fencing_token": self.token(client),
            **what,
        }
        answer = self._operator.http("/orders", EXCHANGE, "POST", json=order, headers=PAST_DRILLS)
        expect(answer.status == 201, "the exchange to take an order", answer.brief)
        return dict(answer.json())

    def token(self, client: str) -> int:
        """The newest fencing token that the exchange has seen of a client."""
        seen = [
            line["fencing_token"]
            for line in self.log()
            if line.get("client_id") == client and "fencing_token" in line
        ]
        return max(seen, default=0)

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
