"""Presets: the numbers a strategy trades by."""

import sqlite3
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from breakout_bot.database import transaction

NAME = r"^[a-z0-9_-]{1,40}$"


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
"""An integer as JSON has it: 95.0 is one."""


class PresetBody(BaseModel):
    """What a preset says; `false` is no number and "5" is none either."""

    model_config = ConfigDict(extra="forbid", strict=True)

    description: str = Field(default="", max_length=200)
    max_positions: Whole = Field(default=3, ge=1, le=20)
    lookback: Whole = Field(default=60, ge=5, le=250)
    stop_percent: float = Field(default=1.0, gt=0, le=50, allow_inf_nan=False)
    target_r: float = Field(default=2.0, gt=0, le=50, allow_inf_nan=False)
    risk_usd: float = Field(default=50.0, gt=0, le=1e6, allow_inf_nan=False)
    daily_loss_limit_r: float = Field(default=4.0, gt=0, le=100, allow_inf_nan=False)
    cooldown_seconds: float = Field(default=300.0, ge=0, le=86400, allow_inf_nan=False)


class Preset(PresetBody):
    """A preset and its name."""

    name: str


BUILT_IN = (
    Preset(name="balanced", description="Three slots, 1 % stops, twice the risk as target"),
    Preset(
        name="conservative",
        description="One slot, longer levels, a tight daily limit",
        max_positions=1,
        lookback=120,
        daily_loss_limit_r=2.0,
    ),
    Preset(
        name="aggressive",
        description="Five slots, shorter levels",
        max_positions=5,
        lookback=30,
        stop_percent=0.6,
        daily_loss_limit_r=6.0,
    ),
)


def seed(connection: sqlite3.Connection) -> None:
    """Put the built-in presets in where they are missing."""
    rows = [(one.name, one.model_dump_json()) for one in BUILT_IN]
    with transaction(connection):
        connection.executemany("INSERT OR IGNORE INTO presets VALUES (?, ?)", rows)


def every(connection: sqlite3.Connection) -> list[Preset]:
    """List all presets by name."""
    rows = connection.execute("SELECT body FROM presets ORDER BY name")
    return [Preset.model_validate_json(row["body"]) for row in rows]


def find(connection: sqlite3.Connection, name: str) -> Preset | None:
    """Find one preset."""
    row = connection.execute("SELECT body FROM presets WHERE name = ?", (name,)).fetchone()
    return Preset.model_validate_json(row["body"]) if row else None


def save(connection: sqlite3.Connection, preset: Preset) -> None:
    """Make or replace a preset."""
    with transaction(connection):
        connection.execute(
            "REPLACE INTO presets VALUES (?, ?)", (preset.name, preset.model_dump_json())
        )
