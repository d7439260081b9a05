"""Every GET answers its documented example as agreed: this is safe on live targets too."""

import pytest

from contracts.agreed import load
from contracts.budget import budget
from contracts.diff import Operation, operations
from contracts.fuzz import agreed_schema, conforms
from gate import Evidence, Probe, check, expect, get
from gate.operator import API
from gate.wire import Answer
from tests.contract.ledger import as_curl, shown


def example(label: str, operation: Operation) -> str:
    """The path of an operation with its documented examples filled in."""
    path = label.partition(" ")[2]
    query = []
    for (place, name), one in operation.parameters.items():
        value = operation.example(one)
        if value is None:
            assert place == "query", f"{label}: {name} has no example in contracts/openapi.json"
        elif place == "path":
            path = path.replace("{" + name + "}", str(value))
        else:
            query.append(f"{name}={value}")
    return "?".join([path, *(["&".join(query)] if query else [])])


READS = {label: one for label, one in operations(load()) if label.startswith("GET ")}
EXAMPLES: dict[str, Probe[Answer]] = {
    label: get(example(label, one), API) for label, one in READS.items()
}
SCHEMA = agreed_schema(budget())


@check(
    API,
    cause="this build answers its own documented example in another way than agreed",
    fix="repeat the request below; compare the answer with contracts/openapi.json",
    follows="contract.agreed.document_is_served",
)
@pytest.mark.parametrize("operation", list(READS))
def test_answers_its_example(seen: Evidence, operation: str) -> None:
    answer = seen[EXAMPLES[operation]]
    found = conforms(SCHEMA, operation, answer.status, answer.headers.multi_items(), answer.body)
    evidence = "\n\n".join(
        [as_curl("GET", answer.url), shown(answer.status, answer.content_type, answer.body)]
    )
    expect(not found, f"{operation} to answer its example as agreed", "; ".join(found), evidence)
