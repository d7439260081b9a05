"""Structured logs: one JSON object a line, with the request's id, and the newest kept in memory."""

import json
import logging
import sys
from collections import deque
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

KEPT = 500
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def as_entry(record: logging.LogRecord) -> dict[str, Any]:
    """Turn a record into what is written and shown."""
    entry: dict[str, Any] = {
        "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname,
        "logger": record.name,
        "message": record.getMessage(),
        "request_id": request_id.get(),
    }
    fields = getattr(record, "fields", None)
    if fields:
        entry["fields"] = fields
    return entry


class JsonFormatter(logging.Formatter):
    """One JSON object a line; a traceback becomes one of its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the record as JSON."""
        entry = as_entry(record)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class Memory(logging.Handler):
    """Keeps the newest entries for GET /api/logs, without tracebacks."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.entries: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record."""
        self.entries.append(as_entry(record))


def configure(memory: Memory | None = None) -> None:
    """Send every log line of the process to standard output as JSON."""
    stream = logging.StreamHandler(sys.stdout)
    stream.setFormatter(JsonFormatter())
    handlers: list[logging.Handler] = [stream, *([memory] if memory else [])]
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    for noisy in ("httpx", "httpcore", "websockets"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
