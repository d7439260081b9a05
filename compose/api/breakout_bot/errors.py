"""Errors as JSON: {detail, status_code}, whatever went wrong, and never a traceback."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from breakout_bot.database import DatabaseError
from breakout_bot.engine import BadValue, LeaseTaken
from breakout_bot.exchange import ExchangeError
from breakout_bot.lease import LeaseError
from breakout_bot.models import ErrorBody
from breakout_bot.states import WrongState

Documented = dict[int | str, dict[str, Any]]
STATUS_OF: Mapping[type[Exception], int] = {
    BadValue: 400,
    WrongState: 409,
    LeaseTaken: 409,
    DatabaseError: 503,
    LeaseError: 503,
    ExchangeError: 503,
}
MEANING = {
    400: "A value that this deployment cannot work with, or no JSON at all",
    401: "No API key",
    403: "Not the API key",
    404: "Not there",
    405: "Not for this method",
    409: "Not allowed in this state",
    413: "A body that is too large",
    422: "A value that does not validate",
    429: "Too many control operations; Retry-After says when to come again",
    503: "A dependency does not answer",
}


def documented(*codes: int) -> Documented:
    """Describe the error answers of an operation for OpenAPI."""
    return {code: {"model": ErrorBody, "description": MEANING[code]} for code in codes}


READ = documented(503)
MUTATE = documented(401, 403, 503)
BODY = documented(400, 413, 422)


def body(detail: str, status: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Make an error answer."""
    return JSONResponse({"detail": detail, "status_code": status}, status, headers)


def _sentence(error: RequestValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()
    )


def install(app: FastAPI) -> None:
    """Give every kind of error its answer."""

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return body(str(error.detail), error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def validation(_: Request, error: RequestValidationError) -> JSONResponse:
        return body(_sentence(error), 422)

    async def known(_: Request, error: Exception) -> JSONResponse:
        return body(str(error), STATUS_OF[type(error)])

    for kind in STATUS_OF:
        app.add_exception_handler(kind, known)
