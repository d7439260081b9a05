"""A sample of the catalogue, as `make faults` plants it, and the healthy stack that is promoted."""

import re
from pathlib import Path

import pytest

from gate.machine.commands import run
from gate.stack import Stack
from reports.events import Phase, events_of_kind
from tests.faults.fault import CATALOGUE, load
from tests.faults.planters import container
from tests.faults.runs import LIMIT, described, gate, run_with_fault

SHARED = (
    "redis-paused",
    "old-api",
    "prometheus-scrapes-wrong-path",
    "page-script-missing",
    "certificate-ends-soon",
    "websocket-not-upgraded",
    "exchange-disconnected",
    "alertmanager-health-cannot-fail",
)
"""Faults of every kind of planter, planted one after the other in one stack."""
ALONE = ("api-key-blank", "exchange-times-out")


@pytest.mark.parametrize("name", SHARED)
def test_a_fault_in_a_shared_stack_is_caught(stack: Stack, tmp_path: Path, name: str) -> None:
    result = run_with_fault(load(CATALOGUE / f"{name}.toml"), "smoke", tmp_path, stack.run_id)
    assert result.right_first, str(result)
    assert "taken back" not in result.message


@pytest.mark.parametrize("name", ALONE)
def test_a_fault_in_a_stack_of_its_own_is_caught(tmp_path: Path, name: str) -> None:
    result = run_with_fault(load(CATALOGUE / f"{name}.toml"), "smoke", tmp_path)
    assert result.right_first, str(result)


@pytest.mark.parametrize("name", ["api-paused", "page-paused"])
def test_what_hangs_is_blamed_alone(stack: Stack, tmp_path: Path, name: str) -> None:
    fault = load(CATALOGUE / f"{name}.toml")
    words = ["-m", "smoke", f"--fault={fault.path}", f"--on-stack={stack.run_id}"]
    outcome = gate(*words, folder=tmp_path)
    assert [component for component, _ in outcome.roots] == [fault.component], outcome.output
    assert not outcome.troubles
    assert "Traceback" not in outcome.output


def test_a_fault_that_does_not_take_is_undecided(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "nothing-to-replace.toml"
    text = (CATALOGUE / "redis-not-persistent.toml").read_text(encoding="utf-8")
    text = text.replace("redis-not-persistent", path.stem).replace("appendonly", "appendnever")
    path.write_text(text, encoding="utf-8")
    words = ["-m", "smoke", f"--fault={path}", f"--on-stack={stack.run_id}"]
    outcome = gate(*words, folder=tmp_path)
    assert outcome.code == 6, outcome.output
    assert "appendnever" in outcome.output
    assert run_with_fault(load(path), "smoke", tmp_path, stack.run_id).outcome == "error"


def test_a_healthy_live_stack_is_promoted_and_only_looked_at(stack: Stack, tmp_path: Path) -> None:
    target = tmp_path / "target.toml"
    target.write_text(described(stack.target(), stack.project), encoding="utf-8")
    before = len(log(stack, "proxy"))
    secrets = {"GATE_REDIS_PASSWORD": stack.credentials.redis_password or ""}
    words = ["-m", "smoke", f"--target={target}"]
    outcome = gate(*words, folder=tmp_path, environment=secrets)
    assert outcome.code == 0, outcome.output
    assert outcome.verdict["verdict"] == "PROMOTE"
    assert outcome.verdict["mutations"] == []
    requests = log(stack, "proxy")[before:]
    methods = {found[1] for line in requests if (found := re.search(r'"method":"(\w+)"', line))}
    assert methods == {"GET", "OPTIONS"}


@pytest.mark.parametrize("silent", [True, False], ids=["docker is silent", "a wrong project"])
def test_a_live_stack_whose_containers_are_not_seen_is_not_promoted(
    stack: Stack, tmp_path: Path, silent: bool
) -> None:
    target = tmp_path / "target.toml"
    project = stack.project if silent else "no-such-project"
    target.write_text(described(stack.target(), project), encoding="utf-8")
    environment = {"GATE_REDIS_PASSWORD": stack.credentials.redis_password or ""}
    if silent:
        environment["DOCKER_HOST"] = f"unix://{tmp_path}/nothing.sock"
    words = ["-m", "smoke", f"--target={target}"]
    outcome = gate(*words, folder=tmp_path, environment=environment)
    assert outcome.code == 6, outcome.output
    (trouble,) = outcome.troubles
    assert f"about the containers of {project}" in trouble


def test_a_disposable_stack_of_somebody_else_is_judged_as_it_stands(
    stack: Stack, tmp_path: Path
) -> None:
    target = tmp_path / "target.toml"
    text = described(stack.target(), stack.project)
    target.write_text(text.replace('kind = "live"', 'kind = "disposable"'), encoding="utf-8")
    secrets = {"GATE_REDIS_PASSWORD": stack.credentials.redis_password or ""}
    outcome = gate("-m", "smoke", f"--target={target}", folder=tmp_path, environment=secrets)
    assert outcome.code == 0, outcome.output
    assert "bring-up" not in {event.name for event in events_of_kind(outcome.events, Phase)}
    addresses = {row["name"]: row["address"] for row in outcome.verdict["components"]}
    assert addresses["proxy"] == stack.target().url


def log(stack: Stack, service: str) -> list[str]:
    return run(["docker", "logs", container(stack, service)], LIMIT).text.splitlines()
