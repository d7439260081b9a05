"""The engine keeps its table of states, whatever happens to it: judged by the exchange's log."""

from contracts.budget import budget
from gate import Operator, check, expect
from gate.operator import API
from gate.run import Gate
from reports.events import Table
from tests.bot.contract.machine import play
from tests.contract.ledger import Ledger


@check(
    API,
    cause="a command skips the table of states, a state does not survive, or an engine trades on",
    fix="repeat the commands below; deploy the release before",
    needs=("disposable", "stack", "direct:exchange", "direct:redis", "proxy", API),
)
def test_model_holds(operator: Operator, ledger: Ledger, gate: Gate) -> None:
    done = play(operator, ledger, budget())
    rows = [[str(done.histories), str(done.steps), str(ledger.seed), done.what or "none"]]
    columns = ["histories", "steps", "seed", "disagreement"]
    gate.stream.emit(Table("Contract: the state model", columns, rows))
    evidence = "\n".join([*done.failed, f"# seed {ledger.seed}"])
    expect(not done.failed, "the state model to hold in every history", done.what, evidence)
