"""What is served is what was agreed, operation by operation, for clients of today and before."""

from collections.abc import Mapping
from typing import Any

import pytest

from contracts.agreed import ContractError, labels, load, whole
from contracts.diff import Change, compare, verdict
from gate import Evidence, check, expect, fail, get
from gate.model import model
from gate.run import Gate
from reports.events import Table
from tests.contract.ledger import DOCUMENT_PATH
from tests.contract.options import ContractOptions

API = model().name("api")
DOCUMENT = get(DOCUMENT_PATH, API)
SERVED = "contract.agreed.document_is_served"


def served(seen: Evidence) -> Mapping[str, Any]:
    """The served document. Fails the check when there is none."""
    answer = seen[DOCUMENT]
    expect(answer.status == 200, "status 200", answer.brief, answer.url)
    try:
        return whole(answer.json(), DOCUMENT_PATH)
    except ContractError as error:
        fail("an OpenAPI 3.1 document that holds together", str(error), answer.url)
    except ValueError:
        fail("an OpenAPI 3.1 document", answer.brief, answer.url)


@check(
    API,
    cause="the document is switched off, or the proxy sends its path elsewhere",
    fix="serve it at /api/openapi.json; ask port 8000 for it past the proxy",
)
def test_document_is_served(seen: Evidence, gate: Gate) -> None:
    changes = compare(load(), served(seen))
    gate.stream.emit(
        Table(
            title=f"Contract: what is served is {verdict(changes)} to what was agreed",
            columns=["operation", "change", "breaks clients"],
            rows=[[one.where, one.what, "yes" if one.breaking else "no"] for one in changes],
        )
    )


@check(
    API,
    cause="this build changed its API in a way that breaks clients",
    fix="take the change back; one that is meant is agreed on with `make contract-accept`",
    follows=SERVED,
)
@pytest.mark.parametrize("operation", labels())
def test_serves_what_was_agreed(seen: Evidence, operation: str) -> None:
    own = [one for one in compare(load(), served(seen)) if one.where == operation]
    breaking = [one.what for one in own if one.breaking]
    expect(not breaking, f"{operation} as agreed", "; ".join(breaking[:3]), _lines(own))


@check(
    API,
    cause="this build changed its API in a way that breaks clients of the previous release",
    fix="keep what they use until they are updated, or waive this check with the date they are",
    needs=("proxy", "previous-contract"),
    follows=("contract.agreed.serves_what_was_agreed*", SERVED),
)
def test_serves_clients_of_the_previous_release(seen: Evidence, gate: Gate) -> None:
    previous = gate.options.of(ContractOptions).previous
    assert previous is not None
    changes = compare(previous, served(seen))
    breaking = [f"{one.where}: {one.what}" for one in changes if one.breaking]
    expect(not breaking, "nothing that breaks a client", "; ".join(breaking[:3]), _lines(changes))


def _lines(changes: list[Change]) -> str:
    rows = ((("BREAKS " if one.breaking else "ok     "), one.where, one.what) for one in changes)
    return "\n".join(f"{mark}{where}: {what}" for mark, where, what in rows)
