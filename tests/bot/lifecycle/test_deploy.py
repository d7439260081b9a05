"""A deploy ends with what should run, and does not begin where something speaks against it."""

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from compose.lifecycle import preflight, status
from compose.lifecycle.deployment import API, Deployment
from compose.release import Release
from gate import check, expect
from gate.machine.ports import free_port
from tests.bot.lifecycle.disposable import DEPLOYED, NEEDS

check_stack = partial(check, "stack", needs=NEEDS)


@check_stack(
    cause="a step of the deploy does not do what it says, or the smoke stage holds it",
    fix="read what the deploy said; `compose/status.sh` lists what differs",
)
def test_runs_what_should_run(deployment: Deployment) -> None:
    lines, drift = status.report(deployment)
    expect(not drift, "nothing that differs from the manifest", drift, "\n".join(lines))


def blank_key(deployment: Deployment, folder: Path) -> Deployment:
    """The same settings with a blank key."""
    path = folder / "settings.env"
    lines = deployment.env_file.read_text().splitlines()
    kept = [line for line in lines if not line.startswith("API_KEY=")]
    path.write_text("\n".join([*kept, "API_KEY="]))
    return replace(deployment, env_file=path)


def blank_override(deployment: Deployment, folder: Path) -> Deployment:
    """A compose file that hides the key behind a blank."""
    return _with(deployment, folder, f'{API}: {{environment: {{API_KEY: ""}}}}')


def unknown_key(deployment: Deployment, folder: Path) -> Deployment:
    """A compose file that compose refuses."""
    return _with(deployment, folder, f"{API}: {{no_such_key: 1}}")


def _with(deployment: Deployment, folder: Path, service: str) -> Deployment:
    path = folder / "more.yaml"
    path.write_text(f"services: {{{service}}}\n")
    return replace(deployment, files=(*deployment.files, path))


SPOILT: dict[str, tuple[Callable[[Deployment, Path], Deployment], str]] = {
    "a blank key": (blank_key, "a secret in API_KEY"),  # compose names a blank one, too
    "a blank over the env file": (blank_override, f"API_KEY of {API}"),
    "a key compose does not know": (unknown_key, "no_such_key"),
}


@check_stack(
    cause="a variable that the operator's shell exports hides the one in the settings",
    fix="run the command in a clean shell (`env -i`), and put settings into compose/.env",
    follows=DEPLOYED,
)
def test_settings_win_over_the_shell(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "exported")
    resolved = deployment.compose("config", "--format", "json")
    key = json.loads(resolved)["services"][API]["environment"]["API_KEY"]
    expect(key != "exported", "the key of the settings", "the one that the shell exports")


@pytest.mark.parametrize("what", list(SPOILT))
@check_stack(
    cause="the preflight no longer looks at it",
    fix="look at what is named yourself before you deploy",
    follows=DEPLOYED,
)
def test_preflight_finds(deployment: Deployment, first: Release, tmp_path: Path, what: str) -> None:
    expect(not preflight.findings(deployment, first), "no finding before", "some")
    spoil, named = SPOILT[what]
    found = preflight.findings(spoil(deployment, tmp_path), first)
    expect(any(named in one.expected for one in found), f"a finding that names {named}", found)


@check_stack(
    cause="the preflight no longer asks who holds a port",
    fix="`ss -ltnp` says who holds the port",
    follows=DEPLOYED,
)
def test_preflight_names_the_holder_of_a_port(
    deployment: Deployment, first: Release, tmp_path: Path
) -> None:
    port = free_port()
    wanted = _with(deployment, tmp_path, f'proxy: {{ports: ["127.0.0.1:{port}:9999"]}}')
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        found = [one.expected for one in preflight.findings(wanted, first)]
    expect(any(f"port {port}" in one for one in found), f"a finding for port {port}", found)
    expect(any("python" in one for one in found), "the holder's name", found)
