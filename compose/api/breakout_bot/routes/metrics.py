"""Metrics: for Prometheus as text, for people as JSON."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from breakout_bot.models import (
    EngineMetrics,
    EngineStatus,
    MetricsHealth,
    MetricsPerformance,
    MetricsSummary,
)
from breakout_bot.services import Parts

router = APIRouter(prefix="/metrics", tags=["metrics"])
TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
}


@router.get("", response_class=Response, responses=TEXT)
async def prometheus(parts: Parts) -> Response:
    """Give everything in Prometheus' text format."""
    return Response(parts.metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)


@router.get("/summary")
async def summary(parts: Parts) -> MetricsSummary:
    """Give the engine in short."""
    return MetricsSummary(
        engine=EngineStatus.model_validate(parts.engine.status()),
        metrics=EngineMetrics.model_validate(parts.engine.metrics()),
        websocketClients=parts.hub.clients,
        exchangeErrors=parts.exchange.errors,
    )


@router.get("/performance")
async def performance(parts: Parts) -> MetricsPerformance:
    """Say how fast the engine works."""
    engine = parts.engine
    return MetricsPerformance(
        cycleCount=engine.cycles,
        tickLagSeconds=round(engine.tick_lag_seconds, 4),
        latencyMs=round(parts.exchange.latency_ms, 2),
        avgLatencyMs=round(parts.exchange.average_ms, 2),
        heartbeatAgeSeconds=round(engine.heartbeat_age_seconds, 3),
        marketDataAgeSeconds=round(engine.feed.age_seconds, 3),
    )


@router.get("/health")
async def health(parts: Parts) -> MetricsHealth:
    """Give health in short; always 200, the judgement is in the body."""
    return MetricsHealth.model_validate(await parts.health.report())
