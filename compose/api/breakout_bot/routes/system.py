"""Who answers, and how it is."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from breakout_bot.models import About, HealthReport
from breakout_bot.services import Parts

router = APIRouter(tags=["system"])
UNHEALTHY: dict[int | str, dict[str, Any]] = {
    503: {"model": HealthReport, "description": "Unhealthy"}
}


@router.get("", include_in_schema=False)
@router.get("/")
async def about(parts: Parts) -> About:
    """Say who answers."""
    settings = parts.settings
    return About.model_validate(
        {
            "name": "Breakout Bot Trading System",
            "version": settings.version,
            "revision": settings.revision,
            "mode": settings.mode,
            "docs": "/api/docs",
            "health": "/api/health",
        }
    )


@router.get("/health", response_model=HealthReport, responses=UNHEALTHY)
async def health(parts: Parts) -> JSONResponse:
    """Touch every dependency and say what came of it; 503 when unhealthy."""
    report = HealthReport.model_validate(await parts.health.report())
    status = 503 if report.status == "unhealthy" else 200
    return JSONResponse(report.model_dump(), status, {"Cache-Control": "no-store"})
