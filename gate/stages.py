"""The stages of a run: one table that says all that the engine needs to know of each.

A stage's checks stand in `tests/NAME/`, or in `tests/OWNER/NAME/` where they are one product's.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests"
WHOLE_SECONDS = 5400.0
"""Budget of a whole run."""


@dataclass(frozen=True)
class Stage:
    """One stage: an ordered group of checks with a question that they answer together."""

    name: str
    question: str
    seconds: float
    """After which no further check of it is begun: several times what it takes on two quiet
    cores, so that only what hangs is cut short."""
    changes: bool = True
    """Whether it is nothing but changes, or load: refused on a live target."""
    needs_smoke: bool = True
    """Whether it gets no work on a stack that did not come up, or that failed smoke."""
    needs_first_look: bool = False
    """Whether bring-up waits for it until Docker and Prometheus have looked at each service."""
    needs_drills: bool = False
    """Whether bring-up runs every health check where no service runs for it."""
    needs_browser: bool = False
    has_sidecar: bool = False
    """Whether checks that do not look at the run's stack run in a gate of their own (sidecar)."""
    runs_alone: bool = False
    """Whether it wants the machine for itself, and so begins when nothing else runs."""
    plugins: tuple[str, ...] = ()
    """pytest plugins that only it needs, registered when it is asked for."""
    extension: str | None = None
    """Module that brings its options (`gate.extensions`)."""


STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            "smoke",
            "is everything there, right and reachable? Looks only, so it is safe on live targets",
            seconds=120,
            changes=False,
            needs_smoke=False,
            needs_first_look=True,
            needs_drills=True,
        ),
        Stage("control", "do the engine's commands do what they say?", seconds=600),
        Stage(
            "observability",
            "do metrics, alerts and dashboards tell the truth?",
            seconds=300,
            needs_first_look=True,
            plugins=("pytest_docker.plugin",),
        ),
        Stage(
            "contract",
            "does the API keep the agreed contract?",
            seconds=600,
            changes=False,
            plugins=("schemathesis.pytest.plugin",),
            extension="tests.contract.options",
        ),
        Stage("ui", "does the page work in a real browser?", seconds=600, needs_browser=True),
        Stage(
            "lifecycle",
            "do deploy, update, rollback and backup keep their promises?",
            seconds=1500,
            has_sidecar=True,
        ),
        Stage(
            "load",
            "does it hold its service levels under load?",
            seconds=600,
            runs_alone=True,
            extension="tests.load.options",
        ),
    )
}
"""Stages in the order they run, by name."""

EXTENSIONS = (
    "tests.faults.options",
    *(stage.extension for stage in STAGES.values() if stage.extension),
)
"""Modules that bring options, in the order they are read."""


def folders(stages: Iterable[str]) -> Iterator[Path]:
    """Give the folders that hold checks of these stages.

    A product's own come first: their fixtures replace some of those for any stack.
    """
    owners = [*sorted(path for path in TESTS.iterdir() if path.name not in STAGES), TESTS]
    for stage in stages:
        yield from (owner / stage for owner in owners if (owner / stage).is_dir())
