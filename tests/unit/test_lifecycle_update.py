"""Update, rollback and deploy: what runs afterwards, whatever Docker does meanwhile."""

from collections.abc import Callable
from pathlib import Path

import pytest

from compose.lifecycle import backups, building, recovery, releases, rollback, update
from compose.lifecycle.deployment import API, COLOURED, FRONTEND, Deployment
from compose.lifecycle.errors import Rejected
from compose.lifecycle.journal import Journal
from compose.lifecycle.state import (
    CommandState,
    DeployState,
    SchemaChange,
    UpdateOptions,
)
from compose.machine import registry
from compose.release import OWN_SERVICES, Release
from gate.errors import MachineError, UsageError
from tests.unit.lying_docker import (
    SERVICES,
    Killed,
    LyingDocker,
    database,
    install,
    installed,
    placed,
    recorded,
    schema_of,
)

OLD, NEW = Release("1", "a" * 40, "old"), Release("2", "b" * 40, "new")
DATA = "bot_data"
QUICK = UpdateOptions(watch=2.0)
STRIDE = 5
"""Commands are killed at every fifth call of Docker: all of them would take a minute."""
CANARY = UpdateOptions(watch=2.0, canary=10.0, canary_seconds=4.0)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LyingDocker:
    return installed(monkeypatch, tmp_path)


@pytest.fixture
def deployment(docker: LyingDocker, tmp_path: Path) -> Deployment:
    made = placed(tmp_path)
    recorded(made, ("old", docker.schemas.get("old", 2), None))
    return made


def runs_alone(docker: LyingDocker, tag: str) -> None:
    """One container of each coloured service, of this release, which serves and may trade."""
    for service in COLOURED:
        assert [(one.tag, one.state) for one in docker.all(service)] == [(tag, "running")], service
    assert docker.serving_api is docker.of(API)
    assert docker.of(API).lease


def updated(deployment: Deployment, options: UpdateOptions = QUICK) -> None:
    recovery.execute(deployment, update.read_state(deployment, NEW, options))


# Update


def test_an_update_ends_with_the_new_release_alone(
    docker: LyingDocker, deployment: Deployment
) -> None:
    updated(deployment)
    runs_alone(docker, "new")
    present = releases.current(deployment)
    assert present
    assert (present.tag, present.schema, present.verdict) == ("new", 2, "run-1")
    assert present.backup
    assert (backups.folder(deployment) / present.backup).is_file()
    assert not (docker.live / "before").exists()
    assert recovery.unfinished_command(deployment) is None
    assert docker.smoked == ["before"], "the new colour is looked at before it gets any traffic"


def refused(deployment: Deployment, match: str, options: UpdateOptions = QUICK) -> None:
    with pytest.raises(Rejected, match=match):
        updated(deployment, options)
    assert recovery.unfinished_command(deployment) is None


def keeps_the_old(docker: LyingDocker, deployment: Deployment) -> None:
    runs_alone(docker, "old")
    assert docker.served == "before"
    assert {path.name for path in docker.live.iterdir()} == {"image", "before", "current"}
    assert {one.service for one in docker.containers.values()} == set(SERVICES)
    present = releases.current(deployment)
    assert present
    assert present.tag == "old"


def test_update_keeps_the_old_version_when_the_new_one_is_unhealthy(
    docker: LyingDocker, deployment: Deployment
) -> None:
    docker.unhealthy.add(f"{API}:new")
    refused(deployment, "the new API is not healthy after 60 s")
    keeps_the_old(docker, deployment)


def test_update_keeps_the_old_version_when_the_new_one_crashes(
    docker: LyingDocker, deployment: Deployment
) -> None:
    docker.crashing.add("new")
    refused(deployment, "the new breakout-bot-api crashed, exit code 3: its last words")
    keeps_the_old(docker, deployment)


def test_update_keeps_the_old_version_when_the_smoke_stage_holds(
    docker: LyingDocker, deployment: Deployment
) -> None:
    docker.holding.append("smoke.version.is_the_release")
    refused(deployment, r"HOLD: smoke\.version\.is_the_release: expected x, seen y")
    keeps_the_old(docker, deployment)


def test_update_keeps_the_old_version_when_nginx_refuses_the_new_configuration(
    docker: LyingDocker, deployment: Deployment
) -> None:
    (docker.etc / "nginx.conf").write_text("not_a_directive on;")
    refused(deployment, "unknown directive")
    keeps_the_old(docker, deployment)


