"""Speaks to the bot's API: its commands, its state, its presets, its health.

`Api` talks over a wire, for benches and deployments; `Engine` does the same for checks, through
the operator of their run.
"""

from collections.abc import Mapping
from typing import Any

from contracts.states import way
from gate import Operator, expect
from gate.operator import KEY_HEADER
from gate.wire import Answer, Wire

COMMANDS = "/api/engine"
STATUS = f"{COMMANDS}/status"
HEALTH = "/api/health"
PRESETS = "/api/presets"
RECOVER_SECONDS = 20.0


class Api:
    """The API of one bot, with its key: through the proxy unless told. Raises `WireError`."""

    def __init__(self, wire: Wire, service: str = "proxy") -> None:
        self._wire = wire
        self._service = service

    async def send(self, path: str, method: str = "POST", body: Any = None) -> Answer:
        """Send a request that needs the key."""
        headers = {KEY_HEADER: self._wire.credentials.api_key or ""}
        options = {} if body is None else {"json": body}
        return await self._wire.http(path, self._service, method, headers, **options)

    async def command(self, name: str, **body: Any) -> Answer:
        """Send a command to the engine."""
        return await self.send(f"{COMMANDS}/{name}", body=body or None)

    async def put_preset(self, name: str, numbers: Mapping[str, Any]) -> Answer:
        """Save a preset."""
        return await self.send(f"{PRESETS}/{name}", "PUT", dict(numbers))

    async def preset(self, name: str) -> dict[str, Any]:
        """Return a preset as it is to be saved: without its name. Fails the check without one."""
        numbers = await self._json(f"{PRESETS}/{name}")
        return {key: value for key, value in numbers.items() if key != "name"}

    async def status(self) -> dict[str, Any]:
        """Return what the engine says of itself. Fails the check when it says nothing."""
        return await self._json(STATUS)

    async def health(self) -> dict[str, Any]:
        """Return the health report, be it good or bad. Fails the check when there is none."""
        answer = await self._wire.http(HEALTH, self._service)
        found = answer.status in (200, 503) and "api_connectivity" in answer.text
        expect(found, "a health report of the API", answer.brief)
        return dict(answer.json())

    async def _json(self, path: str) -> dict[str, Any]:
        answer = await self._wire.http(path, self._service)
        expect(answer.status == 200, f"{path} to answer 200", answer.brief)
        return dict(answer.json())


class Engine:
    """The engine of a run's stack, for its checks. Raises `WireError`."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    def command(self, name: str, **body: Any) -> Answer:
        """Send a command, with the key and through the proxy."""
        answer: Answer = self._operator.run(lambda wire: Api(wire).command(name, **body))
        return answer

    def put_preset(self, name: str, numbers: Mapping[str, Any]) -> None:
        """Save a preset. Fails the check when it is refused."""
        answer = self._operator.run(lambda wire: Api(wire).put_preset(name, numbers))
        expect(answer.status == 200, f"the preset {name} to be saved", answer.brief)

    def preset(self, name: str) -> dict[str, Any]:
        """Return a preset as it is to be saved: without its name."""
        return dict(self._operator.run(lambda wire: Api(wire).preset(name)))

    def status(self) -> dict[str, Any]:
        """Return what the engine says of itself."""
        return dict(self._operator.run(lambda wire: Api(wire).status()))

    def state(self) -> str:
        """Return the engine's state: IDLE, RUNNING, PAUSED or EMERGENCY."""
        return str(self.status().get("state"))

    def health(self) -> dict[str, Any]:
        """Return the health report, be it good or bad."""
        return dict(self._operator.run(lambda wire: Api(wire).health()))

    def expect_state(self, wanted: str, when: str) -> None:
        """Fail the check unless the engine says it is in this state."""
        state = self.state()
        expect(state == wanted, f"state {wanted} {when}", state)

    def lead_to(self, wanted: str, preset: str = "") -> None:
        """Lead the engine to a state; a start is with `preset`. Fails the check on a refusal."""
        for command in way(self.state(), wanted):
            body = {"preset": preset} if preset and command == "start" else {}
            answer = self.command(command, **body)
            expect(answer.status == 200, f"{command} to lead to {wanted}", answer.brief)

    def to_idle(self, seconds: float) -> None:
        """Lead the engine back to IDLE, however often it has to be told.

        Fails the check when that takes more than `seconds`.
        """

        def step_back() -> bool:
            state = self.state()
            for command in way(state, "IDLE")[:1]:
                self.command(command)
            return state == "IDLE"

        self._operator.until(step_back, seconds, "the engine back in IDLE")

    def wait_until_connected(self) -> None:
        """Wait until the API reaches all it depends on. Fails the check when that is too long."""
        self._operator.until(
            lambda: self.health()["api_connectivity"],
            RECOVER_SECONDS,
            "health to say that everything is connected again",
            lambda found: set(found.values()) == {"connected"},
        )
