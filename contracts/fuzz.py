"""Schemathesis over the agreed document: its configuration, and a session through the wire."""

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import requests
import schemathesis
from requests.adapters import HTTPAdapter
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.transport import Response
from schemathesis.schemas import BaseSchema
from urllib3 import HTTPHeaderDict, HTTPResponse

from contracts.agreed import load
from contracts.budget import Budget
from contracts.rules import ACCEPTED, LEFT_OUT, RULES

KEY_HEADER = "X-API-Key"
NO_LEARNING = {"extra-data-sources": {"responses": False}}


def configuration(budget: Budget) -> dict[str, Any]:
    """Schemathesis's own configuration, as its file would have it.

    It learns nothing from answers: the same seed has to give the same cases.
    """
    checks: dict[str, dict[str, Any]] = {name: {"enabled": True} for name in RULES}
    checks |= {name: {"enabled": False} for name in LEFT_OUT}
    checks["positive_data_acceptance"] |= {"expected-statuses": list(ACCEPTED)}
    # 503 says that a dependency is away; what answers nothing else was not tested.
    checks["not_a_server_error"] |= {"expected-statuses": ["2xx", "3xx", "4xx", "503"]}
    return {
        "seed": budget.seed,
        "checks": checks,
        "generation": {
            "max-examples": budget.examples,
            "no-shrink": True,
            "with-security-parameters": False,
            "database": "none",
        },
        "phases": {
            "examples": NO_LEARNING,
            "coverage": NO_LEARNING,
            "fuzzing": {**NO_LEARNING, "error-feedback": {"enabled": False}},
            "stateful": {"max-steps": budget.chain_steps},
        },
    }


def agreed_schema(budget: Budget) -> BaseSchema:
    """The agreed document as Schemathesis reads it."""
    config = SchemathesisConfig.from_dict(configuration(budget))
    return schemathesis.openapi.from_dict(load(), config=config)


@dataclass(frozen=True)
class Received:
    """An answer as the wire brings it."""

    status: int
    headers: Iterable[tuple[str, str]]
    body: bytes


Send = Callable[[str, str, Mapping[str, bytes], bytes], Received]
"""Sends (method, URL, headers, body). Raises `requests.ConnectionError` without an answer."""


class Door(HTTPAdapter):
    """Carries what Schemathesis sends, probes of its rules included, through `send`."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._through = send

    def send(
        self, request: requests.PreparedRequest, *_args: Any, **_options: Any
    ) -> requests.Response:
        """One request out, its answer back."""
        body = request.body or b""
        received = self._through(
            request.method or "GET",
            request.url or "",
            {name: _bytes(value) for name, value in request.headers.items()},
            _bytes(body),
        )
        raw = HTTPResponse(
            body=io.BytesIO(received.body),
            headers=HTTPHeaderDict(list(received.headers)),
            status=received.status,
            version=11,
            preload_content=False,
            decode_content=False,
        )
        return self.build_response(request, raw)


def _bytes(value: Any) -> bytes:
    return value.encode("latin-1") if isinstance(value, str) else bytes(value)


class _Straight(requests.Session):
    """Follows nothing: a redirect is an answer of its own, and must not take the key elsewhere."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nowhere."""


def session(send: Send) -> requests.Session:
    """A session whose every request goes through `send`."""
    made = _Straight()
    made.trust_env = False
    for scheme in ("http://", "https://"):
        made.mount(scheme, Door(send))
    return made


def rule_of(failure: Failure) -> str:
    """The rule that a failure broke, by the name it has in `RULES`."""
    return str(failure.checks[0]) if failure.checks else type(failure).__name__


def broken(error: FailureGroup) -> list[Failure]:
    """The single failures of a case."""
    return [one for one in error.exceptions if isinstance(one, Failure)]


ANSWER_RULES = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


def conforms(
    schema: BaseSchema, label: str, status: int, headers: Iterable[tuple[str, str]], body: bytes
) -> list[str]:
    """What an answer breaks of the agreed document, in words; nothing is sent."""
    operation = schema.find_operation_by_label(label)
    assert operation is not None, f"{label} is no agreed operation"
    case = operation.Case(path_parameters={one.name: "any" for one in operation.path_parameters})
    kept: dict[str, list[str]] = {}
    for name, value in headers:
        kept.setdefault(name, []).append(value)
    request = requests.Request(operation.method.upper(), "http://agreed/").prepare()
    response = Response(status, kept, body, request, elapsed=0.0, verify=True)
    load_all_checks()
    rules: list[Any] = CHECKS.get_by_names(ANSWER_RULES)
    try:
        case.validate_response(response, checks=rules)
    except FailureGroup as group:
        return [" ".join(f"{one.title}: {one.message}".split())[:300] for one in broken(group)]
    return []
