"""What this machine has of what the stack needs, as a table."""

import time

from compose.machine import acme, browser, engine, images, registry
from compose.machine.images import Present
from gate.errors import MachineError

ANSWERS = {True: "answers", False: "does not answer", None: "not asked yet"}


def text() -> str:
    """Write the table."""
    rows = [*_programs(), ("registry", ANSWERS[registry.memory().recall(time.time())]), *_images()]
    width = max(len(name) for name, _ in rows)
    return "".join(f"{name:<{width}}  {seen}\n" for name, seen in rows)


def _programs() -> list[tuple[str, str]]:
    server = engine.server_version()
    daemon = " ".join(map(str, engine.running("dockerd"))) or "none on this machine"
    return [
        ("Docker engine", server or "does not answer"),
        ("Docker daemon", f"process {daemon}"),
        ("Compose plugin", engine.compose_version() or "none"),
        ("Browser", browser.find() or "none"),
        ("ACME server", _acme()),
    ]


def _acme() -> str:
    try:
        return acme.image() if acme.ready() else "none"
    except MachineError:
        return "not known: Docker does not answer"


def _images() -> list[tuple[str, str]]:
    _, wanted = images.table()
    here = images.present(image.name for image in wanted)
    return [(image.name, _source(here.get(image.name))) for image in wanted]


def _source(image: Present | None) -> str:
    if image is None:
        return "absent"
    return f"made here ({image.source})" if image.source else "pulled"
