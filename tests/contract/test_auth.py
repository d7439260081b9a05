"""Every operation that changes something asks for the key, before it looks at anything else."""

import re

import pytest

from contracts.agreed import load, whole
from contracts.diff import label_parts, operations
from gate import Operator, check, expect
from gate.operator import API, KEY_HEADER
from gate.wire import SAFE_METHODS, Answer
from tests.contract.fixtures import Lead
from tests.contract.ledger import DOCUMENT_PATH, Ledger, as_curl

AGREED = dict(operations(load()))
KEYED = {label: one for label, one in AGREED.items() if one.security}
ASKED: dict[str, tuple[dict[str, str], int]] = {
    "without a key": ({}, 401),
    "with a blank one": ({KEY_HEADER: ""}, 401),
    "with another": ({KEY_HEADER: "x" * 32}, 403),
}
VALUES = {"name": "contract-stage-auth", "order_id": "no-such-order"}
BODIES = {"PUT /api/presets/{name}": {}, "POST /api/engine/command": {"command": "reload"}}


@check(
    API,
    cause="the route was added without the key, or the middleware spares it",
    fix="let the proxy refuse that path from outside until a release asks for the key",
    needs=("disposable", "proxy", API),
)
@pytest.mark.usefixtures("before")
@pytest.mark.parametrize("operation", list(KEYED))
def test_needs_the_key(operator: Operator, ledger: Ledger, lead: Lead, operation: str) -> None:
    method, template = label_parts(operation)
    path = template.format_map(VALUES)
    lead(operation)  # so that it would work if it were not for the key
    for how, (headers, wanted) in ASKED.items():
        answer = operator.http(
            path, method=method, key=False, headers=headers, json=BODIES.get(operation)
        )
        ledger.saw(operation, answer.status)
        expect(
            answer.status == wanted,
            f"{operation} {how} to answer {wanted}",
            answer.brief,
            as_curl(method, answer.url, BODIES.get(operation)),
        )


@check(
    API,
    cause="a route was added without the key, and nobody has agreed on it yet",
    fix="let the proxy refuse that path until it asks for the key; then `make contract-accept`",
    needs=("disposable", "proxy", API),
    follows="contract.agreed.document_is_served",
)
@pytest.mark.usefixtures("before")
def test_what_is_not_agreed_needs_the_key(operator: Operator) -> None:
    served = whole(operator.json(DOCUMENT_PATH), DOCUMENT_PATH)
    new = [label for label, _ in operations(served) if label not in AGREED]
    changing = [label for label in new if label_parts(label)[0] not in SAFE_METHODS]
    seen = {label: _without_key(operator, label) for label in changing}
    spared = [f"{label}: {answer.brief}" for label, answer in seen.items() if answer.status != 401]
    expect(not spared, "every new operation without a key to answer 401", "; ".join(spared))


def _without_key(operator: Operator, label: str) -> Answer:
    method, template = label_parts(label)
    path = re.sub(r"\{[^{}]*\}", "contract-stage-auth", template)
    return operator.http(path, method=method, key=False)
