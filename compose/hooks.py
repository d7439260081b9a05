"""What the gate asks of this stack's owner (`gate.hooks.Hooks`)."""

from compose.earlier import find as find_version
from compose.earlier import sources
from compose.machine import acme
from compose.machine.browser import require as require_browser
from compose.release import images, release
from compose.release import release_environment as environment
from gate.machine.commands import image_exists
from gate.model import model

__all__ = [
    "environment",
    "find_version",
    "images",
    "release",
    "require_browser",
    "sources",
    "unavailable",
]


def unavailable() -> dict[str, str]:
    """Services whose image cannot be had here, and `acme` without its server; with reasons."""
    rows = [one for one in model().services.values() if one.image]
    missing = {
        one.name: f"{one.image} cannot be had on this machine: no image registry answers"
        for one in rows
        if one.image and not image_exists(one.image)
    }
    return missing | ({} if acme.ready() else {"acme": acme.NONE})
