"""Whose a deployment is: another folder, state folder, host or engine is refused."""

import json
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from compose.lifecycle import __main__ as command
from compose.lifecycle import adopt, owner
from compose.lifecycle.deployment import Deployment
from compose.lifecycle.errors import Rejected
from compose.lifecycle.journal import deployment_lock
from compose.release import HERE
from gate.errors import MachineError

ENGINE = {"id": "A", "name": "vm", "root": "/var/lib/docker", "version": "28.0"}
FAKE = """#!{python}
import json, pathlib, sys
place = pathlib.Path({place!r})
state, words = json.loads(place.read_text()), sys.argv[1:]
with place.with_name("calls").open("a") as log:
    log.write(" ".join(words) + "\\n")
if words[0] == "info":
    print(json.dumps(state["engine"]) if state["engine"] else "")
    sys.exit(0 if state["engine"] else "Cannot connect to the Docker daemon")
elif words[:2] == ["volume", "ls"]:
    print("\\n".join(state["volumes"]))
elif words[:2] == ["volume", "inspect"]:
    print(json.dumps(state["volumes"][words[-1]]))
elif words[:2] == ["volume", "create"]:
    labels = dict(w.removeprefix("--label=").split("=", 1) for w in words if "--label=" in w)
    state["volumes"].setdefault(words[-1], labels)
elif words[:2] == ["volume", "rm"]:
    state["volumes"].pop(words[-1], None)
elif words[0] == "ps" and "--quiet" not in words:
    print("\\n".join(state["folders"]))
place.write_text(json.dumps(state))
"""


class Fake:
    """A Docker that keeps volumes and containers' folders in a file, and its calls in another."""

    def __init__(self, folder: Path) -> None:
        self.place = folder / "docker.json"
        self.set(engine=ENGINE, volumes={}, folders=[])
        program = folder / "docker"
        program.write_text(FAKE.format(python=sys.executable, place=str(self.place)))
        program.chmod(0o755)

    def set(self, **values: object) -> None:
        before = json.loads(self.place.read_text()) if self.place.exists() else {}
        self.place.write_text(json.dumps(before | values))

    @property
    def volumes(self) -> dict[str, dict[str, str]]:
        return dict(json.loads(self.place.read_text())["volumes"])

    @property
    def calls(self) -> list[str]:
        log = self.place.with_name("calls")
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    owner._ask.cache_clear()
    return made


@pytest.fixture
def deployment(tmp_path: Path, docker: Fake) -> Deployment:
    assert docker.calls == []
    (tmp_path / "state").mkdir()
    return Deployment("bot", env_file=tmp_path / "none.env", state=tmp_path / "state")