def test_update_goes_back_to_the_old_version_when_the_new_one_crashes_after_the_switch(
    docker: LyingDocker, deployment: Deployment
) -> None:
    def crash() -> None:
        one = docker.of(API)
        one.state, one.exit_code = "exited", 3

    switched: list[str] = []

    def look() -> None:
        if docker.served not in ("before", *switched):
            switched.append(docker.served)
            crash()

    docker.observe("ps --all", look)
    refused(deployment, "the new breakout-bot-api crashed")
    assert switched
    keeps_the_old(docker, deployment)


def test_update_goes_back_when_the_new_engine_does_not_take_the_lease(
    docker: LyingDocker, deployment: Deployment
) -> None:
    docker.answer("/api/engine/status", '200\n{"state": "RUNNING", "leaseHeld": false}')
    refused(deployment, "the new engine did not take the lease within 20 s")
    keeps_the_old(docker, deployment)


def test_update_keeps_the_old_version_when_the_canary_gets_no_traffic(
    docker: LyingDocker, deployment: Deployment
) -> None:
    refused(deployment, "canary: too little traffic", CANARY)
    keeps_the_old(docker, deployment)


def test_a_canary_serves_both_colours_and_goes_on_when_both_answer_alike(
    docker: LyingDocker, deployment: Deployment
) -> None:
    served: list[str] = []

    def answer() -> None:
        served.append((docker.live / docker.served / "upstreams.conf").read_text())
        docker.log[:] = [
            {"time": "t", "upstream": f"{one.ip}:8000", "upgrade": "", "status": 200,
             "request_time": 0.01}
            for one in docker.all(API)
            for _ in range(100)
        ]  # fmt: skip

    docker.observe("docker logs --since", answer)
    updated(deployment, CANARY)
    assert "split_clients" in served[0]
    runs_alone(docker, "new")


def test_data_of_a_newer_schema_are_taken_down_again_before_the_old_version_goes_on(
    docker: LyingDocker, deployment: Deployment
) -> None:
    docker.schemas["new"] = 3
    docker.holding.append("smoke.version.is_the_release")
    states: list[str] = []
    docker.observe(
        r"breakout_bot\.migrate --to 2", lambda: states.extend(one.state for one in docker.all(API))
    )
    refused(deployment, "HOLD")
    assert states == ["exited", "exited"]
    assert schema_of(docker.data[DATA]) == 2
    keeps_the_old(docker, deployment)


def test_a_stale_look_at_containers_ends_no_update(
    docker: LyingDocker, deployment: Deployment
) -> None:
    docker.lie("docker inspect --type container id", looks=2)
    updated(deployment)
    runs_alone(docker, "new")


def test_a_late_new_version_is_waited_for(docker: LyingDocker, deployment: Deployment) -> None:
    docker.slow[API] = 45.0
    began = docker.clock.now
    updated(deployment)
    assert docker.clock.now - began > 45
    runs_alone(docker, "new")


def test_kept_containers_stay_stopped(docker: LyingDocker, deployment: Deployment) -> None:
    updated(deployment, UpdateOptions(watch=0.0, keep_minutes=5.0, backup=False))
    for service in COLOURED:
        assert [one.state for one in docker.all(service)] == ["exited", "running"]
    assert not backups.listed(deployment)


# Rollback


@pytest.fixture
def newer(docker: LyingDocker, deployment: Deployment) -> Deployment:
    """A deployment of two releases, of which the second, of a newer schema, runs."""
    docker.schemas |= {"old": 1, "new": 2}
    docker.data[DATA] = database(1)
    recorded(deployment, ("old", 1, None))
    updated(deployment)
    docker.calls.clear()
    docker.smoked.clear()
    return deployment


MIGRATE = SchemaChange(schema_differs=True, schema=1)


def rolled_back(
    deployment: Deployment, change: SchemaChange = MIGRATE, options: UpdateOptions = QUICK
) -> None:
    recovery.execute(deployment, rollback.read_state(deployment, OLD, options, change))


def keeps_the_running(docker: LyingDocker, deployment: Deployment) -> None:
    runs_alone(docker, "new")
    assert schema_of(docker.data[DATA]) == 2
    assert recovery.unfinished_command(deployment) is None
    present = releases.current(deployment)
    assert present
    assert present.tag == "new"


def test_a_rollback_takes_the_data_down_with_the_bot_stopped(
    docker: LyingDocker, newer: Deployment
) -> None:
    states: list[str] = []
    docker.observe(r"migrate --to 1", lambda: states.extend(one.state for one in docker.all(API)))
    rolled_back(newer)
    assert states == ["exited"]
    assert schema_of(docker.data[DATA]) == 1
    runs_alone(docker, "old")
    present = releases.current(newer)
    assert present
    assert (present.tag, present.schema) == ("old", 1)


