"""The scanner."""

from fastapi import APIRouter

from breakout_bot import presets
from breakout_bot.clock import iso
from breakout_bot.engine import BadValue
from breakout_bot.errors import BODY, MUTATE, READ
from breakout_bot.exchange import ExchangeError
from breakout_bot.models import ScannerStatus, ScanReport, ScanRequest
from breakout_bot.routes.keyed import KEYED
from breakout_bot.services import Parts, Services

router = APIRouter(prefix="/scanner", tags=["scanner"])


def _symbols(parts: Services, wanted: list[str] | None) -> list[str]:
    known = list(parts.engine.feed.prices)
    if not known:
        raise ExchangeError("the exchange has given no prices yet")
    unknown = sorted(set(wanted or ()) - set(known))
    if unknown:
        raise BadValue(f"unknown symbols: {', '.join(unknown)}; known: {', '.join(known)}")
    return wanted or known


@router.post("/scan", responses={**MUTATE, **BODY}, dependencies=KEYED)
async def scan(parts: Parts, wanted: ScanRequest | None = None) -> ScanReport:
    """Look at the symbols for a breakout now."""
    wanted = wanted or ScanRequest()
    name = wanted.preset or parts.engine.control.preset
    preset = await parts.database.run(lambda db: presets.find(db, name))
    if preset is None:
        raise BadValue(f"there is no preset {name!r}; see GET /api/presets/")
    symbols = _symbols(parts, wanted.symbols)
    report = await parts.engine.desk.scanner.scan(symbols, name, preset)
    parts.bus.say("SCAN_RESULT", report)
    return ScanReport.model_validate(report)


@router.get("/last", responses=READ)
async def last(parts: Parts) -> ScanReport:
    """Give the last scan that was asked for."""
    return ScanReport.model_validate(await parts.engine.desk.scanner.last())


@router.get("/status")
async def status(parts: Parts) -> ScannerStatus:
    """Say what the scanner is doing."""
    scanner = parts.engine.desk.scanner
    return ScannerStatus(
        running=scanner.running,
        scans=scanner.count,
        lastScanAt=iso(scanner.last_at) if scanner.last_at else None,
        symbols=len(parts.engine.feed.prices),
    )
