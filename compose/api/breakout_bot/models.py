"""What the API says, as OpenAPI describes it; the names are the ones in the JSON."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from breakout_bot.presets import Preset
from breakout_bot.states import State

Mode = Literal["paper", "live"]
Connected = Literal["connected", "disconnected"]
CommandName = Literal["start", "stop", "pause", "resume", "reload", "emergency-stop", "reset"]


class ErrorBody(BaseModel):
    """Every error."""

    detail: str
    status_code: int


class About(BaseModel):
    """Who answers."""

    name: str
    version: str
    revision: str
    mode: Mode
    docs: str
    health: str


class ResourceHealth(BaseModel):
    """What the process and its container use."""

    status: Literal["healthy", "degraded"]
    issues: list[str]
    cpu_percent: float
    memory_percent: float
    memory_used_mb: float
    disk_usage_percent: float
    active_threads: int
    open_files: int
    network_connections: int


class Connectivity(BaseModel):
    """Which dependencies did what was asked of them a moment ago."""

    database: Connected
    redis: Connected
    exchange: Connected
    websocket: Connected


class HealthReport(BaseModel):
    """The whole health report."""

    status: Literal["healthy", "degraded", "unhealthy"]
    engine_initialized: bool
    engine_running: bool
    engine_state: State
    resource_health: ResourceHealth
    api_connectivity: Connectivity
    issues: list[str]
    timestamp: str
    uptime_seconds: float
    version: str
    revision: str
    started_at: str
    schema_version: int
    heartbeat_age_seconds: float
    market_data_age_seconds: float


class EngineStatus(BaseModel):
    """What the engine is doing."""

    state: State
    preset: str
    mode: Mode
    startedAt: str | None
    slots: int
    openPositions: int
    latencyMs: float
    dailyR: float
    consecutiveLosses: int
    leaseHeld: bool
    trading: bool
    liquidating: bool
    reason: str


class EngineMetrics(BaseModel):
    """What the engine has done."""

    uptime: float
    cycleCount: int
    avgLatencyMs: float
    totalSignals: int
    totalTrades: int
    dailyPnlR: float
    maxDrawdownR: float


class CommandInfo(BaseModel):
    """One command and whether the engine's state allows it."""

    name: CommandName
    allowed: bool


class Commands(BaseModel):
    """All commands."""

    state: State
    commands: list[CommandInfo]


class StartRequest(BaseModel):
    """What to start with; what is left out stays as it was."""

    model_config = ConfigDict(extra="forbid")

    preset: str | None = Field(default=None, max_length=40, examples=["balanced"])
    mode: Mode | None = Field(default=None, examples=["paper"])


class CommandRequest(StartRequest):
    """A command by name; preset and mode matter to start alone."""

    command: CommandName = Field(examples=["reload"])


class ControlAnswer(BaseModel):
    """The answer to every control operation."""

    success: bool
    message: str
    timestamp: str
    state: State
    failures: list[str] = []


class PositionView(BaseModel):
    """An open position at the price now."""

    id: str
    symbol: str
    side: Literal["long"]
    quantity: float
    entryPrice: float
    currentPrice: float | None
    stopPrice: float
    targetPrice: float
    unrealizedR: float | None
    openedAt: str


class OrderView(BaseModel):
    """An order as the exchange knows it."""

    id: str
    clientOrderId: str
    symbol: str
    side: Literal["buy", "sell"]
    type: Literal["market", "limit", "stop"]
    quantity: float
    price: float | None
    status: Literal["open", "filled", "cancelled"]
    createdAt: str
    fillPrice: float | None
    filledQuantity: float
    fee: float
    reduceOnly: bool


class Presets(BaseModel):
    """All presets and the one in use."""

    active: str
    presets: list[Preset]


class ScanRequest(BaseModel):
    """What to scan with and for; the engine's preset and every symbol by default."""

    model_config = ConfigDict(extra="forbid")

    preset: str | None = Field(default=None, max_length=40, examples=["balanced"])
    symbols: list[str] | None = Field(
        default=None, min_length=1, max_length=50, examples=[["BTCUSDT"]]
    )


class ScanResult(BaseModel):
    """What a scan saw of one symbol."""

    symbol: str
    price: float
    level: float
    distancePercent: float
    breakout: bool


class ScanReport(BaseModel):
    """A scan, nearest to a breakout first; no timestamp when there was none yet."""

    timestamp: str | None
    preset: str | None
    results: list[ScanResult]


class ScannerStatus(BaseModel):
    """What the scanner is doing."""

    running: bool
    scans: int
    lastScanAt: str | None
    symbols: int


class EquityPoint(BaseModel):
    """The sum of all results after one trade."""

    ts: str
    equityR: float


class Equity(BaseModel):
    """The equity curve in R; it begins at 0."""

    points: list[EquityPoint]


class PerformanceMetrics(BaseModel):
    """What all closed trades add up to."""

    totalTrades: int
    wins: int
    losses: int
    winRate: float
    totalR: float
    averageR: float
    profitFactor: float | None
    maxDrawdownR: float
    dailyR: float
    consecutiveLosses: int


class Bin(BaseModel):
    """How many trades ended from one R up to, not including, another."""

    fromR: float
    toR: float
    count: int


class RDistribution(BaseModel):
    """The results by size."""

    bins: list[Bin]


class MetricsSummary(BaseModel):
    """The engine in short."""

    engine: EngineStatus
    metrics: EngineMetrics
    websocketClients: int
    exchangeErrors: int


class MetricsPerformance(BaseModel):
    """How fast the engine works."""

    cycleCount: int
    tickLagSeconds: float
    latencyMs: float
    avgLatencyMs: float
    heartbeatAgeSeconds: float
    marketDataAgeSeconds: float


class MetricsHealth(BaseModel):
    """Health in short; always 200, the judgement is in the body."""

    status: Literal["healthy", "degraded", "unhealthy"]
    issues: list[str]
    api_connectivity: Connectivity
    resource_health: ResourceHealth


class LogEntry(BaseModel):
    """One line of the log."""

    ts: str
    level: str
    logger: str
    message: str
    request_id: str | None
    fields: dict[str, Any] | None = None


class Logs(BaseModel):
    """The newest lines of this process, oldest first."""

    logs: list[LogEntry]


class Candle(BaseModel):
    """One candle; time in seconds since 1970."""

    time: float
    open: float
    high: float
    low: float
    close: float
    volume: float


class Candles(BaseModel):
    """A symbol's candles, oldest first; the last one is still open."""

    symbol: str
    candles: list[Candle]


class Level(BaseModel):
    """A price that the market has turned at."""

    kind: Literal["resistance", "support"]
    price: float


class Levels(BaseModel):
    """A symbol's levels by the preset in use."""

    symbol: str
    levels: list[Level]
