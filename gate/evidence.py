"""Evidence: what is seen of a target from outside, gathered once and at the same time.

A test module says what it needs as probes (`PAGE = get("/")`); all probes of the checks that
will run are sent together, so that a run costs a few round trips, not one a check. Checks then
judge: `seen[PAGE].status`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gate.checks import fail, need
from gate.containers import Container, containers
from gate.errors import MachineError
from gate.model import model
from gate.target import ENTRY, Target
from gate.wire import Answer, Wire, WireError

if TYPE_CHECKING:
    from gate.ready import Problem

Seen = TypeVar("Seen")


@dataclass(frozen=True, eq=False)
class Probe(Generic[Seen]):
    """One question to a target; `needs` as for checks."""

    name: str
    component: str
    ask: Callable[[Wire], Awaitable[Seen]]
    needs: tuple[str, ...] = ("proxy",)


REGISTRY: list[Probe[Any]] = []
"""Every probe that the imported test modules declare."""


def probe(
    component: str, needs: str | tuple[str, ...] = ("proxy",)
) -> Callable[[Callable[[Wire], Awaitable[Seen]]], Probe[Seen]]:
    """Make a probe of an async function that takes the wire."""

    def register(ask: Callable[[Wire], Awaitable[Seen]]) -> Probe[Seen]:
        names = (needs,) if isinstance(needs, str) else needs
        made = Probe(ask.__name__, model().name(component), ask, tuple(map(need, names)))
        REGISTRY.append(made)
        return made

    return register


def get(
    path: str,
    component: str,
    *,
    service: str = "proxy",
    method: str = "GET",
    headers: dict[str, str] | None = None,
    needs: str | tuple[str, ...] | None = None,
) -> Probe[Answer]:
    """A probe that sends one request to `service`; `component` is who has to answer it."""
    entry = model().name(service) == model().entry
    wanted = needs or (service if entry else f"direct:{service}")

    @probe(component, wanted)
    async def ask(wire: Wire) -> Answer:
        return await wire.http(path, service, method, headers)

    return ask


@probe("docker", "project")
async def CONTAINERS(wire: Wire) -> dict[str, Container]:
    """Containers of the target, by service."""
    return await containers(wire)


ENTRY_SAYS = get(model().services[ENTRY].ready or "/", ENTRY)
"""What the entry says of itself: that it is ready, and as JSON which `profiles` were deployed."""


@dataclass
class Evidence:
    """Answers to probes. Looking up one that got no answer fails the check that looks.

    Who had to answer is to blame then, whatever the check would have looked for.
    """

    target: Target
    answers: dict[Probe[Any], Any] = field(default_factory=dict)
    problems: Mapping[str, "Problem"] = field(default_factory=dict)
    """Services that did not come up, when this run started them."""
    expected: Mapping[str, str | None] = field(default_factory=dict)
    """`version` and `revision` that must be running; None where nobody said."""
    drills: Mapping[str, int] = field(default_factory=dict)
    """Exit codes of health checks where no service runs, by service (disposable stacks)."""
    seconds: float = 0.0
    """How long the gathering took."""
    at: float = field(default_factory=time.time)
    """When the gathering ended, seconds since the epoch by this machine's clock."""

    def __getitem__(self, probe: Probe[Seen]) -> Seen:
        found = self.answers.get(probe)
        if isinstance(found, MachineError):
            raise found
        if isinstance(found, WireError):
            fail("an answer", found, component=probe.component)
        if found is None:
            fail("an answer", f"nothing: {probe.name} was not asked")
        return found  # type: ignore[no-any-return]

    @property
    def containers(self) -> dict[str, Container]:
        """Containers by service; empty where Docker is not at hand."""
        found = self.answers.get(CONTAINERS)
        return found if isinstance(found, dict) else {}

    def container(self, service: str) -> Container:
        """The container of a service; fails the check that looks where there is none.

        Raises `MachineError` where Docker is silent: that is no fault of any service.
        """
        silent = self.error(CONTAINERS)
        if silent is not None:
            raise MachineError(f"expected Docker to tell about the containers, but: {silent}")
        service = model().name(service)
        if service not in self.containers:
            fail(f"a container of the service {service}", "none", self.listed)
        return self.containers[service]

    @property
    def listed(self) -> str:
        """The containers and their states in a line."""
        states = ", ".join(f"{name} {one.state}" for name, one in self.containers.items())
        return f"containers of the project {self.target.project}: {states or 'none'}"

    @property
    def not_deployed(self) -> dict[str, str]:
        """Services that the entry says were not deployed, for their profile was not asked for.

        One that answers all the same is there; where the entry says nothing, all have to be.
        """
        said = self.answers.get(ENTRY_SAYS)
        profiles = said.field("profiles") if isinstance(said, Answer) else None
        if not isinstance(profiles, str) or profiles == "unknown":
            return {}
        return {
            one.name: f"{ENTRY} says that {one.profile} is not among the profiles deployed there"
            for one in model().services.values()
            if one.profile
            and one.profile not in profiles.split(",")
            and not self._answered(one.name)
        }

    def _answered(self, service: str) -> bool:
        """Whether a service answered anything itself, and not the proxy in its place."""
        answers = ((probe.component, answer) for probe, answer in self.answers.items())
        return any(
            isinstance(answer, Answer) and answer.status < 500
            for component, answer in answers
            if component == service
        )

    def error(self, probe: Probe[Any]) -> WireError | None:
        """Why a probe got no answer; None when it got one."""
        found = self.answers.get(probe)
        return found if isinstance(found, WireError) else None


async def gather(wire: Wire, probes: Iterable[Probe[Any]]) -> Evidence:
    """Ask every probe that the target can answer, all at once."""
    began = time.monotonic()
    asked = [one for one in probes if wire.target.capabilities.issuperset(one.needs)]
    answers = await asyncio.gather(*(_ask(wire, one) for one in asked))
    found = dict(zip(asked, answers, strict=True))
    return Evidence(wire.target, found, seconds=time.monotonic() - began)


async def _ask(wire: Wire, one: Probe[Any]) -> Any:
    try:
        return await one.ask(wire)
    except WireError as error:
        return error
