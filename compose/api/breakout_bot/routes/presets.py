"""Presets."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path

from breakout_bot import presets
from breakout_bot.errors import BODY, MUTATE, READ, documented
from breakout_bot.models import Presets
from breakout_bot.presets import Preset, PresetBody
from breakout_bot.routes.keyed import KEYED
from breakout_bot.services import Parts

router = APIRouter(prefix="/presets", tags=["presets"])
Name = Annotated[str, Path(pattern=presets.NAME, examples=["balanced"])]


@router.get("", include_in_schema=False)
@router.get("/", responses=READ)
async def every(parts: Parts) -> Presets:
    """List the presets and name the one in use."""
    found = await parts.database.run(presets.every)
    return Presets(active=parts.engine.control.preset, presets=found)


@router.get("/{name}", responses={**READ, **documented(404, 422)})
async def one(parts: Parts, name: Name) -> Preset:
    """Give one preset."""
    found = await parts.database.run(lambda db: presets.find(db, name))
    if found is None:
        raise HTTPException(404, f"there is no preset {name!r}; see GET /api/presets/")
    return found


@router.put("/{name}", responses={**MUTATE, **BODY}, dependencies=KEYED)
async def save(parts: Parts, name: Name, body: PresetBody) -> Preset:
    """Make or replace a preset; the one in use changes with the next start or reload."""
    preset = Preset(name=name, **body.model_dump())
    await parts.database.run(lambda db: presets.save(db, preset))
    return preset
