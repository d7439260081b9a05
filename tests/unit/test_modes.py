"""Modes of files: what containers get is readable by their users, whatever the cloner's umask."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from compose.lifecycle import deployment as deployments
from compose.lifecycle.deployment import Deployment
from gate import stack as stacks
from gate.errors import MachineError
from gate.machine import modes
from gate.machine.commands import Result
from gate.model import model

ROOT = Path(__file__).parents[2]
BUILT = ("compose/api", "compose/exchange", "compose/frontend", "compose/proxy", "load")


def modes_of(place: Path) -> set[str]:
    return {f"{path.stat().st_mode & 0o777:o}" for path in (place, *place.rglob("*"))}


@pytest.fixture(params=[0o077, 0o027, 0o777], ids="{:03o}".format)
def cloned(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Folders that containers mount, as a clone under this umask has them."""
    for name in model().mounted:
        (tmp_path / name / "rules").mkdir(parents=True)
        (tmp_path / name / "rules" / "own.yml").write_text("groups: []")
    hidden = request.param
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        path.chmod((0o755 if path.is_dir() else 0o644) & ~hidden)
    yield tmp_path
    modes.make_readable(tmp_path)


def test_what_containers_mount_is_named_by_the_stack_file() -> None:
    assert {"redis", "prometheus", "alertmanager"} <= set(model().mounted)
    assert not set(model().mounted) & set(model().built.values())


def test_a_deployment_opens_what_its_containers_mount(
    cloned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def run(args: list[str], *_: object, **__: object) -> Result:
        seen.append(args[-2:])
        return Result(0, "", "")

    monkeypatch.setattr(deployments, "run", run)
    mine = Deployment(files=(cloned / "compose.yaml",), env_file=cloned / ".env")
    mine.compose("config", "--quiet")
    closed = modes_of(cloned / "redis")
    mine.compose("up", "--detach")
    assert closed != modes_of(cloned / "redis")
    for name in model().mounted:
        assert all(int(mode, 8) & 0o444 == 0o444 for mode in modes_of(cloned / name))
    assert seen == [["config", "--quiet"], ["up", "--detach"]]


def test_a_disposable_stack_opens_it_before_anything_starts(
    cloned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Model:
        folder = cloned
        mounted = model().mounted

    class Compose:
        def start(self) -> None:
            assert all(int(mode, 8) & 0o444 == 0o444 for mode in modes_of(cloned / "redis"))

    monkeypatch.setattr(stacks, "model", Model)
    stack = object.__new__(stacks.Stack)
    stack.compose = Compose()  # type: ignore[assignment]
    assert stack.up() is None


def test_links_and_what_is_readable_are_left_alone(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    folder = tmp_path / "mounted"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    (folder / "link").symlink_to(secret)
    (folder / "dangling").symlink_to("nowhere")
    script = folder / "run.sh"
    script.touch()
    script.chmod(0o700)
    modes.make_readable(folder, tmp_path / "no-such-folder")
    assert f"{secret.stat().st_mode & 0o777:o}" == "600"
    assert f"{script.stat().st_mode & 0o777:o}" == "755"


def test_a_file_of_somebody_else_is_named_with_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "redis.conf").touch(mode=0o600)

    def refused(*_: object) -> None:
        raise PermissionError(1, os.strerror(1))

    monkeypatch.setattr(Path, "chmod", refused)
    with pytest.raises(MachineError, match=r"redis\.conf.*mode 600.*`chmod -R a\+rX "):
        modes.make_readable(tmp_path / "redis.conf")


@pytest.mark.parametrize("folder", BUILT)
def test_images_take_no_mode_from_the_checkout(folder: str) -> None:
    stages = re.split(r"^FROM ", (ROOT / folder / "Dockerfile").read_text(), flags=re.MULTILINE)
    kept = [one for one in stages if not re.match(r".* AS (test|deps|source|build)\n", one)]
    copies = [line for one in kept for line in one.splitlines() if line.startswith("COPY ")]
    assert copies
    assert [line for line in copies if "--chmod=" not in line] == []
