"""Journal, steps, lock, archives and the judge: all that needs no Docker."""

import json
import subprocess
import sys
import tarfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from compose.lifecycle import __main__ as command
from compose.lifecycle import (
    archives,
    judge,
    preflight,
    recovery,
    update,
    verify,
)
from compose.lifecycle.deployment import API, Deployment
from compose.lifecycle.errors import Rejected
from compose.lifecycle.journal import Journal, deployment_lock
from compose.lifecycle.preflight import settings
from compose.lifecycle.state import RestoreState, RollbackState, UpdateState
from compose.lifecycle.steps import Step, StepName, carry_out, undo_all
from compose.machine import acme
from compose.machine.tar import extract
from compose.release import Release
from gate.errors import UsageError
from gate.machine.commands import Result
from gate.target import Target
from tests.bot.lifecycle import test_certificates
from tests.bot.lifecycle.pages import BLOCK, PAGES
from tests.bot.lifecycle.test_runbooks import SITUATIONS

RELEASE = Release("1", "abc", "tag")
STATE = UpdateState(release=RELEASE, old={API: "old"}, folder="served")


class Work:
    """Three steps that note what is done to them; `fails` raises."""

    def __init__(self, fails: str = "", how: BaseException | None = None) -> None:
        self.notes: list[str] = []
        self.fails = fails
        self.how = how or Rejected(f"{fails} does not work")

    def steps(self) -> list[Step]:
        names = ("one", "two", "three")
        return [Step(n, n, partial(self.do, n), partial(self.undo, n)) for n in names]

    def do(self, name: str) -> None:
        self.notes.append(name)
        if name == self.fails:
            raise self.how

    def undo(self, name: str) -> None:
        self.notes.append(f"-{name}")


def test_a_failed_step_undoes_those_before_it_and_itself(tmp_path: Path) -> None:
    work, journal = Work("two"), Journal.begin(tmp_path / "j.json", STATE)
    with pytest.raises(Rejected, match="two does not work"):
        carry_out(journal, work.steps())
    assert work.notes == ["one", "two", "-two", "-one"]
    assert journal.begun == []


def test_who_interrupts_is_obeyed_once_all_is_undone(tmp_path: Path) -> None:
    work, journal = Work("two", KeyboardInterrupt()), Journal.begin(tmp_path / "j", STATE)
    with pytest.raises(KeyboardInterrupt, match="put back as it was"):
        carry_out(journal, work.steps())
    assert work.notes == ["one", "two", "-two", "-one"]


def test_another_process_goes_on_where_the_journal_ends(tmp_path: Path) -> None:
    path = tmp_path / "j.json"
    first = Journal.begin(path, STATE)
    for call in (first.start, first.finish):
        call("one")
    work, found = Work(), Journal.find(path)
    assert found is not None
    carry_out(found, work.steps())
    assert work.notes == ["two", "three"]


def test_another_process_undoes_also_the_step_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "j.json"
    Journal.begin(path, STATE).start("one")
    work, found = Work(), Journal.find(path)
    assert found is not None
    undo_all(found, work.steps(), "it was interrupted")
    assert work.notes == ["-one"]


def test_after_the_final_step_nothing_is_undone(tmp_path: Path) -> None:
    work, journal = Work("two"), Journal.begin(tmp_path / "j.json", STATE)
    one, two, three = work.steps()
    with pytest.raises(Rejected):
        carry_out(journal, [Step("one", "", one.do, one.undo, final=True), two, three])
    assert work.notes == ["one", "two"]
    assert journal.done == ["one"]


@pytest.mark.parametrize(
    ("final", "how", "open_after"),
    [
        (True, Rejected("no"), True),
        (True, KeyboardInterrupt(), True),
        (False, Rejected("no"), False),
        (False, KeyboardInterrupt(), False),
    ],
)
def test_what_can_only_be_finished_stays_written_down(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    final: bool,
    how: BaseException,
    open_after: bool,
) -> None:
    one, two, three = Work("two", how).steps()
    command = SimpleNamespace(steps=lambda: [replace(one, final=final), two, three])
    monkeypatch.setitem(recovery.COMMANDS, "update", lambda *_: command)
    deployment = Deployment("p", (), tmp_path / ".env", tmp_path)
    with pytest.raises(type(how)):
        recovery.execute(deployment, STATE)
    assert bool(recovery.unfinished_command(deployment)) is open_after


