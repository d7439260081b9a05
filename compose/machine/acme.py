"""A local ACME server and client, for the lifecycle stage: Debian's pebble and certbot."""

import hashlib
from pathlib import Path

from gate.errors import MachineError
from gate.machine.builds import build_failure
from gate.machine.commands import image_exists, run
from gate.machine.console import step

FOLDER = Path(__file__).with_name("acme")
NAME = "breakout-bot-gate/acme"
BUILD_LIMIT = 300
NONE = "Debian's pebble and certbot could not be made into an image on this machine"


def image() -> str:
    """The image's name; its tag names what it is made from."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.iterdir()):
        digest.update(path.read_bytes())
    return f"{NAME}:{digest.hexdigest()[:12]}"


def ready() -> bool:
    """Whether the image is here. Raises `MachineError` where Docker does not say."""
    return image_exists(image())


def ensure() -> None:
    """Make the image where it is missing. Raises `MachineError`."""
    if ready():
        return
    with step(f"making {NAME} from Debian packages"):
        words = ["docker", "build", "--progress", "plain", "--tag", image(), str(FOLDER)]
        done = run(words, BUILD_LIMIT, env={"DOCKER_BUILDKIT": "1"})
    if not done.ok:
        why = build_failure(done.text) or done.text.splitlines()[-1]
        raise MachineError(
            f"Expected a way to Debian's packages, but {NONE}: {why}."
            " Without it the checks of ACME are waived by name, and all else can run."
        )
