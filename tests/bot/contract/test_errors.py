"""What the API says of a request that it refuses reaches its users as it said it."""

from typing import Any

import pytest

from gate import Operator, check, expect
from gate.operator import API
from gate.wire import Answer

REFUSED: dict[int, dict[str, Any]] = {
    401: {"path": "/api/engine/stop", "method": "POST", "key": False},
    404: {"path": "/api/presets/no-such-preset"},
    405: {"path": "/api/health", "method": "DELETE"},
    409: {"path": "/api/engine/resume", "method": "POST"},
    422: {"path": "/api/presets/contract-stage-wrong", "method": "PUT", "json": {"lookback": "x"}},
}
"""status → a request that the API refuses with it while the engine is at rest."""


@check(
    "proxy",
    cause="`proxy_intercept_errors` or `error_page` puts the proxy's own answer in place of it",
    fix="in nginx.conf only 413, 502 and 504 of /api/ are the proxy's own",
    needs=("disposable", "proxy", f"direct:{API}"),
)
@pytest.mark.usefixtures("explorer")
@pytest.mark.parametrize("status", list(REFUSED))
def test_come_through_unchanged(operator: Operator, status: int) -> None:
    direct = operator.http(service=API, **REFUSED[status])
    expect(direct.status == status, f"{status} of the API", direct.brief, component=API)
    through = operator.http(**REFUSED[status])
    expect(_told(through) == _told(direct), direct.brief, through.brief, through.url)


def _told(answer: Answer) -> tuple[int, str, bytes]:
    return answer.status, answer.content_type, answer.body
