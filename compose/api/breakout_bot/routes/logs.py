"""The newest log lines."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from breakout_bot.errors import documented
from breakout_bot.logs import KEPT
from breakout_bot.models import LogEntry, Logs
from breakout_bot.services import Parts

router = APIRouter(prefix="/logs", tags=["logs"])


@router.get("", responses=documented(422))
async def logs(
    parts: Parts,
    limit: Annotated[int, Query(ge=1, le=KEPT, examples=[20])] = 100,
    level: Literal["INFO", "WARNING", "ERROR", "CRITICAL"] | None = None,
) -> Logs:
    """Give this process's newest lines, oldest first, of one level or all."""
    entries = [one for one in parts.memory.entries if level in (None, one["level"])]
    return Logs(logs=[LogEntry.model_validate(one) for one in entries[-limit:]])
