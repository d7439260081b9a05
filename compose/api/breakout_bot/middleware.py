"""What happens around every request: its id, the API key, the log line, the metrics."""

import hmac
import logging
import re
import time
import uuid

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from breakout_bot.errors import body
from breakout_bot.logs import request_id
from breakout_bot.metrics import Metrics

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HEADER = "X-API-Key"
BODY_BYTES = 1_000_000
TOO_LARGE = f"a body has at most {BODY_BYTES} bytes"
QUIET = frozenset({"/api/health", "/api/metrics"})
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
log = logging.getLogger("breakout_bot.access")


def _header(scope: Scope, name: str) -> str | None:
    wanted = name.lower().encode()
    for key, value in scope["headers"]:
        if key == wanted:
            return str(value, "latin-1")
    return None


def _template(scope: Scope) -> str:
    # A label must not grow with what people type: parameters come last in every path here.
    if "endpoint" not in scope:
        return "unmatched"
    if scope.get("root_path"):  # the documentation's files
        return str(scope["root_path"])
    path = str(scope["path"])
    for name, value in scope.get("path_params", {}).items():
        path = path.removesuffix(str(value)) + f"{{{name}}}"
    return path


class ApiKey:
    """Asks for the key on everything that is not a plain look, whether a route exists or not."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app = app
        self._key = key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] == "http" and scope["method"] not in SAFE:
            given = _header(scope, HEADER)
            if given is None or not given.strip():
                answer = body(f"this operation needs the header {HEADER}", 401)
                answer.headers["WWW-Authenticate"] = "ApiKey"
                return await answer(scope, receive, send)
            if not hmac.compare_digest(given.encode("latin-1"), self._key):
                return await body("that is not the API key", 403)(scope, receive, send)
        return await self._app(scope, receive, send)


class BodyLimit:
    """Takes no more of a body than any operation needs, announced or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what comes in."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        announced = _header(scope, "Content-Length") or ""
        if announced.isdigit() and int(announced) > BODY_BYTES:
            return await body(TOO_LARGE, 413)(scope, receive, send)
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > BODY_BYTES:
                raise HTTPException(413, TOO_LARGE)
            return message

        return await self._app(scope, counted, send)


class Observe:
    """Gives each request an id, counts and logs it, and turns what escaped into a plain 500."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Watch one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = _header(scope, "X-Request-ID")
        identity = given if given and _ID.fullmatch(given) else uuid.uuid4().hex
        mark = request_id.set(identity)
        began, status = time.monotonic(), 0

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", identity.encode()),
                ]
            await send(message)

        try:
            await self._app(scope, receive, stamped)
        except Exception:
            log.exception("a request failed in a way that was not foreseen")
            if status:
                raise
            answer = body(f"internal error; the log has it under request {identity}", 500)
            await answer(scope, receive, stamped)
        finally:
            self._note(scope, status, time.monotonic() - began)
            request_id.reset(mark)
        return None

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        self._metrics.observe(scope["method"], _template(scope), status, seconds)
        if scope["path"] in QUIET and status < 400:
            return
        what = {"method": scope["method"], "path": scope["path"], "status": status}
        log.info("request", extra={"fields": {**what, "ms": round(seconds * 1000, 2)}})