def test_rollback_keeps_the_running_version_when_the_older_one_is_unhealthy(
    docker: LyingDocker, newer: Deployment
) -> None:
    docker.unhealthy.add(f"{API}:old")
    with pytest.raises(Rejected, match="the new API is not healthy"):
        rolled_back(newer)
    keeps_the_running(docker, newer)


def test_rollback_keeps_the_running_version_when_the_migration_fails(
    docker: LyingDocker, newer: Deployment
) -> None:
    docker.fail(r"migrate --to 1", error="no such table")
    with pytest.raises(Rejected, match="no such table"):
        rolled_back(newer)
    keeps_the_running(docker, newer)


def test_rollback_keeps_the_running_version_when_the_smoke_stage_holds(
    docker: LyingDocker, newer: Deployment
) -> None:
    docker.holding.append("smoke.version.is_the_release")
    with pytest.raises(Rejected, match="HOLD"):
        rolled_back(newer)
    keeps_the_running(docker, newer)


def test_a_rollback_whose_bot_was_stopped_is_served_before_it_is_looked_at(
    docker: LyingDocker, newer: Deployment
) -> None:
    former = docker.served
    rolled_back(newer)
    assert docker.smoked != [former], "else the engine trades where no emergency stop reaches it"


def test_a_rollback_from_a_backup_puts_its_data_back(
    docker: LyingDocker, newer: Deployment
) -> None:
    present = releases.current(newer)
    assert present
    docker.data[DATA] = database(2, written="since")
    archive = str(backups.folder(newer) / str(present.backup))
    rolled_back(newer, SchemaChange(schema_differs=True, schema=1, restore=archive))
    assert docker.count(r"migrate --to") == 0
    assert docker.data[DATA] == database(1)
    runs_alone(docker, "old")


def test_a_rollback_without_a_change_of_schema_never_stops_the_bot_for_its_data(
    docker: LyingDocker, deployment: Deployment
) -> None:
    updated(deployment)
    docker.calls.clear()
    rolled_back(deployment, SchemaChange())
    assert docker.count(r"migrate|DATA replace") == 0
    runs_alone(docker, "old")


def test_the_plan_of_a_rollback_says_what_is_lost(newer: Deployment) -> None:
    state = rollback.read_state(newer, OLD, QUICK, MIGRATE)
    from_backup = SchemaChange(schema_differs=True, schema=1, restore="/x/backup-1.tar.gz")
    lossy = rollback.read_state(newer, OLD, QUICK, from_backup)
    assert "down to schema 1, by the newer release" in plan(newer, state)
    assert "from backup-1.tar.gz: what was written since is lost" in plan(newer, lossy)


def plan(deployment: Deployment, state: CommandState) -> list[str]:
    journal = Journal(Path("/dev/null"), state)
    return [step.description for step in recovery.steps_of(deployment, journal)]


def test_a_schema_that_the_newer_release_cannot_take_down_needs_a_backup(
    docker: LyingDocker, newer: Deployment
) -> None:
    present, earlier = releases.load(newer, "new"), releases.load(newer, "old")
    assert rollback.plan_schema_change(present, earlier, None) == MIGRATE
    assert rollback.plan_schema_change(present, present, None) == SchemaChange(schema=2)
    docker.fail(r"migrate --help")
    with pytest.raises(UsageError, match=r"new to take its schema 2 back to 1, .*--restore-data"):
        rollback.plan_schema_change(present, earlier, None)
    archive = Path("/x/backup-1.tar.gz")
    changed = rollback.plan_schema_change(present, earlier, archive)
    assert changed == SchemaChange(schema_differs=True, schema=1, restore=str(archive))


# Deploy


def deployed(
    deployment: Deployment, release: Release = NEW, *, had_data: bool = True, ran: bool = True
) -> None:
    state = DeployState(id="deploy", release=release, had_data=had_data, ran=ran)
    recovery.execute(deployment, state)


def test_a_first_deploy_brings_everything_up_and_writes_it_down(
    docker: LyingDocker, deployment: Deployment
) -> None:
    docker.containers.clear()
    docker.data.clear()
    (deployment.state / "order.json").unlink()
    deployed(deployment, had_data=False, ran=False)
    runs_alone(docker, "new")
    assert docker.served == "deploy"
    present = releases.current(deployment)
    assert present
    assert (present.tag, present.backup, present.verdict) == ("new", None, "run-1")
    assert deployment.kept_settings.read_text() == deployment.env_file.read_text()


