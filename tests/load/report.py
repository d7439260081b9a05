"""What a run of load adds to the report: figures, a table of levels, plots."""

from typing import cast

from gate.model import model
from load import measures, plots, slo, versus
from load.samples import Run
from load.versus import Answers
from reports.events import Load, LoadFacts, Table
from reports.stream import Stream

FACTS = (
    *("profile", "offered", "achieved", "dropped", "resent", "lag_p99_ms", "generator_cpu"),
    "aborted",
)
COLUMNS = ["what", "promised", "seen", "outcome"]

PROFILE = "gate"
PAGE = {"GET /": model().name("page")}
"""Operations that the API does not answer, and who does."""


def write(stream: Stream, found: Run) -> None:
    """Put a run into the report."""
    facts = {"valid": found.summary["validity"]["valid"]}
    facts |= {name: found.summary[name] for name in FACTS}
    if knee := measures.knee(measures.steps(found.samples)):
        facts["knee"] = f"{knee.answered:.0f} answers a second"
    if any((seen := found.summary["websocket"]).values()):
        facts["websocket"] = "{messages} messages, {failures} connections lost".format_map(seen)
    if errors := measures.errors(found.samples):
        facts["errors"] = ", ".join(f"{count} {kind}" for kind, count in errors.items())
    stream.emit(Load(cast(LoadFacts, facts)))
    rows = [
        [name, answer.level.words, answer.words, answer.outcome]
        for name, answer in measures.answers(found, slo.load())
    ]
    stream.emit(Table("Load: service levels", COLUMNS, rows))
    for title, data in plots.of(found):
        stream.picture(title, data)


def write_comparison(stream: Stream, found: Answers) -> None:
    """Put what a comparison came to into the report."""
    told = f"{found.verdict}, against {found.baseline}"
    stream.emit(Load({"compared": told, "baseline": found.entry()}))
    rows = list(found.rows())
    stream.emit(Table(found.title, versus.COLUMNS, rows))
