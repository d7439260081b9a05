"""Whether an image registry answers: asked once, within seconds, and remembered."""

import json
import os
import selectors
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from gate.machine.commands import start

PROBE_SECONDS = 5.0
DESCRIBED = (b"Pulling from", b"Getting image source signatures")
"""What Docker (20.10 to 28) and Podman (3 to 5) say then."""
REMEMBERED_SECONDS = 12 * 3600


def cache_folder() -> Path:
    """Give the folder for what may be forgotten."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "breakout-bot-gate"


@dataclass(frozen=True)
class Memory:
    """What the last probe found."""

    path: Path

    def recall(self, now: float) -> bool | None:
        """Give the last answer, or None when there is none or it is too old."""
        try:
            kept = json.loads(self.path.read_text())
            age = now - float(kept["asked"])
            answer = bool(kept["answers"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return answer if 0 <= age < REMEMBERED_SECONDS else None

    def keep(self, answers: bool, now: float) -> None:
        """Remember an answer."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps({"answers": answers, "asked": now}) + "\n")

    def forget(self) -> None:
        """Ask again next time."""
        self.path.unlink(missing_ok=True)


def memory() -> Memory:
    """Give this user's memory."""
    return Memory(cache_folder() / "registry.json")


def answers(image: str) -> bool:
    """Tell whether a registry has the image, from memory or by asking."""
    known = memory().recall(time.time())
    if known is None:
        known = probe(image)
        memory().keep(known, time.time())
    return known


def probe(image: str, seconds: float = PROBE_SECONDS) -> bool:
    """Begin to pull an image: it is said when the registry has described it, or an image is there.

    A firewall that lets a pull hang is told from a registry that is slow by these words alone.
    """
    deadline = time.monotonic() + seconds
    with start(
        ["docker", "pull", image],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as pull:
        try:
            return _begins(pull, deadline)
        finally:
            pull.kill()


def _begins(pull: subprocess.Popen[bytes], deadline: float) -> bool:
    assert pull.stdout
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pull.stdout, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            piece = os.read(pull.stdout.fileno(), 4096)
            said += piece
            if any(words in said for words in DESCRIBED):
                return True
            if not piece:
                break
    return False
