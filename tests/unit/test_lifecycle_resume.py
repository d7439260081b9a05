"""Journals that the version before wrote are finished or undone, and it can read ours."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from compose.lifecycle import recovery
from compose.lifecycle.deployment import API, FRONTEND, Deployment
from compose.lifecycle.errors import Rejected
from compose.lifecycle.journal import Journal
from compose.lifecycle.state import (
    CommandState,
    DeployState,
    RestoreState,
    RollbackState,
    UpdateOptions,
    UpdateState,
)
from compose.lifecycle.steps import Step, StepName
from compose.release import Release

JOURNALS = sorted((Path(__file__).parent / "journals").glob("*.json"))
"""Written by the last version whose journals held untyped facts, with no step begun yet."""
RELEASE = Release("1.2.0", "c0ffee" * 6 + "c0ff", "new")
NO_WAY_BACK = {
    "deploy": StepName.RECORD,
    "update": StepName.HAND_OVER,
    "rollback": StepName.HAND_OVER,
    "restore": StepName.START,
}


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment("p", (), tmp_path / ".env", tmp_path)


def cut_off(deployment: Deployment, path: Path, done: int) -> list[Step]:
    """Leave a journal of the version before whose command was killed in the step after `done`."""
    content = json.loads(path.read_text())
    ours = recovery.journal_path(deployment)
    ours.write_text(json.dumps(content))
    journal = Journal.find(ours)
    assert journal
    steps = recovery.steps_of(deployment, journal)
    names = [str(step.name) for step in steps]
    content |= {"begun": names[: done + 1], "done": names[:done]}
    ours.write_text(json.dumps(content))
    return steps


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
def test_every_command_resumes_from_every_step_of_a_former_journal(
    deployment: Deployment, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real = recovery.steps_of

    def recorded(deployment: Deployment, journal: Journal[CommandState]) -> list[Step]:
        return [
            replace(
                step,
                do=partial(calls.append, step.name),
                undo=partial(calls.append, f"undo {step.name}"),
            )
            for step in real(deployment, journal)
        ]

    command = json.loads(path.read_text())["command"]
    for done in range(len(cut_off(deployment, path, 0))):
        steps = cut_off(deployment, path, done)
        names = [step.name for step in steps]
        finished = set(names[:done])
        goes_on = NO_WAY_BACK[command] in finished or StepName.DATA in finished
        with monkeypatch.context() as patched:
            patched.setattr(recovery, "steps_of", recorded)
            assert recovery.recover(deployment)
        undone = [f"undo {name}" for name in reversed(names[: done + 1])]
        assert calls == (names[done:] if goes_on else undone), (path.stem, names[done])
        assert Journal.find(recovery.journal_path(deployment)) is None
        calls.clear()


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
def test_the_version_before_reads_what_we_write(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "journal.json"
    copy.write_text(path.read_text())
    journal = Journal.find(copy)
    assert journal
    journal.save()
    before, after = json.loads(path.read_text()), json.loads(copy.read_text())
    assert before.pop("facts").items() <= after.pop("facts").items()
    assert before == after


def read(name: str) -> CommandState:
    journal = Journal.find(next(path for path in JOURNALS if path.stem == name))
    assert journal
    return journal.state


def test_former_facts_become_the_state_that_they_meant() -> None:
    trace = "20261130-120000-ab12"
    made = "backup-20261130-120001-0003"
    assert read("deploy") == DeployState(
        id=trace,
        release=RELEASE,
        had_data=True,
        ran=True,
        key_file="/keys/backup",
        backup=f"{made}-deploy.tar.gz.enc",
        new_schema=2,
        verdict="run-1",
    )
    options = UpdateOptions(2.0, 10.0, 4.0, 5.0, "/keys/backup")
    old = {API: "old-api", FRONTEND: "old-page"}
    start = UpdateState(
        id=trace, release=RELEASE, old=old, folder="20261129-120000-0001", options=options
    )
    changed = {"backup": f"{made}-update.tar.gz.enc", "new_schema": 3, "stopped": True}
    assert read("update-stopped") == replace(start, **changed)  # type: ignore[arg-type]
    assert read("rollback-restores") == RollbackState(
        **vars(start) | {"backup": f"{made}-rollback.tar.gz.enc", "new_schema": 1},
        schema_differs=True,
        schema=1,
        restore="/backups/backup-20261128-120000-0002-update.tar.gz.enc",
    )
    assert read("restore") == RestoreState(
        id=trace,
        archive="/backups/backup-20261128-120000-0002.tar.gz",
        before=f"/backups/{made}-restore.tar.gz",
    )


def test_a_deploy_that_does_not_say_whether_anything_ran_is_still_read() -> None:
    state = read("deploy-first")
    assert isinstance(state, DeployState)
    assert state.ran is None


@pytest.mark.parametrize(
    "change", [{"command": "upgrade"}, {"facts": {"release": {"tag": "t"}, "had_data": True}}]
)
def test_a_journal_that_cannot_be_read_is_refused_and_stays(
    deployment: Deployment, change: dict[str, object]
) -> None:
    path = recovery.journal_path(deployment)
    deploy = next(path for path in JOURNALS if path.stem == "deploy")
    path.write_text(json.dumps(json.loads(deploy.read_text()) | change))
    with pytest.raises(Rejected, match="the checkout that began it"):
        recovery.recover(deployment)
    assert path.is_file()


def test_what_only_a_later_version_writes_is_passed_over(deployment: Deployment) -> None:
    path = recovery.journal_path(deployment)
    content = json.loads(next(path for path in JOURNALS if path.stem == "update").read_text())
    content["facts"] |= {"colour": "green", "wishes": {"watch": 1.0, "quietly": True}}
    path.write_text(json.dumps(content))
    journal = Journal.find(path)
    assert journal
    assert isinstance(journal.state, UpdateState)
    assert journal.state.options == UpdateOptions(watch=1.0)