@pytest.mark.parametrize("how", [UsageError("no key"), OSError(28, "No space left"), KeyError("x")])
def test_trouble_of_every_kind_is_undone(tmp_path: Path, how: Exception) -> None:
    work, journal = Work("two", how), Journal.begin(tmp_path / "j.json", STATE)
    with pytest.raises(
        Rejected, match=r"put back as it was, because: .*(no key|No space|KeyError)"
    ):
        carry_out(journal, work.steps())
    assert work.notes == ["one", "two", "-two", "-one"]


@pytest.mark.parametrize(
    ("reason", "notes"), [(None, ["two", "three"]), ("it failed", ["-two", "-one"])]
)
def test_replaced_data_that_are_in_use_are_not_replaced_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str | None, notes: list[str]
) -> None:
    work = Work()
    one, two, three = work.steps()
    command = SimpleNamespace(steps=lambda: [replace(one, roll_forward=True), two, three])
    monkeypatch.setitem(recovery.COMMANDS, "restore", lambda *_: command)
    deployment = Deployment("p", (), tmp_path / ".env", tmp_path)
    journal = Journal.begin(recovery.journal_path(deployment), RestoreState(archive="x"))
    journal.start("one")
    journal.finish("one")
    journal.start("two")
    if reason:
        journal.fail(reason)
    assert recovery.recover(deployment)
    assert work.notes == notes
    assert recovery.unfinished_command(deployment) is None


@pytest.mark.parametrize(
    ("broken_off", "done", "api"),
    [
        ("", [], "new"),
        ("update", [StepName.START, StepName.SWITCH], "old"),
        ("update", [StepName.START, StepName.SWITCH, StepName.HAND_OVER], "new"),
        ("rollback", [StepName.STOP], "old"),
        ("rollback", [StepName.STOP, StepName.DATA], None),
        ("rollback", [StepName.STOP, StepName.DATA, StepName.START], "new"),
    ],
)
def test_a_stopped_deployment_starts_what_it_goes_on_with(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken_off: str,
    done: list[str],
    api: str | None,
) -> None:
    old, new = (SimpleNamespace(service=API, id=name) for name in ("old", "new"))
    proxy = SimpleNamespace(service="proxy", id="proxy")
    monkeypatch.setattr(Deployment, "newest", lambda _: [proxy, new])
    monkeypatch.setattr(recovery, "inspected", lambda ids: [old] if ids else [])
    deployment = Deployment("p", (), tmp_path / ".env", tmp_path)
    if broken_off:
        state = STATE
        if broken_off == RollbackState.command:
            state = RollbackState(**vars(STATE), schema_differs=True, schema=1)
        journal = Journal.begin(recovery.journal_path(deployment), state)
        for step in done:
            journal.finish(step)
    started = {one.id for one in recovery.to_start(deployment)}
    assert started == {"proxy", api} - {None}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["backup", "--keep", "0"], "--keep: expected a number from 1, got '0'"),
        (["backup", "--keep", "-1"], "--keep: expected a number from 1, got '-1'"),
        (["update", "--watch", "soon"], "--watch: expected a number from 0 to 999999, got 'soon'"),
        (["update", "--canary", "60"], "--canary: expected a number from 0 to 50, got '60'"),
        (
            ["stop", "--state", " "],
            "compose/stop.sh: argument --state: expected a path, got a blank",
        ),
        (["status", "--project", "My Bot"], "--project: expected a compose project"),
        (["restore", "x", "--allow", "room"], "unrecognized arguments: --allow room"),
    ],
)
def test_bad_options_are_refused_with_what_was_expected(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    with pytest.raises(SystemExit, match="4"):
        command.main(words)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("minutes", "left"), [(1e-9, False), (5, True)])
