"""Commands as they are typed: paths, plans, words, and what must not hide their result."""

import json
import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from compose.lifecycle import __main__ as command
from compose.lifecycle import (
    alert,
    backups,
    building,
    deploy,
    owner,
    preflight,
    recovery,
    releases,
    status,
    update,
)
from compose.lifecycle.deployment import API, Deployment
from compose.lifecycle.errors import Rejected
from compose.lifecycle.journal import Journal
from compose.lifecycle.state import UpdateOptions, UpdateState
from compose.release import HERE, Release
from gate.errors import BAD_INPUT, MachineError
from tests.unit.lying_docker import Killed, LyingDocker, installed, placed, recorded

SCRIPTS = sorted(HERE.glob("*.sh"))
NEW = Release("2", "b" * 40, "new")


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LyingDocker:
    return installed(monkeypatch, tmp_path)


@pytest.fixture
def deployment(docker: LyingDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    made = placed(tmp_path)
    recorded(made, ("old", docker.schemas.get("old", 2), None))
    monkeypatch.setattr(command, "described", lambda _: made)
    monkeypatch.setattr(command, "_admit", lambda *_: None)
    monkeypatch.setattr(owner, "claim", lambda _: None)
    monkeypatch.setattr(releases, "config_hash", lambda _: "")
    return made


# Paths are the caller's


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose commands say in which folder, with what and with whose modules they run."""
    root = tmp_path / "a check out"
    (root / "compose" / "lifecycle").mkdir(parents=True)
    for script in SCRIPTS:
        shutil.copy(script, root / "compose")
    shutil.copy(HERE / "lifecycle" / "run.sh", root / "compose" / "lifecycle")
    (root / "compose" / "machine").mkdir()
    (root / "compose" / "machine" / "venv.sh").write_text("[ $1 = production ]\n")
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\npwd -P\necho "$PYTHONPATH"\nprintf "<%s>" "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return root


@pytest.mark.parametrize("script", [script.name for script in SCRIPTS])
@pytest.mark.parametrize("way", ["absolute", "relative", "link", "CDPATH"])
def test_a_command_runs_in_the_callers_folder_with_the_checkouts_modules(
    checkout: Path, tmp_path: Path, script: str, way: str
) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    path = str(checkout / "compose" / script)
    if way == "relative":
        path = os.path.relpath(path, elsewhere)
    if way == "link":
        (elsewhere / "mine").symlink_to(path)
        path = "./mine"
    environment = {**os.environ, "PYTHONPATH": ".", **({"CDPATH": "/"} if way == "CDPATH" else {})}
    said = subprocess.run(
        ["sh", path, "--state", "my state"],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    ).stdout.splitlines()
    name = script.removesuffix(".sh")
    assert said[:2] == [str(elsewhere), str(checkout)]
    assert said[2] == f"<-P><-m><compose.lifecycle><{name}><--state><my state>"


def test_paths_are_whole_before_they_are_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [
        "restore",
        "./b.tar.gz",
        "--key-file",
        "k",
        "--state",
        "my state",
        "--file",
        "../c.yaml",
    ]
    options = command._parser().parse_args([*words, "--env-file", "it's here/.env"])
    made = command.described(options)
    assert options.key_file == str(tmp_path / "k")
    assert made.state == tmp_path / "my state"
    assert made.files == (tmp_path.parent / "c.yaml",)
    assert made.env_file == tmp_path / "it's here/.env"


def test_a_backup_is_meant_by_its_name_or_by_a_path_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = Deployment("bot", (), tmp_path / ".env", tmp_path / "state")
    monkeypatch.chdir(tmp_path)
    for path in (
        tmp_path / "x.tar.gz",
        tmp_path / "y.tar.gz",
        backups.folder(deployment) / "y.tar.gz",
    ):
        path.touch()
    assert backups.find(deployment, "x.tar.gz") == tmp_path / "x.tar.gz"
    assert backups.find(deployment, "y.tar.gz") == backups.folder(deployment) / "y.tar.gz"
    assert backups.find(deployment, "./y.tar.gz") == tmp_path / "y.tar.gz"


def test_options_for_every_command_are_quoted_as_in_a_shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["x", "status"])
    monkeypatch.setenv("LIFECYCLE_OPTIONS", "--project bot --state 'my state'")
    assert command._words() == ["status", "--project", "bot", "--state", "my state"]
    monkeypatch.setenv("LIFECYCLE_OPTIONS", "--state 'my state")
    with pytest.raises(SystemExit, match=str(BAD_INPUT)):
        command._words()
    assert "expected LIFECYCLE_OPTIONS quoted as in a shell" in capsys.readouterr().err


# Plans and words


@pytest.mark.parametrize("name", [*command.COMMANDS])
def test_every_command_has_a_dry_run_and_says_its_usage_as_typed(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        command._parser().parse_args([name, "--help"])
    said = capsys.readouterr().out
    assert "--dry-run" in said
    typed = f"compose/{name}.sh"
    assert said.startswith(
        f"usage: {typed} " if (HERE.parent / typed).is_file() else "usage: python"
    )


PLANS = {
    "backup": (["backup", "--verify"], ["backup", "prune", "verify"]),
    "stop": (["stop"], [*dict.fromkeys(["proxy", API, "redis"])]),
    "start": (["start"], ["made anew: its container is gone", "started, now running"]),
    "update": (["update", "--watch", "0"], ["images", "switch", "retire"]),
}


@pytest.mark.parametrize(("words", "said"), PLANS.values(), ids=PLANS)
def test_a_dry_run_changes_nothing(
    docker: LyingDocker,
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: list[str],
) -> None:
    monkeypatch.setattr(command, "_preflight", lambda *_: None)
    monkeypatch.setattr(command, "wanted", lambda: NEW)
    if words[0] == "start":
        del docker.containers[docker.of("redis").id]
    before = {one.id: one.state for one in docker.containers.values()}
    assert command.main([*words, "--dry-run"]) == 0
    assert {one.id: one.state for one in docker.containers.values()} == before
    asked = " ".join(docker.calls)
    changing = r"docker (start|stop|rm|run) |compose .*(up|create|down|stop)\b"
    assert not docker.count(changing), asked
    shown = capsys.readouterr().err
    assert all(word in shown for word in said), shown
    assert not backups.listed(deployment)
    assert not (deployment.state / "logs").exists()


def test_a_finding_of_the_preflight_names_what_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("API_KEY=short\nREDIS_PASSWORD=0123456789abcdefg\n")
    deployment = Deployment("bot", (), env_file, tmp_path)
    monkeypatch.setattr(preflight, "CHECKS", (preflight.settings,))
    options = command._parser().parse_args(["deploy"])
    with pytest.raises(Rejected, match="1 finding of the preflight; nothing"):
        command._preflight(deployment, options, NEW)
    assert "set API_KEY anew (--allow settings allows it)" in capsys.readouterr().err


def test_an_unfinished_command_has_the_right_article(deployment: Deployment) -> None:
    state = UpdateState(id="x", release=NEW, old={API: "id2"}, folder="before")
    Journal.begin(recovery.journal_path(deployment), state)
    assert str(recovery.unfinished_command(deployment)).startswith("the update begun 20")


# What comes after a result does not stand in its place


@pytest.fixture
def webhook(deployment: Deployment) -> Callable[[str], None]:
    def set_to(url: str) -> None:
        with deployment.env_file.open("a", encoding="utf-8") as file:
            file.write(f"\nNOTIFY_WEBHOOK_URL={url}\n")

    return set_to


PROXIES = ["socks://127.0.0.1:7891", "socks5://127.0.0.1:1", "127.0.0.1:80", "http://[::1", "junk"]


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.usefixtures("deployment")
def test_odd_proxies_never_take_the_place_of_the_reason(
    docker: LyingDocker,
    webhook: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    proxy: str,
) -> None:
    webhook("http://203.0.113.1/hook")
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setattr(alert, "LONGEST", 1.0)
    monkeypatch.setattr(command, "_preflight", lambda *_: None)
    monkeypatch.setattr(command, "wanted", lambda: NEW)
    docker.holding = ["smoke.x"]
    assert command.main(["update", "--watch", "0"]) == 1
    said = capsys.readouterr().err
    assert "the webhook of NOTIFY_WEBHOOK_URL did not take the message" in said
    assert "by way of ALL_PROXY" in said
    assert "the smoke stage says HOLD" in said.splitlines()[-2]
    assert proxy not in said


def test_a_webhook_that_trickles_is_waited_for_no_longer(
    deployment: Deployment,
    webhook: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    over = threading.Event()

    class Trickle(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            over.wait(5)

    server = HTTPServer(("127.0.0.1", 0), Trickle)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    webhook(f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setattr(alert, "LONGEST", 0.2)
    alert.send(deployment, "it failed")
    over.set()
    server.shutdown()
    server.server_close()
    assert "did not take the message (TimeoutError" in capsys.readouterr().err


def test_settings_that_changed_meanwhile_hide_no_reason(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.env_file.write_bytes(b"A=caf\xe9\n")
    alert.send(deployment, "it failed")
    assert "did not take the message (TargetError" in capsys.readouterr().err


def test_backups_that_cannot_be_pruned_hide_neither_success_nor_reason(
    docker: LyingDocker,
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    for name in ("prune", "prune_of_commands"):
        monkeypatch.setattr(backups, name, refuse)
    monkeypatch.setattr(command, "_preflight", lambda *_: None)
    monkeypatch.setattr(command, "wanted", lambda: NEW)
    docker.holding = ["smoke.x"]
    assert command.main(["update", "--watch", "0"]) == 1
    assert "the smoke stage says HOLD" in capsys.readouterr().err.splitlines()[-2]
    docker.holding = []
    assert command.main(["update", "--watch", "0"]) == 0
    assert "2 (bbbbbbbbbbbb) runs" in capsys.readouterr().err
    assert command.main(["backup"]) == 0
    assert backups.newest(deployment)


def test_what_cannot_be_undone_is_told_after_the_reason(
    docker: LyingDocker, deployment: Deployment
) -> None:
    docker.holding = ["smoke.x"]
    docker.fail("docker rm", at=2, error="device or resource busy")
    with pytest.raises(MachineError, match=r"says HOLD.*; and `undo start`.*resource busy"):
        recovery.execute(deployment, update.read_state(deployment, NEW, UpdateOptions()))


def test_an_interruption_is_told_whatever_the_journal_holds(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt("interrupted by TERM")

    recovery.journal_path(deployment).write_text(json.dumps({"command": "dance"}))
    options = command._parser().parse_args(["stop"])
    assert command._ended(deployment, options, interrupted) > 128
    assert "stop of bot: interrupted by TERM" in capsys.readouterr().err


# What prunes take


def test_a_pruned_deployment_starts_again(docker: LyingDocker, deployment: Deployment) -> None:
    before = docker.data["bot_data"]
    docker.containers.clear()
    assert set(deploy.to_make_anew(deployment)) >= {"proxy", API, "redis"}
    deploy.make_anew(deployment, "anew")
    assert docker.running(API) == ["old"]
    assert docker.served == "anew"
    assert docker.data["bot_data"] == before


def test_what_was_not_pruned_is_not_made_anew(docker: LyingDocker, deployment: Deployment) -> None:
    kept = docker.of(API).id
    del docker.containers[docker.of("redis").id]
    assert deploy.to_make_anew(deployment) == ["redis"]
    deploy.make_anew(deployment, "anew")
    assert docker.of(API).id == kept
    assert deploy.to_make_anew(deployment) == []


def test_containers_without_their_network_are_made_anew(
    docker: LyingDocker, deployment: Deployment
) -> None:
    docker.of("redis").state = "exited"
    assert deploy.to_make_anew(deployment) == []
    docker.networks = set()
    assert deploy.to_make_anew(deployment) == ["redis"]
    old = docker.of("redis").id
    deploy.make_anew(deployment, "anew")
    assert [one.id != old for one in docker.all("redis")] == [True]


def test_lost_data_are_not_replaced_by_empty_ones_silently(
    docker: LyingDocker, deployment: Deployment
) -> None:
    docker.containers.clear()
    del docker.data["bot_data"]
    with pytest.raises(Rejected, match=r"expected the volume bot_data, got none: .*restore.sh"):
        deploy.to_make_anew(deployment)
    assert any("bot_data" in line for line in deploy.lost_volumes(deployment))


def test_what_only_a_deploy_can_make_anew_is_said(
    docker: LyingDocker, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.containers.clear()
    monkeypatch.setattr(building, "missing", lambda _: ["breakout-bot/api:old"])
    with pytest.raises(Rejected, match=r"got no breakout-bot/api:old: `compose/deploy.sh`"):
        deploy.to_make_anew(deployment)
    monkeypatch.setattr(releases, "config_hash", lambda _: "another")
    with pytest.raises(Rejected, match="compose files that were changed since the last deploy"):
        deploy.to_make_anew(deployment)


def test_status_says_that_there_is_no_way_back(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status.no_way_back(deployment) is None
    recorded(deployment, ("old", 2, None), ("new", 2, None))
    monkeypatch.setattr(building, "missing", lambda _: ["breakout-bot/api:old"])
    assert "for there is no breakout-bot/api:old" in str(status.no_way_back(deployment))


@pytest.mark.parametrize("schema", [2, 3], ids=["same schema", "newer schema"])
def test_a_killed_update_is_undone_though_its_former_containers_were_pruned(
    docker: LyingDocker, deployment: Deployment, schema: int
) -> None:
    docker.schemas["new"] = schema
    former = docker.of(API).id
    docker.kill_at(f"docker stop .*{former}", at=1)
    with pytest.raises(Killed):
        recovery.execute(deployment, update.read_state(deployment, NEW, UpdateOptions(watch=0)))
    docker.heal()
    del docker.containers[former]
    assert recovery.recover(deployment)
    assert docker.running(API) == ["old"]
    assert docker.serving_api is docker.of(API)
    assert len(docker.all(API)) == 1
    assert recovery.unfinished_command(deployment) is None


@pytest.mark.parametrize("words", [["status", "status"], ["update", "--nope"]])
def test_what_no_command_knows_is_said_by_the_script_that_was_typed(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=str(BAD_INPUT)):
        command.main(words)
    assert capsys.readouterr().err == (
        f"compose/{words[0]}.sh: unrecognized arguments: {words[1]}\n"
    )
