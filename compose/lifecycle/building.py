"""Images of a release: built from this tree, or there already."""

from compose.lifecycle import database
from compose.lifecycle.deployment import API, BUILD_LIMIT, Deployment, docker
from compose.lifecycle.errors import Rejected
from compose.lifecycle.releases import image
from compose.machine import registry
from compose.release import OWN_SERVICES, Release, images, release
from gate.errors import MachineError
from gate.machine.commands import image_exists


def missing(wanted: Release) -> list[str]:
    """List the images of a release that are not on this machine."""
    return [name for name in images(wanted) if not image_exists(name)]


def provide(deployment: Deployment, wanted: Release) -> None:
    """Get the images: build this tree's own, pull any other. Raises `Rejected`."""
    lacking = missing(wanted)
    if not lacking:
        return
    verb = "build" if wanted.tag == release().tag else "pull"
    if verb == "pull" and not registry.probe(lacking[0]):
        raise Rejected(f"{lacking[0]} is not on this machine, and no registry has it")
    try:
        deployment.compose(verb, *OWN_SERVICES, release=wanted, limit=BUILD_LIMIT)
    except MachineError as error:
        if lacking[1:]:  # which of them, the error says
            lacking = [f"an image of {wanted.version} ({wanted.tag})"]
        raise Rejected(f"{lacking[0]} cannot be had: {error}") from None


def schema(wanted: Release) -> int:
    """Ask for the schema version that a release's code works with."""
    flags = ["--rm", "--network", "none", "--memory", "256m"]
    program = database.program(image(API, wanted), "known-schema")
    return int(docker("run", *flags, *program))