def test_a_first_deploy_that_fails_leaves_no_containers(
    docker: LyingDocker, deployment: Deployment
) -> None:
    docker.containers.clear()
    docker.data.clear()
    (deployment.state / "order.json").unlink()
    docker.holding.append("smoke.reach.answers")
    with pytest.raises(Rejected, match="HOLD"):
        deployed(deployment, had_data=False, ran=False)
    assert not docker.containers
    assert releases.current(deployment) is None


def test_a_deploy_that_fails_brings_back_what_ran_with_its_settings_and_data(
    docker: LyingDocker, deployment: Deployment
) -> None:
    docker.schemas["new"] = 3
    deployment.kept_settings.write_text("API_KEY=of-before\n")
    docker.unhealthy.add("new")
    with pytest.raises(Rejected, match="is running, starting after"):
        deployed(deployment)
    runs_alone(docker, "old")
    assert docker.served == "deploy-before"
    assert schema_of(docker.data[DATA]) == 2
    last = [call for call in docker.calls if " up " in call][-1]
    assert str(deployment.kept_settings) in last
    assert any("-deploy.tar.gz" in path.name for path in backups.listed(deployment))


def test_a_deploy_that_fails_over_what_nobody_wrote_down_keeps_the_new_containers(
    docker: LyingDocker, deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    (deployment.state / "order.json").unlink()
    docker.holding.append("smoke.reach.answers")
    with pytest.raises(Rejected, match="HOLD"):
        deployed(deployment)
    assert docker.running(API) == ["new"]
    assert "what ran before is written down nowhere" in capsys.readouterr().err


def test_a_deploy_without_data_backs_nothing_up(
    docker: LyingDocker, deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.data[DATA] = b""
    deployed(deployment)
    assert not backups.listed(deployment)
    assert "there are no data yet" in capsys.readouterr().err


def test_an_image_that_cannot_be_had_changes_nothing(
    docker: LyingDocker, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.images = {f"breakout-bot/{name}:old" for name in OWN_SERVICES.values()}
    monkeypatch.setattr(registry, "probe", lambda _: False)
    monkeypatch.setattr(building, "release", lambda: OLD)
    with pytest.raises(Rejected, match="no registry has it"):
        deployed(deployment)
    runs_alone(docker, "old")
    assert docker.count(r"compose .* up") == 0


# Broken off


def rolled_back_over_a_schema(deployment: Deployment) -> None:
    rolled_back(deployment, MIGRATE)


@pytest.mark.parametrize(
    ("command", "before", "schema", "ends"),
    [
        (updated, "old", 2, {"old", "new"}),
        (deployed, "old", 2, {"old"}),  # its last step is the first that has no way back
        (rolled_back_over_a_schema, "new", 1, {"old", "new"}),
    ],
)
def test_a_command_killed_on_its_way_is_finished_or_undone_by_the_next_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[[Deployment], None],
    before: str,
    schema: int,
    ends: set[str],
) -> None:
    ended, number = set[str](), 1
    while True:
        number += STRIDE
        folder = tmp_path / str(number)
        folder.mkdir()
        docker = LyingDocker(folder)
        docker.schemas |= {"old": schema, "new": 2}
        docker.deployed(before, database(docker.schemas[before]))
        deployment = placed(folder)
        known = [("old", schema, None), ("new", 2, None)]
        recorded(deployment, *(known if before == "new" else known[:1]))
        install(monkeypatch, docker)
        docker.kill_at(".", at=number)
        try:
            command(deployment)
            break
        except Killed:
            docker.heal()
        recovery.recover(deployment)
        (tag,) = docker.running(API)
        runs_alone(docker, tag)
        assert schema_of(docker.data[DATA]) == docker.schemas[tag], number
        present = releases.current(deployment)
        assert present
        assert present.tag == tag, number
        assert recovery.unfinished_command(deployment) is None
        ended.add(tag)
    assert number > 30
    assert ended == ends


def test_an_undo_that_fails_too_is_gone_on_with_by_the_next_command(
    docker: LyingDocker, deployment: Deployment
) -> None:
    docker.unhealthy.add(f"{API}:new")
    docker.fail("docker rm")
    with pytest.raises(MachineError, match="planted"):
        updated(deployment)
    assert recovery.unfinished_command(deployment)
    recovery.recover(deployment)
    keeps_the_old(docker, deployment)


def test_pages_and_apis_are_started_together(docker: LyingDocker, deployment: Deployment) -> None:
    updated(deployment)
    started = next(call for call in docker.calls if call.startswith("docker start"))
    assert len(started.split()) == 2 + len(COLOURED)
    assert docker.running(FRONTEND) == ["new"]
