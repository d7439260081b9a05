"""Operations that use each other's answers hold together: what is made is there."""

from typing import Any

import requests
from hypothesis import Phase, seed
from hypothesis.errors import Flaky
from schemathesis import Case
from schemathesis.core.failures import FailureGroup
from schemathesis.core.transport import Response

from contracts.budget import Budget
from contracts.fuzz import agreed_schema
from gate import check
from gate.operator import API
from tests.contract.explorer import Explorer, repeatable
from tests.contract.ledger import Ledger


def play(explorer: Explorer, budget: Budget) -> None:
    """Chains as Schemathesis finds them: a name from one answer goes into the next request."""
    try:
        chosen = repeatable(budget.chains, budget.chain_steps, phases=(Phase.generate,))
        seed(budget.seed)(_chains(explorer, budget)).run(settings=chosen)
    except (requests.ConnectionError, Flaky):  # Flaky: it was answered when tried again
        if not explorer.ledger.breaches:
            raise


def _chains(explorer: Explorer, budget: Budget) -> Any:
    found: Any = agreed_schema(budget).as_state_machine()

    class Chains(found):  # type: ignore[misc]
        def get_call_kwargs(self, _case: Case[Any]) -> dict[str, Any]:
            return explorer.options

        def validate_response(self, response: Response, case: Case[Any], **options: Any) -> None:
            explorer.saw(case, response)
            try:
                super().validate_response(response, case, **options)
            except FailureGroup as group:
                explorer.broke(case, response, group)
            except requests.ConnectionError as error:
                explorer.unanswered(case, error)

        def call(self, case: Case[Any], **options: Any) -> Response:
            try:
                answered: Response = super().call(case, **options)
            except requests.ConnectionError as error:
                explorer.unanswered(case, error)
                raise
            return answered

    return Chains


@check(
    API,
    cause="an answer names what another operation then does not know, or what is gone is served on",
    fix="repeat the request below after the one that named it",
    needs=("disposable", "proxy", API),
    follows="contract.fuzz.*",
)
def test_hold_together(explorer: Explorer) -> None:
    ledger = Ledger(explorer.ledger.seed)
    chained = Explorer(explorer.operator, ledger, explorer.budget, explorer.lead)
    play(chained, explorer.budget)
    for label, statuses in chained.ledger.statuses.items():
        for status in statuses:
            explorer.ledger.saw(label, status, chained.ledger.parameters[label])
    for label in list(chained.ledger.breaches):
        chained.ledger.judge(label)
