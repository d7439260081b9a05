"""Engine control and status."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Depends

from breakout_bot.clock import iso
from breakout_bot.desk import Liquidation
from breakout_bot.engine import Engine
from breakout_bot.errors import BODY, MUTATE, documented
from breakout_bot.models import (
    CommandInfo,
    CommandRequest,
    Commands,
    ControlAnswer,
    EngineMetrics,
    EngineStatus,
    StartRequest,
)
from breakout_bot.routes.keyed import KEYED
from breakout_bot.services import Parts
from breakout_bot.states import allowed_commands

router = APIRouter(prefix="/engine", tags=["engine"])
WRONG_STATE = documented(409)
TOO_MANY = documented(429)


def _limited(parts: Parts) -> None:
    parts.limit.take()


control = APIRouter(dependencies=[*KEYED, Depends(_limited)], responses={**MUTATE, **TOO_MANY})
unlimited = APIRouter(dependencies=KEYED, responses=MUTATE)


@router.get("/status")
async def status(parts: Parts) -> EngineStatus:
    """Say what the engine is doing."""
    return EngineStatus.model_validate(parts.engine.status())


@router.get("/metrics")
async def metrics(parts: Parts) -> EngineMetrics:
    """Say what the engine has done."""
    return EngineMetrics.model_validate(parts.engine.metrics())


@router.get("/commands")
async def commands(parts: Parts) -> Commands:
    """List the commands and which of them the state allows."""
    state = parts.engine.state
    allowed = {command.value for command in allowed_commands(state)} | {"reload"}
    names = CommandRequest.model_fields["command"].annotation
    every = names.__args__ if names else ()
    return Commands(
        state=state, commands=[CommandInfo(name=name, allowed=name in allowed) for name in every]
    )


def _done(engine: Engine, message: str) -> ControlAnswer:
    return ControlAnswer(success=True, message=message, timestamp=iso(), state=engine.state)


def _flat(engine: Engine, verb: str, done: Liquidation) -> ControlAnswer:
    return ControlAnswer(
        success=not done.failures,
        message=f"{verb}: {done.sentence()}",
        timestamp=iso(),
        state=engine.state,
        failures=done.failures,
    )


@control.post("/start", responses={**BODY, **WRONG_STATE})
async def start(parts: Parts, wanted: StartRequest | None = None) -> ControlAnswer:
    """Take the trading lease and trade."""
    wanted = wanted or StartRequest()
    return _done(parts.engine, await parts.engine.start(wanted.preset, wanted.mode))


@control.post("/stop", responses=WRONG_STATE)
async def stop(parts: Parts) -> ControlAnswer:
    """Stop trading: no order and no position is left."""
    return _flat(parts.engine, "stopped", await parts.engine.stop())


@control.post("/pause", responses=WRONG_STATE)
async def pause(parts: Parts) -> ControlAnswer:
    """Open no more positions; open ones are still closed."""
    return _done(parts.engine, await parts.engine.pause())


@control.post("/resume", responses=WRONG_STATE)
async def resume(parts: Parts) -> ControlAnswer:
    """Open positions again."""
    return _done(parts.engine, await parts.engine.resume())


@control.post("/reload")
async def reload(parts: Parts) -> ControlAnswer:
    """Read the preset in use again; the state stays."""
    return _done(parts.engine, await parts.engine.reload())


@unlimited.post("/emergency-stop")
async def emergency_stop(parts: Parts) -> ControlAnswer:
    """Cancel every order, close every position, and hold until reset; never rate limited."""
    return _flat(parts.engine, "emergency stop", await parts.engine.emergency("by command"))


@control.post("/reset", responses=WRONG_STATE)
async def reset(parts: Parts) -> ControlAnswer:
    """Leave the emergency."""
    return _done(parts.engine, await parts.engine.reset())


SIMPLE: dict[str, Callable[[Parts], Awaitable[ControlAnswer]]] = {
    "stop": stop,
    "pause": pause,
    "resume": resume,
    "reload": reload,
    "emergency-stop": emergency_stop,
    "reset": reset,
}


@unlimited.post("/command", responses={**BODY, **WRONG_STATE, **TOO_MANY})
async def command(parts: Parts, wanted: CommandRequest) -> ControlAnswer:
    """Carry out a command by name."""
    if wanted.command != "emergency-stop":
        parts.limit.take()
    if wanted.command == "start":
        return await start(parts, StartRequest(preset=wanted.preset, mode=wanted.mode))
    return await SIMPLE[wanted.command](parts)


router.include_router(control)
router.include_router(unlimited)