def test_kept_containers_go_when_their_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: float, left: bool
) -> None:
    removed: list[str] = []
    monkeypatch.setattr(update, "remove", removed.extend)
    deployment = Deployment("p", (), tmp_path / ".env", tmp_path)
    update.purge_retained(deployment)
    update.retain_containers(deployment, ["a", "b"], minutes)
    update.purge_retained(deployment)
    assert (tmp_path / update.RETAINED).exists() is left
    assert removed == ([] if left else ["a", "b"])


def test_a_closed_journal_is_history(tmp_path: Path) -> None:
    path = tmp_path / "j.json"
    Journal.begin(path, STATE).close("done")
    assert Journal.find(path) is None
    assert json.loads((tmp_path / "history.jsonl").read_text())["outcome"] == "done"


def test_a_lock_names_its_owner_and_dies_with_it(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from compose.lifecycle.journal import deployment_lock\n"
        "with deployment_lock(Path(sys.argv[1]), 'update'):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == "held\n"
        with (
            pytest.raises(Rejected, match=f"update, process {owner.pid}"),
            deployment_lock(tmp_path, "x"),
        ):
            pass
        owner.kill()
    with deployment_lock(tmp_path, "x"):
        pass


def _archive(folder: Path, key: str | None = None) -> Path:
    stage = folder / "stage"
    stage.mkdir()
    (stage / "data.sqlite3").write_bytes(b"x" * 3_000_000)
    archives.pack(stage, folder / "a.tar.gz", {"rows": {}}, key)
    return folder / "a.tar.gz"


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "key"
    path.write_text("ab" * 32)
    return str(path)


@pytest.mark.parametrize("locked", [False, True])
def test_an_archive_gives_back_what_was_packed(tmp_path: Path, key: str, locked: bool) -> None:
    out = tmp_path / "out"
    out.mkdir()
    archives.unpack(_archive(tmp_path, key if locked else None), out, key)
    assert (out / "data.sqlite3").read_bytes() == b"x" * 3_000_000


@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("harm", ["cut", "flip", "foreign", "empty"])
def test_a_harmed_archive_is_refused(tmp_path: Path, key: str, locked: bool, harm: str) -> None:
    path = _archive(tmp_path, key if locked else None)
    whole = path.read_bytes()
    middle = len(whole) // 2
    harmed = {
        "cut": whole[:middle],
        "flip": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "foreign": b"PK\x03\x04 something else",
        "empty": b"",
    }
    path.write_bytes(harmed[harm])
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(UsageError, match=r"a\.tar\.gz"):
        archives.unpack(path, out, key)


def test_another_key_opens_nothing(tmp_path: Path, key: str) -> None:
    path = _archive(tmp_path, key)
    Path(key).write_text("cd" * 32)
    with pytest.raises(UsageError, match="another key"):
        archives.unpack(path, tmp_path, key)


def _stats(requests: int, errors: int, slow: int = 0) -> judge.UpstreamStats:
    return judge.UpstreamStats(requests, errors, (0.01,) * (requests - slow) + (0.5,) * slow)


@pytest.mark.parametrize(
    ("new", "old", "reason"),
    [
        (_stats(200, 0), _stats(1800, 0), None),
        (_stats(200, 1), _stats(1800, 5), None),
        (_stats(200, 10), _stats(1800, 0), "10 of 200 requests failed"),
        (_stats(200, 0, slow=12), _stats(1800, 0, slow=10), "took more than"),
        (_stats(0, 0), _stats(1800, 0), "too little traffic"),
        (_stats(200, 0), _stats(3, 0), "too little traffic"),
    ],
)
def test_a_canary_is_judged(
    new: judge.UpstreamStats, old: judge.UpstreamStats, reason: str | None
) -> None:
    seen = judge.canary_regression(new, old)
    assert seen is None if reason is None else reason in str(seen)


@pytest.mark.parametrize("value", ["", "changeme-changeme-changeme", "k3y", "a" * 40])
def test_a_secret_that_is_none_is_found(tmp_path: Path, value: str) -> None:
    (tmp_path / "env").write_text(f"API_KEY={value}\nREDIS_PASSWORD=0f3c9a1b77de45aa92b1\n")
    found = list(settings(Deployment(env_file=tmp_path / "env"), RELEASE))
    assert [one.expected for one in found if "API_KEY" in one.expected]
    assert all(not value or value not in one.expected + one.todo for one in found)


@pytest.mark.parametrize(
    ("name", "what", "todo"),
    [
        ("localhost", "", ""),
        ("127.0.0.1", "", ""),
        ("192.0.2.7", "192.0.2.7 to lead to this host, seen 192.0.2.7", "point its A record here"),
        ("bot.invalid", "bot.invalid to resolve, seen no address", "make an A record"),
    ],
)
def test_a_name_that_does_not_lead_here_is_found(
    tmp_path: Path, name: str, what: str, todo: str
) -> None:
    (tmp_path / "env").write_text(f"SERVER_NAME={name}\n")
    found = list(preflight.names(Deployment(env_file=tmp_path / "env"), RELEASE))
    assert bool(found) == bool(what)
    for one in found[:1]:
        assert what in one.expected
        assert todo in one.todo


def test_a_check_of_acme_is_waived_where_there_is_no_server() -> None:
    assert "acme" in Target("disposable", "disposable", managed=True).capabilities
    without = Target("disposable", "disposable", managed=True, unavailable={"acme": acme.NONE})
    assert "stack" in without.capabilities
    assert "acme" not in without.capabilities


def test_no_line_of_a_runbook_fails_in_silence() -> None:
    blocks = [block for page in PAGES.glob("*.md") for block in BLOCK.findall(page.read_text())]
    lines = [line for block in blocks for line in block.splitlines()]
    assert lines
    assert not [line for line in lines if line.lstrip().startswith("! ")]  # bash -e passes it by


def test_every_runbook_is_run_by_a_check() -> None:
    found = {path.stem for path in PAGES.glob("*.md")} - {"README"}
    assert found == {*SITUATIONS, test_certificates.PAGE}


def test_the_smoke_stage_of_a_command_hears_nothing_that_was_meant_for_another_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: dict[str, str] = {}

    def run(*_: object, base: dict[str, str], env: dict[str, str], **__: object) -> Result:
        heard.update({**base, **env})
        return Result(0, "", "")

    (tmp_path / "reports" / "latest").mkdir(parents=True)
    (tmp_path / "reports" / "latest" / "verdict.json").write_text('{"run_id": "r"}')
    monkeypatch.setattr(verify, "run", run)
    for name in ("GATE_CA_FILE", "GATE_TARGET", "PYTEST_ADDOPTS"):
        monkeypatch.setenv(name, "--waive=smoke.*=in a hurry")
    deployment = Deployment("p", (), tmp_path / ".env", tmp_path)
    where = Target("p", "live", {"proxy": "https://localhost:1"})
    assert verify.smoke(deployment, where, Release("1", "abc", "1-abc")) == "r"
    assert {"GATE_API_KEY", "GATE_REDIS_PASSWORD", "PATH"} < heard.keys()
    assert not {"GATE_CA_FILE", "GATE_TARGET", "PYTEST_ADDOPTS"} & heard.keys()


@pytest.mark.parametrize("filtered", [True, False])  # Debian 12's Python, 3.11.2, has no filters
@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "link"])
def test_nothing_is_unpacked_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, filtered: bool
) -> None:
    if not filtered:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    elif not hasattr(tarfile, "data_filter"):
        pytest.skip("this Python has no filters")
    member, sound = tarfile.TarInfo(name), tarfile.TarInfo("parts/sound")
    if name == "link":
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "made.tar", "w") as made:
        made.addfile(sound)
        made.addfile(member)
    folder = tmp_path / "folder"
    with tarfile.open(tmp_path / "made.tar") as tar:
        first, second = tar
        extract(tar, first, folder)
        if name.startswith("/") and filtered:  # the filter takes the slash away
            extract(tar, second, folder)
        else:
            with pytest.raises(tarfile.TarError):
                extract(tar, second, folder)
    assert (folder / "parts" / "sound").is_file()
    assert not (tmp_path / "outside").exists()
