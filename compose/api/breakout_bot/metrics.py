"""What Prometheus scrapes; every name begins with breakout_bot_."""

from collections.abc import Callable
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from breakout_bot.engine import Engine
from breakout_bot.limit import RateLimit
from breakout_bot.resources import Resources
from breakout_bot.states import State

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ORDER_KINDS = ("entry", "exit", "flatten", "cancel", "refused")
disable_created_metrics()  # type: ignore[no-untyped-call]


class HasClients(Protocol):
    """Whatever can count its WebSocket clients."""

    @property
    def clients(self) -> int:
        """Count them."""


class Metrics:
    """The process's metrics, read from the engine whenever they are asked for."""

    def __init__(
        self, engine: Engine, hub: HasClients, resources: Resources, limit: RateLimit
    ) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(namespace="breakout_bot", registry=self.registry)
        self.requests = Counter(
            "breakout_bot_http_requests_total",
            "Requests answered.",
            ("method", "path", "status"),
            registry=self.registry,
        )
        self.latency = Histogram(
            "breakout_bot_http_request_duration_seconds",
            "Time to the end of an answer.",
            ("method", "path"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._engine = engine
        self._hub = hub
        self._limit = limit
        self._add_resources(resources)
        self._add_engine()
        self._add_results()
        self._add_orders()
        self._add_build()

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"breakout_bot_{name}", text, registry=self.registry)

    def _counter(self, name: str, text: str) -> "_Follower":
        return _Follower(Counter(f"breakout_bot_{name}", text, registry=self.registry))

    def _add_engine(self) -> None:
        engine, hub = self._engine, self._hub
        states = Gauge(
            "breakout_bot_engine_state",
            "1 for the state that the engine is in.",
            ("state",),
            registry=self.registry,
        )
        for state in State:
            states.labels(state.value).set_function(self._is_in(state))
        gauges = {
            "tick_lag_seconds": ("How late the last cycle began.", lambda: engine.tick_lag_seconds),
            "heartbeat_age_seconds": (
                "Time since a cycle began.",
                lambda: engine.heartbeat_age_seconds,
            ),
            "market_data_age_seconds": (
                "Time since the feed moved.",
                lambda: engine.feed.age_seconds,
            ),
            "lease_held": (
                "1 while this process holds the trading lease.",
                lambda: float(engine.lease.held),
            ),
            "liquidating": (
                "1 while a stop has yet to close everything.",
                lambda: float(engine.liquidating),
            ),
            "cycle_duration_seconds": (
                "How long the last cycle took.",
                lambda: engine.cycle_seconds,
            ),
            "exchange_latency_seconds": (
                "Average of the exchange's answers.",
                lambda: engine.exchange.average_ms / 1000,
            ),
            "clock_offset_seconds": (
                "How far the exchange's clock is ahead of ours.",
                lambda: engine.feed.clock_offset_seconds,
            ),
            "websocket_clients": ("WebSocket clients.", lambda: float(hub.clients)),
        }
        for name, (text, read) in gauges.items():
            self._gauge(name, text).set_function(read)
        self._cycles = self._counter("cycles_total", "Cycles of the engine's loop.")
        self._limited = self._counter("rate_limited_total", "Control operations answered 429.")
        self._fenced = self._counter("fenced_total", "Times that the exchange fenced this off.")
        self._errors = self._counter("exchange_errors_total", "Calls that the exchange failed.")

    def _add_resources(self, resources: Resources) -> None:
        self._gauge("memory_percent", "Used share of the container's memory.").set_function(
            lambda: resources.sample.memory_percent
        )
        self._gauge("disk_usage_percent", "Used share of the data's disk.").set_function(
            lambda: resources.sample.disk_usage_percent
        )

    def _is_in(self, state: State) -> Callable[[], float]:
        return lambda: float(self._engine.state is state)

    def _add_results(self) -> None:
        desk = self._engine.desk
        self._gauge("open_positions", "Open positions.").set_function(
            lambda: float(len(desk.positions))
        )
        trades = Gauge(
            "breakout_bot_trades",
            "Closed trades of this deployment.",
            ("result",),
            registry=self.registry,
        )
        trades.labels("win").set_function(lambda: float(desk.result.wins))
        trades.labels("loss").set_function(lambda: float(desk.result.trades - desk.result.wins))
        self._gauge("total_r", "Result of all trades in R.").set_function(
            lambda: desk.result.total_r
        )
        self._gauge("daily_r", "Result of the UTC day in R.").set_function(
            lambda: desk.result.day_r
        )
        self._gauge("max_drawdown_r", "Deepest fall of the equity in R.").set_function(
            lambda: desk.result.max_drawdown_r
        )

    def _add_orders(self) -> None:
        orders = Counter(
            "breakout_bot_orders_total",
            "Orders sent to the exchange.",
            ("kind",),
            registry=self.registry,
        )
        self._orders = {kind: _Follower(orders.labels(kind)) for kind in ORDER_KINDS}

    def _add_build(self) -> None:
        build = Gauge(
            "breakout_bot_build_info",
            "Always 1; the labels say what runs.",
            ("version", "revision"),
            registry=self.registry,
        )
        build.labels(self._engine.settings.version, self._engine.settings.revision).set(1)

    def observe(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self.requests.labels(method, path, str(status)).inc()
        self.latency.labels(method, path).observe(seconds)

    def text(self) -> bytes:
        """Write everything in Prometheus' text format."""
        self._cycles.follow(self._engine.cycles)
        self._limited.follow(self._limit.refused)
        self._fenced.follow(self._engine.fenced)
        self._errors.follow(self._engine.exchange.errors)
        for kind, follower in self._orders.items():
            follower.follow(self._engine.desk.orders[kind])
        return generate_latest(self.registry)


class _Follower:
    """A counter that is brought up to a number counted elsewhere."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._seen = 0

    def follow(self, count: int) -> None:
        self._counter.inc(count - self._seen)
        self._seen = count
