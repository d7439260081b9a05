"""Every operation keeps the agreed contract, whatever it is sent: examples, boundaries, chance."""

from typing import Any

from schemathesis import Case

from contracts.budget import budget
from contracts.fuzz import agreed_schema
from gate import check
from gate.operator import API
from tests.contract.explorer import Explorer

SCHEMA = agreed_schema(budget())


@check(
    API,
    cause="the operation answers what nobody agreed on, or takes what it has to refuse",
    fix="repeat the request below and look for it in the API's log; mend the operation or, when"
    " the answer is right, document it and `make contract-accept`",
    needs=("disposable", "proxy", API),
    follows="contract.agreed.document_is_served",
)
@SCHEMA.parametrize()
def test_keeps_its_contract(case: Case[Any], explorer: Explorer) -> None:
    explorer.explore(case)
