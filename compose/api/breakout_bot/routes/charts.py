"""Candles and levels."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query

from breakout_bot import strategy
from breakout_bot.errors import READ, documented
from breakout_bot.exchange import ExchangeError
from breakout_bot.models import Candle, Candles, Level, Levels
from breakout_bot.services import Parts, Services

router = APIRouter(prefix="/charts", tags=["charts"], responses={**READ, **documented(404, 422)})
Symbol = Annotated[str, Path(pattern=r"^[A-Z0-9]{1,20}$", examples=["BTCUSDT"])]


async def _candles(parts: Services, symbol: str, limit: int) -> list[dict[str, float]]:
    try:
        return await parts.exchange.candles(symbol, limit)
    except ExchangeError as error:
        if error.status == 404:
            raise HTTPException(404, f"the exchange has no symbol {symbol!r}") from None
        raise


@router.get("/candles/{symbol}")
async def candles(
    parts: Parts, symbol: Symbol, limit: Annotated[int, Query(ge=1, le=300, examples=[5])] = 100
) -> Candles:
    """Give a symbol's newest candles."""
    found = await _candles(parts, symbol, limit)
    return Candles(symbol=symbol, candles=[Candle.model_validate(one) for one in found])


@router.get("/levels/{symbol}")
async def levels(parts: Parts, symbol: Symbol) -> Levels:
    """Give the levels that the preset in use sees."""
    lookback = parts.engine.preset.lookback
    found = strategy.levels(await _candles(parts, symbol, lookback + 1), lookback)
    return Levels(symbol=symbol, levels=[Level.model_validate(one) for one in found])
