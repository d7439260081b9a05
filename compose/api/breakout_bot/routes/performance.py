"""What trading has come to."""

import math
from collections import Counter

from fastapi import APIRouter

from breakout_bot.clock import iso, midnight
from breakout_bot.errors import READ
from breakout_bot.models import Bin, Equity, EquityPoint, PerformanceMetrics, RDistribution
from breakout_bot.services import Parts
from breakout_bot.trades import closed_trades, result

router = APIRouter(prefix="/performance", tags=["performance"], responses=READ)
BIN_R = 0.5


@router.get("/equity")
async def equity(parts: Parts) -> Equity:
    """Give the equity curve in R."""
    total, points = 0.0, []
    for trade in await parts.database.run(closed_trades):
        total += trade.r
        points.append(EquityPoint(ts=iso(trade.closed_at), equityR=round(total, 4)))
    return Equity(points=points)


@router.get("/metrics")
async def metrics(parts: Parts) -> PerformanceMetrics:
    """Give what all closed trades add up to."""
    start = midnight(parts.engine.feed.now)
    sums = await parts.database.run(lambda db: result(db, start))
    count = max(sums.trades, 1)
    return PerformanceMetrics(
        totalTrades=sums.trades,
        wins=sums.wins,
        losses=sums.trades - sums.wins,
        winRate=round(sums.wins / count, 4),
        totalR=round(sums.total_r, 4),
        averageR=round(sums.total_r / count, 4),
        profitFactor=round(sums.gained_r / sums.lost_r, 4) if sums.lost_r else None,
        maxDrawdownR=round(sums.max_drawdown_r, 4),
        dailyR=round(sums.day_r, 4),
        consecutiveLosses=sums.consecutive_losses,
    )


@router.get("/r-distribution")
async def r_distribution(parts: Parts) -> RDistribution:
    """Give the number of trades by result, in steps of half an R."""
    trades = await parts.database.run(closed_trades)
    counts = Counter(math.floor(trade.r / BIN_R) for trade in trades)
    return RDistribution(
        bins=[
            Bin(fromR=step * BIN_R, toR=(step + 1) * BIN_R, count=count)
            for step, count in sorted(counts.items())
        ]
    )
