"""Positions and orders."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query

from breakout_bot.clock import iso
from breakout_bot.errors import MUTATE, READ, documented
from breakout_bot.exchange import ExchangeError
from breakout_bot.models import ControlAnswer, OrderView, PositionView
from breakout_bot.routes.keyed import KEYED
from breakout_bot.services import Parts, Services
from breakout_bot.trades import Position, open_positions

router = APIRouter(tags=["trading"])
MISSING = documented(404, 422)
Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["0123456789abcdef"])]


def _view(position: Position, price: float | None) -> PositionView:
    return PositionView(
        id=position.id,
        symbol=position.symbol,
        side="long",
        quantity=position.quantity,
        entryPrice=position.entry_price,
        currentPrice=price,
        stopPrice=position.stop_price,
        targetPrice=position.target_price,
        unrealizedR=None if price is None else round(position.r(price), 4),
        openedAt=iso(position.opened_at),
    )


def _order(order: dict[str, Any]) -> OrderView:
    return OrderView(
        id=order["id"],
        clientOrderId=order["client_order_id"],
        symbol=order["symbol"],
        side=order["side"],
        type=order["type"],
        quantity=order["quantity"],
        price=order["price"],
        status=order["status"],
        createdAt=iso(order["created_at"]),
        fillPrice=order["fill_price"],
        filledQuantity=order["filled_quantity"],
        fee=order["fee"],
        reduceOnly=order["reduce_only"],
    )


async def _positions(parts: Services) -> list[PositionView]:
    prices = parts.engine.feed.prices
    held = await parts.database.run(open_positions)
    return [_view(position, prices.get(position.symbol)) for position in held]


@router.get("/positions", responses=READ)
@router.get("/trading/positions", responses=READ)
async def positions(parts: Parts) -> list[PositionView]:
    """List the open positions."""
    return await _positions(parts)


@router.get("/trading/positions/{position_id}", responses={**READ, **MISSING})
async def position(parts: Parts, position_id: Id) -> PositionView:
    """Give one open position."""
    for one in await _positions(parts):
        if one.id == position_id:
            return one
    raise HTTPException(404, f"there is no open position {position_id!r}")


@router.get("/orders", responses={**READ, **documented(422)})
@router.get("/trading/orders", responses={**READ, **documented(422)})
async def orders(
    parts: Parts,
    limit: Annotated[int, Query(ge=1, le=1000, examples=[20])] = 200,
    offset: Annotated[int, Query(ge=0, le=1_000_000, examples=[0])] = 0,
) -> list[OrderView]:
    """List this bot's orders as the exchange knows them, newest first."""
    found = await parts.exchange.orders(limit=limit, offset=offset)
    return [_order(order) for order in found]


@router.delete(
    "/trading/orders/{order_id}",
    responses={**MUTATE, **MISSING, **documented(409)},
    dependencies=KEYED,
)
async def cancel(parts: Parts, order_id: Id) -> ControlAnswer:
    """Cancel one of this bot's open orders."""
    found = await parts.exchange.order(order_id)
    if found is None:
        raise HTTPException(404, f"this bot has no order {order_id!r}")
    if found["status"] != "open":
        raise HTTPException(409, f"order {order_id} is already {found['status']}")
    order = await parts.engine.desk.cancel(order_id)
    if order["status"] != "cancelled":
        raise ExchangeError(f"order {order_id} is {order['status']}, not cancelled")
    return ControlAnswer(
        success=True,
        message=f"order {order_id} was cancelled",
        timestamp=iso(),
        state=parts.engine.state,
    )
