"""A second API container beside the first, as there is one during an update."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gate import Operator
from gate.operator import API
from gate.wire import Answer
from tests.bot.api import RECOVER_SECONDS

NAME = "second"
PORT = 8000
PUBLISHED = [{"target": PORT, "host_ip": "127.0.0.1", "protocol": "tcp", "mode": "ingress"}]


class Second:
    """The other container: the same database, Redis and exchange, an address of its own."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self.container = operator.container(NAME)
        address = operator.docker("port", self.container, str(PORT)).split()[0]
        self.url = f"http://localhost:{address.rpartition(':')[2]}"

    def status(self) -> dict[str, Any]:
        """What its engine says of itself."""
        return dict(self._operator.json(f"{self.url}/api/engine/status", NAME))

    def command(self, name: str) -> Answer:
        """One engine command to this container."""
        path = f"{self.url}/api/engine/{name}"
        return self._operator.http(path, NAME, "POST")


@contextmanager
def running(operator: Operator) -> Iterator[Second]:
    """A second container while the block runs."""
    file = ("-f", str(override(operator)))
    flags = ("--detach", "--no-deps", "--no-build", "--pull", "never")
    operator.compose(*file, "up", *flags, NAME)
    try:
        second = Second(operator)
        operator.until(second.status, RECOVER_SECONDS, "a second API container that answers")
        yield second
    finally:
        operator.compose(*file, "rm", "--stop", "--force", NAME)


def override(operator: Operator) -> Path:
    """A compose file with one more service, just like the API of this stack as it was made."""
    config = json.loads(operator.compose("config", "--format", "json"))
    twin = {**config["services"][API], "ports": PUBLISHED}
    path = operator.stack.folder / "second.json"
    path.touch(mode=0o600)  # it holds the API key
    path.write_text(json.dumps({"services": {NAME: twin}}), encoding="utf-8")
    return path