def clone(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Let this process be the clone in another folder."""
    (folder / "compose").mkdir(parents=True, exist_ok=True)
    for module in (owner, adopt, command):
        monkeypatch.setattr(module, "HERE", folder / "compose")
    return folder


def elsewhere(deployment: Deployment, folder: Path) -> Deployment:
    """The same project, as another clone means it."""
    return replace(deployment, state=folder / "compose" / "releases" / "bot")


@pytest.mark.parametrize("name", sorted(set(command.COMMANDS) - {"adopt"}))
def test_every_command_of_another_clone_is_refused_before_anything(
    deployment: Deployment,
    docker: Fake,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    owner.claim(deployment)
    other = clone(monkeypatch, tmp_path / "second")
    before = len(docker.calls)
    words = [name, "--project", "bot", *(["x"] if name == "restore" else [])]
    assert command.main(words) == 1
    said = capsys.readouterr().err
    assert str(HERE.parent.resolve()) in said
    assert "adopt.sh" in said
    assert not (other / "compose" / "releases").exists()
    asked = ("info", "volume ls", "volume inspect")
    assert all(call.startswith(asked) for call in docker.calls[before:])


@pytest.mark.parametrize("name", sorted(command.COMMANDS))
@pytest.mark.parametrize(
    "variables",
    [{"DOCKER_CONTEXT": "elsewhere"}, {"DOCKER_HOST": "ssh://far.example.org"}, {}],
    ids=["no such context", "far away", "silent"],
)
def test_without_its_engine_every_command_ends_with_one_sentence(
    docker: Fake,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    variables: dict[str, str],
) -> None:
    docker.set(engine=None)
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    words = [name, "--state", str(tmp_path / "s"), *(["x"] if name == "restore" else [])]
    assert command.main(words) == 6
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert next(iter(variables), "unix:///var/run/docker.sock") in said
    assert not (tmp_path / "s").exists()
    assert docker.calls == ([] if variables else docker.calls[:1])


def test_the_same_folder_goes_on_by_whatever_path(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.claim(deployment)
    (tmp_path / "link").symlink_to(HERE.parent)
    for module in (owner, adopt):
        monkeypatch.setattr(module, "HERE", tmp_path / "link" / "compose")
    monkeypatch.setenv("SUDO_USER", "alice")
    owner.require(deployment)
    owner.claim(deployment)
    assert "alice" in owner.this_folder(deployment).user
    assert "alice" not in str(owner.find(deployment))  # it stays who deployed it


def test_without_a_record_containers_tell(deployment: Deployment, docker: Fake) -> None:
    docker.set(folders=["/newer/compose", str(HERE)])
    owner.require(deployment)
    docker.set(folders=[str(HERE), "/first/compose"])
    with pytest.raises(Rejected, match=r"/first, which is gone from here"):
        owner.require(deployment)


def test_data_that_nobody_owns_are_not_taken_silently(deployment: Deployment, docker: Fake) -> None:
    docker.set(volumes={"bot_data": {}})
    assert owner.is_there(deployment)
    with pytest.raises(Rejected, match=r"bot_data.*adopt"):
        owner.require(deployment)
    (deployment.state / "order.json").write_text("[]")
    owner.require(deployment)


def test_another_state_folder_has_another_lock_and_is_refused(
    deployment: Deployment, tmp_path: Path
) -> None:
    owner.claim(deployment)
    with pytest.raises(Rejected, match=f"--state {deployment.state}"):
        owner.require(replace(deployment, state=tmp_path / "other"))


def test_another_engine_than_before_is_refused(deployment: Deployment, docker: Fake) -> None:
    owner.claim(deployment)
    docker.set(engine={**ENGINE, "id": "B"})  # as Podman, and after an upgrade
    owner._ask.cache_clear()
    owner.require(deployment)
    docker.set(engine={**ENGINE, "id": "B", "root": "/home/x/docker"}, volumes={})
    owner._ask.cache_clear()
    with pytest.raises(Rejected, match=r"/var/lib/docker, got vm with /home/x/docker"):
        owner.require(deployment)


def test_on_an_engine_behind_tcp_the_host_counts(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.claim(deployment)
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    owner.require(deployment)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2375")
    with pytest.raises(Rejected, match="Give the command there"):
        owner.require(deployment)


def test_who_comes_second_in_the_same_moment_is_refused(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.claim(deployment)
    other = clone(monkeypatch, tmp_path / "second")
    with pytest.raises(Rejected, match="is being deployed from"):
        owner.claim(elsewhere(deployment, other))


def test_a_runs_deployment_is_labelled_to_be_swept(deployment: Deployment, docker: Fake) -> None:
    deployment.env_file.write_text("GATE_RUN_ID=r1\nGATE_STARTED=12\n")
    owner.claim(deployment)
    labels = docker.volumes["bot_owner"]
    assert labels["org.breakout-bot.gate.run"] == "r1"
    assert labels["com.docker.compose.project"] == "bot"
    assert labels["com.docker.compose.volume"] == "owner"
    owner.forget(deployment)
    assert not docker.volumes


def test_adopt_brings_manifests_history_and_backups(
    deployment: Deployment,
    docker: Fake,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    owner.claim(deployment)
    for name in ("order.json", "releases/t.json", "backups/backup-1.tar.gz", "reports/x", "lock"):
        path = deployment.state / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("[]")
    journal = {"command": "deploy", "began": "then", "begun": ["start"], "done": [], "reason": None}
    facts = {"had_data": False, "release": {"version": "1", "revision": "a", "tag": "t"}}
    (deployment.state / "journal.json").write_text(json.dumps({**journal, "facts": facts}))
    second = elsewhere(deployment, clone(monkeypatch, tmp_path / "second"))
    second.state.mkdir(parents=True)
    (second.state / "order.json").write_text('["old"]')
    docker.set(volumes=docker.volumes | {"bot_data": {}})
    adopt.adopt(second)
    owner.require(second)
    clone(monkeypatch, HERE.parent)
    with pytest.raises(Rejected, match="second"):
        owner.require(deployment)
    here = {str(path.relative_to(second.state)) for path in second.state.rglob("*")}
    assert {"order.json", "releases/t.json", "backups/backup-1.tar.gz", "journal.json"} <= here
    assert "reports/x" not in here
    assert json.loads((second.state / "order.json").read_text()) == []
    assert next(second.state.glob("before-*/order.json")).read_text() == '["old"]'
    assert "ended unfinished" in capsys.readouterr().err


def test_adopt_waits_for_nobody_who_is_at_work_there(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.claim(deployment)
    second = elsewhere(deployment, clone(monkeypatch, tmp_path / "second"))
    with (
        deployment_lock(deployment.state, "update"),
        pytest.raises(Rejected, match="another command is at work"),
    ):
        adopt.adopt(second)
    with pytest.raises(Rejected, match="deployed from"):
        owner.require(second)


def test_adopt_of_a_moved_checkout_keeps_its_state(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.claim(deployment)
    (deployment.state / "order.json").write_text('["kept"]')
    moved = elsewhere(deployment, clone(monkeypatch, tmp_path / "moved"))
    moved.state.parent.mkdir(parents=True)
    deployment.state.rename(moved.state)
    adopt.adopt(moved)
    owner.require(moved)
    assert (moved.state / "order.json").read_text() == '["kept"]'


def test_after_an_adoption_a_pruned_record_gives_it_back_to_nobody(
    deployment: Deployment, docker: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.claim(deployment)
    docker.set(volumes=docker.volumes | {"bot_data": {}})
    second = elsewhere(deployment, clone(monkeypatch, tmp_path / "second"))
    adopt.adopt(second)
    docker.set(volumes={"bot_data": {}}, folders=[str(HERE)])  # `docker volume prune`
    owner.require(second)
    clone(monkeypatch, HERE.parent)
    with pytest.raises(Rejected, match="second"):
        owner.require(deployment)


def test_adopt_of_a_record_alone_takes_no_manifests(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.claim(deployment)
    (deployment.state / "order.json").write_text('["removed"]')
    second = elsewhere(deployment, clone(monkeypatch, tmp_path / "second"))
    adopt.adopt(second)
    owner.require(second)
    assert not (second.state / "order.json").exists()


def test_adopt_where_nothing_is_says_so(deployment: Deployment) -> None:
    with pytest.raises(Rejected, match="nothing is deployed here"):
        adopt.adopt(deployment)


def test_a_far_engine_is_no_place_for_mounts(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.7:2375")
    with pytest.raises(MachineError, match=r"on this machine.*tcp://192\.0\.2\.7:2375"):
        owner.require(deployment)
