"""The engine: a loop that beats, watches the market, keeps the lease and trades while it may."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from breakout_bot import control, presets
from breakout_bot.bus import Bus
from breakout_bot.clock import iso
from breakout_bot.control import Control
from breakout_bot.database import Database, DatabaseError
from breakout_bot.desk import Desk, FencedOff, Liquidation
from breakout_bot.exchange import Exchange, ExchangeError
from breakout_bot.feed import Feed
from breakout_bot.lease import Lease, LeaseError
from breakout_bot.presets import Preset
from breakout_bot.settings import Settings
from breakout_bot.states import TRADING, Command, State, next_state

STALLED_SECONDS = 10.0
DAILY_LOSS = "the daily loss limit was reached"
log = logging.getLogger(__name__)


class LeaseTaken(Exception):
    """Another engine holds the trading lease."""


class BadValue(ValueError):
    """A value in a command that this deployment cannot work with."""


class Engine:
    """One per process; which of them trades is decided by the lease."""

    def __init__(
        self, settings: Settings, database: Database, exchange: Exchange, lease: Lease, bus: Bus
    ) -> None:
        self.settings = settings
        self.database = database
        self.exchange = exchange
        self.lease = lease
        self.feed = Feed(exchange)
        self.desk = Desk(exchange, database, self.feed, lease, bus, settings.scan_seconds)
        self.preset = presets.BUILT_IN[0]
        self.began = time.monotonic()
        self.cycles = 0
        self.tick_lag_seconds = 0.0
        self.cycle_seconds = 0.0
        self._beat = time.monotonic()
        self._bus = bus
        self._control = Control(0, State.IDLE, settings.preset, settings.mode, None, False, "")
        self._halted = False
        self._stopping = 0
        self.fenced = 0
        self._commands = asyncio.Lock()
        self._troubles: set[str] = set()

    @property
    def control(self) -> Control:
        """Give what the engine was last told."""
        return self._control

    @property
    def state(self) -> State:
        """Give the state; an emergency holds even where it could not be written down."""
        return State.EMERGENCY if self._halted else self._control.state

    @property
    def trading(self) -> bool:
        """Tell whether this process is the one that trades now."""
        return self.state in TRADING and self.lease.held

    @property
    def liquidating(self) -> bool:
        """Tell whether a stop has yet to close everything."""
        return self._control.liquidating or self._halted

    @property
    def heartbeat_age_seconds(self) -> float:
        """Say how long ago the loop last began a cycle."""
        return time.monotonic() - self._beat

    def load(self) -> None:
        """Read, or make, the control record and the presets; BadValue for an unknown preset."""
        preset, mode = self.settings.preset, self.settings.mode
        self.database.now(presets.seed)
        if self.database.now(lambda db: presets.find(db, preset)) is None:
            raise BadValue(
                f"PRESET is {preset!r}: expected a preset of this deployment; "
                "set PRESET in the environment"
            )
        self._adopt(self.database.now(lambda db: control.create(db, preset, mode)))
        chosen = self._control.preset
        self.preset = self.database.now(lambda db: presets.find(db, chosen)) or self.preset
        log.info("the engine is %s, preset %s", self.state.value, chosen)

    async def run(self) -> None:
        """Cycle for ever; nothing that fails inside a cycle ends the loop."""
        due = time.monotonic()
        while True:
            now = time.monotonic()
            self.tick_lag_seconds = max(0.0, now - due)
            self._beat = now
            self.cycles += 1
            await self._cycle()
            self.cycle_seconds = time.monotonic() - now
            # A late cycle is not made up for: prices of the past cannot be traded. But one that
            # takes longer than a tick makes the next one late.
            due = max(due, now) + self.settings.tick_seconds
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _cycle(self) -> None:
        await self._try("control", self._sync)
        await asyncio.gather(
            self._try("market data", self.feed.poll), self._try("lease", self._keep_lease)
        )
        if self.lease.held or self.state not in TRADING:
            await self._try("orders", lambda: self.desk.reconcile(self.preset))
        if self.liquidating:
            if not self._stopping:
                await self._try("liquidation", self._liquidate_again)
        elif self.trading and self.feed.fresh:
            await self._try("trading", self._trade)
        self._bus.say("ENGINE_UPDATE", self.status())

    async def _trade(self) -> None:
        token = self.lease.token
        try:
            await self._try("exits", self.desk.exits)
            await self._try("daily loss", self._watch_loss)
            if self.state is State.RUNNING:
                await self._try("entries", self._enter)
        except FencedOff as error:
            if self.state not in TRADING or self.lease.token != token:
                log.info("a stop of our own has overtaken an order: %s", error)
                return
            log.error("fenced off, standing down: %s", error)
            self.fenced += 1
            await self.lease.stand_down()

    async def _try(self, name: str, step: Callable[[], Awaitable[Any]]) -> None:
        try:
            await step()
        except FencedOff:
            raise
        except (ExchangeError, DatabaseError, LeaseError, LeaseTaken, BadValue) as error:
            self._report(name, str(error))
        except Exception:
            log.exception("%s failed in a way that was not foreseen", name)
        else:
            if name in self._troubles:
                self._troubles.discard(name)
                log.info("%s works again", name)

    def _report(self, name: str, reason: str) -> None:
        if name not in self._troubles:
            self._troubles.add(name)
            log.warning("%s: %s", name, reason)

    def _adopt(self, seen: Control) -> None:
        if seen.version < self._control.version:
            return
        if seen.state is State.EMERGENCY:
            self._halted = False
        self._control = seen

    async def _sync(self) -> None:
        before = self._control.preset
        self._adopt(await self.database.run(control.read))
        if self._halted and not self._stopping:
            await self._apply(Command.EMERGENCY_STOP, reason="noted late")
        if self._control.preset != before:
            await self._use_preset()
        await self.desk.refresh()

    async def _keep_lease(self) -> None:
        if self.state in TRADING:
            if not await self.lease.keep():
                raise LeaseTaken("another engine holds the trading lease: this one stands by")
        elif self.lease.held:
            await self.lease.release()

    async def _enter(self) -> None:
        await self.desk.entries(self.preset, self._may_enter)

    async def _may_enter(self) -> bool:
        self._adopt(await self.database.run(control.read))
        return self.state is State.RUNNING and self.lease.held

    async def _watch_loss(self) -> None:
        if self.desk.result.day_r <= -self.preset.daily_loss_limit_r:
            log.error("%s: %.2f R", DAILY_LOSS, self.desk.result.day_r)
            await self.emergency(DAILY_LOSS)

    async def _liquidate_again(self) -> None:
        done = await self.desk.liquidate(self._control.reason)
        if done.failures:
            raise ExchangeError(done.sentence())
        self._adopt(await self.database.run(control.liquidated))
        log.info("nothing is left open: %s", done.sentence())
        await self.lease.release()  # its token is older than the fence that is up now

    async def _find(self, name: str) -> Preset:
        found = await self.database.run(lambda db: presets.find(db, name))
        if found is None:
            raise BadValue(f"there is no preset {name!r}; see GET /api/presets/")
        return found

    async def _use_preset(self) -> None:
        self.preset = await self._find(self._control.preset)

    async def start(self, preset: str | None, mode: str | None) -> str:
        """Take the lease and run; LeaseTaken when another engine trades."""
        async with self._commands:
            chosen = await self._find(preset or self._control.preset)
            if mode not in (None, self.settings.mode):
                raise BadValue(f"this deployment trades {self.settings.mode}, not {mode}")
            seen = await self.database.run(control.read)
            next_state(seen.state, Command.START)
            if not await self.lease.keep():
                raise LeaseTaken("another engine holds the trading lease")
            await self._apply(Command.START, chosen.name, self.settings.mode)
            self.preset = chosen
            self.desk.look_now()
            return f"running {chosen.name} in {self.settings.mode} mode"

    async def pause(self) -> str:
        """Open no more positions; go on closing them."""
        async with self._commands:
            await self._apply(Command.PAUSE)
            return "paused: no position is opened, open ones are still closed"

    async def resume(self) -> str:
        """Open positions again."""
        async with self._commands:
            await self._apply(Command.RESUME)
            return "running again"

    async def reset(self) -> str:
        """Leave the emergency."""
        async with self._commands:
            await self._apply(Command.RESET)
            return "the emergency is over; the engine is idle"

    async def reload(self) -> str:
        """Read the preset in use again; the state stays as it is."""
        async with self._commands:
            await self._use_preset()
            return f"preset {self.preset.name} was read again"

    async def stop(self) -> Liquidation:
        """Stop trading, cancel all orders and close all positions."""
        async with self._commands:
            await self._apply(Command.STOP)
            done = await self._flatten("stop")
            await self._liquidated(done)
            return done

    async def emergency(self, reason: str) -> Liquidation:
        """Stop at once, whatever fails, and hold until reset.

        It waits for no other command: the exchange is told while the state is written down.
        """
        self._halted = True
        self._stopping += 1
        try:
            noted, done = await asyncio.gather(
                self._apply(Command.EMERGENCY_STOP, reason=reason),
                self._flatten(reason),
                return_exceptions=True,
            )
        finally:
            self._stopping -= 1
        if isinstance(done, BaseException):
            raise done
        if isinstance(noted, BaseException):
            log.critical("the emergency stop could not be written down: %s", noted)
            raise DatabaseError(f"stopped, {done.sentence()}, but not for ever: {noted}")
        await self._liquidated(done)
        return done

    async def _apply(
        self,
        command: Command,
        preset: str | None = None,
        mode: str | None = None,
        reason: str = "by command",
    ) -> None:
        why = f"{command.value}: {reason}"
        self._adopt(
            await self.database.run(lambda db: control.apply(db, command, why, preset, mode))
        )
        log.info("%s: the engine is %s", why, self.state.value)
        self._bus.say("ENGINE_UPDATE", self.status())

    async def _flatten(self, reason: str) -> Liquidation:
        # Giving the lease up must not wait for the exchange, nor the exchange for redis.
        done, _ = await asyncio.gather(self.desk.liquidate(reason), self._release())
        return done

    async def _release(self) -> None:
        with contextlib.suppress(LeaseError):
            await self.lease.release()

    async def _liquidated(self, done: Liquidation) -> None:
        if not done.failures:
            with contextlib.suppress(DatabaseError):
                self._adopt(await self.database.run(control.liquidated))

    async def close(self) -> None:
        """Give the lease up."""
        if self.lease.held:
            await self._release()

    def status(self) -> dict[str, Any]:
        """Say what the engine is doing, as GET /api/engine/status does."""
        started = self._control.started_at
        return {
            "state": self.state.value,
            "preset": self._control.preset,
            "mode": self.settings.mode,
            "startedAt": iso(started) if started else None,
            "slots": self.preset.max_positions,
            "openPositions": len(self.desk.positions),
            "latencyMs": round(self.exchange.latency_ms, 2),
            "dailyR": round(self.desk.result.day_r, 4),
            "consecutiveLosses": self.desk.result.consecutive_losses,
            "leaseHeld": self.lease.held,
            "trading": self.trading,
            "liquidating": self.liquidating,
            "reason": self._control.reason,
        }

    def metrics(self) -> dict[str, Any]:
        """Say what the engine has done, as GET /api/engine/metrics does."""
        result = self.desk.result
        return {
            "uptime": round(time.monotonic() - self.began, 3),
            "cycleCount": self.cycles,
            "avgLatencyMs": round(self.exchange.average_ms, 2),
            "totalSignals": self.desk.signals,
            "totalTrades": result.trades,
            "dailyPnlR": round(result.day_r, 4),
            "maxDrawdownR": round(result.max_drawdown_r, 4),
        }
