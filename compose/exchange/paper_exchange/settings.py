"""What the exchange is told by its environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PORT = 8100
SYMBOLS: Mapping[str, float] = {
    "BTCUSDT": 64000.0,
    "ETHUSDT": 3200.0,
    "SOLUSDT": 150.0,
    "BNBUSDT": 580.0,
    "XRPUSDT": 0.55,
    "ADAUSDT": 0.45,
    "AVAXUSDT": 35.0,
    "LINKUSDT": 14.0,
    "DOTUSDT": 7.0,
    "LTCUSDT": 82.0,
}


class SettingsError(ValueError):
    """A value in the environment that the exchange cannot run with."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set from outside. Seconds are the exchange's own."""

    seed: str = "1"
    tick_seconds: float = 1.0
    candle_ticks: int = 60
    time_scale: float = 1.0
    """Seconds of the exchange to one real one."""
    data_dir: Path | None = None
    """Where the order log is kept; None keeps it in memory."""
    drills: bool = False
    version: str = "0.0.0"
    revision: str = "unknown"


def _positive(env: Mapping[str, str], name: str, default: float) -> float:
    raw = env.get(name, "").strip()
    try:
        value = float(raw) if raw else default
    except ValueError:
        value = 0.0
    if not 0 < value <= 86400:
        raise SettingsError(
            f"{name} is {raw!r}: expected a number above 0; set {name} in the environment"
        )
    return value


def load(env: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; raise SettingsError with a sentence that says what to do."""
    env = os.environ if env is None else env
    folder = env.get("DATA_DIR", "").strip()
    return Settings(
        seed=env.get("SEED", "").strip() or "1",
        tick_seconds=_positive(env, "TICK_SECONDS", 1.0),
        candle_ticks=max(1, int(_positive(env, "CANDLE_TICKS", 60))),
        time_scale=_positive(env, "TIME_SCALE", 1.0),
        data_dir=Path(folder) if folder else None,
        drills=env.get("DRILLS", "").strip() == "1",
        version=env.get("EXCHANGE_VERSION", "").strip() or "0.0.0",
        revision=env.get("EXCHANGE_REVISION", "").strip() or "unknown",
    )
