"""The ledger forgets no order and counts none twice."""

import pytest
from breakout_bot import ledger, trades
from breakout_bot.database import Database
from breakout_bot.ledger import Intent

ENTRY = Intent("e", "e", "BTCUSDT", "buy", "entry", 2.0, 10.0, 13.0, "breakout", 1.0, 2.0)
EXIT = Intent("x", "e", "BTCUSDT", "sell", "exit", 2.0, 20.0, 23.0, "target")


def filled(identity, quantity, price, fee=0.0, **more):
    about = {"id": f"at-exchange-{identity}", "client_order_id": identity, "symbol": "BTCUSDT"}
    done = {"filled_quantity": quantity, "fill_price": price, "fee": fee, "status": "filled"}
    return {**about, **done, "side": "sell", "quantity": quantity, **more}


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "bot.sqlite3")
    database.now(lambda db: ledger.send(db, ENTRY))
    yield database
    database.close()


def settle(database, intent, order):
    return database.now(lambda db: ledger.settle(db, intent, order, 15.0))


def test_an_order_is_known_before_it_is_answered(database):
    assert database.now(ledger.pending) == [ENTRY]


def test_an_entry_becomes_a_position_once(database):
    assert settle(database, ENTRY, filled("e", 2.0, 100.0, fee=0.5))
    assert not settle(database, ENTRY, filled("e", 2.0, 100.0, fee=0.5))
    (position,) = database.now(trades.open_positions)
    assert (position.quantity, position.stop_price, position.target_price) == (2.0, 99.0, 102.0)
    assert position.entry_fee == 0.5
    assert database.now(ledger.pending) == []


def test_an_entry_that_nobody_filled_leaves_nothing(database):
    settle(database, ENTRY, filled("e", 0.0, None, status="cancelled"))
    assert database.now(trades.open_positions) == []


def test_a_partial_exit_keeps_the_rest_and_the_parts_add_up_to_the_whole(database):
    settle(database, ENTRY, filled("e", 2.0, 100.0, fee=0.2))
    database.now(lambda db: ledger.send(db, EXIT))
    settle(database, EXIT, filled("x", 0.5, 102.0, fee=0.1))
    (position,) = database.now(trades.open_positions)
    assert (position.quantity, position.opened_quantity) == (1.5, 2.0)
    database.now(lambda db: ledger.flattened(db, [filled("f", 1.5, 102.0, fee=0.1)], "stop", 30.0))
    assert database.now(trades.open_positions) == []
    first, second = database.now(trades.closed_trades)
    assert first.r + second.r == pytest.approx((2 * 2 - 0.4) / 2)


def test_a_refused_order_is_no_longer_pending_and_cannot_be_settled(database):
    database.now(lambda db: ledger.refuse(db, "e", "too small", 11.0))
    assert database.now(ledger.pending) == []
    assert not settle(database, ENTRY, filled("e", 2.0, 100.0))


def test_a_flatten_of_what_nobody_knew_is_written_down_without_a_trade(database):
    for _ in range(2):
        database.now(lambda db: ledger.flattened(db, [filled("f", 1.0, 5.0)], "stop", 30.0))
    assert database.now(trades.closed_trades) == []
    rows = database.now(lambda db: db.execute("SELECT kind, status FROM orders").fetchall())
    assert [tuple(row) for row in rows] == [("entry", "sent"), ("flatten", "filled")]


def test_a_position_that_the_exchange_does_not_hold_ends_as_a_trade(database):
    settle(database, ENTRY, filled("e", 2.0, 100.0))
    (position,) = database.now(trades.open_positions)
    database.now(lambda db: ledger.dissolve(db, position, 101.0, "gone", 40.0))
    (trade,) = database.now(trades.closed_trades)
    assert (trade.r, trade.reason) == (1.0, "gone")
