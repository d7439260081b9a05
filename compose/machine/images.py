"""The base images: pulled where a registry answers, made from Debian packages where none does."""

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from compose.machine import building, certificates, registry
from compose.machine.building import RECIPE_LABEL, SOURCE_LABEL, Image
from gate.machine.commands import run
from gate.machine.console import say, step

TABLE = Path(__file__).with_name("images.toml")
INSPECT_LIMIT = 15
PULL_LIMIT = 900
AT_ONCE = 2


@dataclass(frozen=True)
class Present:
    """An image that the engine has."""

    id: str
    source: str
    recipe: str


def table(path: Path = TABLE) -> tuple[Image, list[Image]]:
    """Read the base and the images."""
    rows = tomllib.loads(path.read_text())
    return _image(rows["base"]), [_image(row) for row in rows["image"]]


def _image(row: Mapping[str, object]) -> Image:
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in row.items()}
    return Image(**values)  # type: ignore[arg-type]


def recipe(image: Image, ground: str) -> str:
    """Name a recipe by what it consists of: the row, and what it stands on."""
    return hashlib.sha256(json.dumps([asdict(image), ground]).encode()).hexdigest()[:16]


def recipes() -> dict[str, str]:
    """Name the recipe of every image that can be made here, the base included."""
    base, images = table()
    ground = recipe(base, certificates.fingerprint())
    made = {image.name: recipe(image, ground) for image in images if image.packages}
    return {base.name: ground, **made}


def present(names: Iterable[str]) -> dict[str, Present]:
    """Ask the engine which of these images it has."""
    form = "{{json .RepoTags}}\t{{.Id}}\t{{json .Config.Labels}}"
    answer = run(["docker", "image", "inspect", "--format", form, *names], INSPECT_LIMIT)
    found = {}
    for line in filter(None, answer.out.splitlines()):
        tags, identity, labels = line.split("\t")
        kept = json.loads(labels) or {}
        image = Present(identity, kept.get(SOURCE_LABEL, ""), kept.get(RECIPE_LABEL, ""))
        found.update(dict.fromkeys(json.loads(tags) or [], image))
    return found


def needed() -> list[Image]:
    """List the images that are missing, or were made here by an older recipe."""
    _, images = table()
    here = present(image.name for image in images)
    wanted = recipes()
    return [i for i in images if i.name not in here or _outdated(here[i.name], wanted.get(i.name))]


def _outdated(image: Present, wanted: str | None) -> bool:
    return bool(image.recipe) and image.recipe != wanted


def ready() -> bool:
    """Whether nothing is left to do: what is missing can be neither made nor pulled."""
    missing = needed()
    makeable = any(image.packages for image in missing)
    return not missing or not (makeable or _registry_answers(missing))


def ensure() -> None:
    """Pull or make what is needed."""
    missing = needed()
    if missing and _registry_answers(missing):
        missing = _pull(missing)
    makeable = [image for image in missing if image.packages]
    if not makeable:
        return
    _make(makeable)
    for image in missing:
        if not image.packages:
            say(f"{image.name}: no registry has it and no Debian package; {image.note}")


def _registry_answers(missing: list[Image]) -> bool:
    return registry.answers(missing[0].name)


def _pull(images: list[Image]) -> list[Image]:
    """Pull images; give back those that could not be had."""

    def pull(image: Image) -> bool:
        with step(f"pulling {image.name}"):
            return run(["docker", "pull", "--quiet", image.name], PULL_LIMIT).ok

    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = list(pool.map(pull, images))
    failed = [image for image, ok in zip(images, done, strict=True) if not ok]
    if failed:
        registry.memory().forget()
    return failed


def _make(images: list[Image]) -> None:
    base, _ = table()
    wanted = recipes()
    names = [base.name, *(image.name for image in images)]
    before = present(names)
    if base.name not in before or _outdated(before[base.name], wanted[base.name]):
        building.make_base(base, wanted[base.name])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(building.make, i, base.name, wanted[i.name]) for i in images]
        for job in jobs:
            job.result()
    if old := {one.id for one in before.values()} - {one.id for one in present(names).values()}:
        run(["docker", "image", "rm", *sorted(old)], INSPECT_LIMIT)
