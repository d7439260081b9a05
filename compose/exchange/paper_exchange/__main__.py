"""Start the exchange: python -m paper_exchange."""

import signal
import sys
from types import FrameType


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


# Before the imports, as in the bot: a container's first process ignores a signal that it has no
# handler for. uvicorn raises the signal again after its own clean end: leave with 0 then, too.
signal.signal(signal.SIGTERM, _leave)
signal.signal(signal.SIGINT, _leave)

import logging

import uvicorn

from paper_exchange import settings as environment
from paper_exchange.app import create_app


def main() -> int:
    """Read the settings and serve until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        app = create_app(environment.load())
    except environment.SettingsError as error:
        logging.error("%s", error)
        return 2
    uvicorn.run(
        app,
        host="0.0.0.0",  # noqa: S104 - a container's service
        port=environment.PORT,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=3,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
