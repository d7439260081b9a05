"""The API's operations, one module a subject."""

from breakout_bot.routes import (
    charts,
    engine,
    logs,
    metrics,
    performance,
    presets,
    scanner,
    system,
    trading,
)

EVERY = (
    system.router,
    engine.router,
    trading.router,
    presets.router,
    scanner.router,
    performance.router,
    metrics.router,
    logs.router,
    charts.router,
)
