"""Start the bot: python -m breakout_bot."""

import signal
import sys
from types import FrameType


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


# Before the imports, which take most of a second: a container's first process ignores a signal
# that it has no handler for, and is killed in the end. uvicorn raises the signal again after its
# own clean end: leave with 0 then, too.
signal.signal(signal.SIGTERM, _leave)
signal.signal(signal.SIGINT, _leave)

import logging

import uvicorn

from breakout_bot import logs
from breakout_bot import settings as environment
from breakout_bot.app import create_app
from breakout_bot.database import DatabaseError
from breakout_bot.engine import BadValue
from breakout_bot.services import Services

CANNOT_START = 2
GRACE_SECONDS = 3
log = logging.getLogger("breakout_bot")


def _assemble(memory: logs.Memory) -> Services | None:
    try:
        services = Services(environment.load(), memory)
        services.engine.load()
    except (environment.SettingsError, DatabaseError, BadValue) as error:
        log.error("%s", error)
        return None
    return services


def main() -> int:
    """Put the bot together and serve until told to stop."""
    memory = logs.Memory()
    logs.configure(memory)
    services = _assemble(memory)
    if services is None:
        return CANNOT_START
    uvicorn.run(
        create_app(services),
        host="0.0.0.0",  # noqa: S104 - a container's service
        port=environment.PORT,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=services.settings.forwarded_allow_ips,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
