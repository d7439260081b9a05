"""One engine: chosen as Docker's client does, and the same for every call."""

import ast
import hashlib
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from compose import release as releases
from compose.lifecycle import __main__ as lifecycle
from compose.lifecycle import deployment
from gate.errors import DockerSilent, MachineError
from gate.machine import commands, docker
from gate.machine.commands import Result, piped, run, start
from gate.stack import GateCompose, require_docker
from gate.target import read
from gate.wire import docker as docker_api

ROOT = Path(__file__).parents[2]
OBEYED = "unix:///somewhere/docker.sock"
FOREIGN = {
    "COMPOSE_FILE": "/nowhere/other.yaml",
    "COMPOSE_PROJECT_NAME": "other",
    "COMPOSE_PROFILES": "other",
    "COMPOSE_ENV_FILES": "/nowhere/.env",
    "BUILDX_BUILDER": "elsewhere",
    "DOCKER_DEFAULT_PLATFORM": "linux/s390x",
    "DOCKER_CONTEXT": "elsewhere",
    "API_KEY": "exported",
}
"""What a shell may export that must not change what a command does; DOCKER_HOST is set too."""


def context(home: Path, name: str, host: str, current: bool = False) -> None:
    """Write a Docker context as `docker context create` does."""
    folder = home / ".docker" / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    endpoint = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host}}}
    (folder / "meta.json").write_text(json.dumps(endpoint))
    if current:
        (home / ".docker" / "config.json").write_text(json.dumps({"currentContext": name}))


@pytest.mark.parametrize(
    ("variables", "address", "by"),
    [
        ({}, docker.DEFAULT_ADDRESS, "default"),
        ({"DOCKER_HOST": OBEYED}, OBEYED, "DOCKER_HOST"),
        ({"DOCKER_HOST": OBEYED, "DOCKER_CONTEXT": "mine"}, OBEYED, "DOCKER_HOST"),
        ({"DOCKER_CONTEXT": "mine"}, "unix:///mine.sock", "DOCKER_CONTEXT=mine"),
        ({"DOCKER_CONTEXT": "default"}, docker.DEFAULT_ADDRESS, "default"),
        ({"DOCKER_HOST": "", "DOCKER_CONTEXT": ""}, docker.DEFAULT_ADDRESS, "default"),
        ({"DOCKER_HOST": "127.0.0.1:2375"}, "tcp://127.0.0.1:2375", "DOCKER_HOST"),
        ({"DOCKER_HOST": "unix://"}, docker.DEFAULT_ADDRESS, "DOCKER_HOST"),
    ],
)
def test_the_engine_is_chosen_as_dockers_client_does(
    tmp_path: Path, variables: dict[str, str], address: str, by: str
) -> None:
    context(tmp_path, "mine", "unix:///mine.sock")
    chosen = docker.engine({"HOME": str(tmp_path), **variables})
    assert chosen.address == address
    assert by in str(chosen)


def test_the_current_context_counts_under_docker_config_too(tmp_path: Path) -> None:
    context(tmp_path, "mine", "unix:///mine.sock", current=True)
    by_home = docker.engine({"HOME": str(tmp_path)})
    by_config = docker.engine({"HOME": "/nowhere", "DOCKER_CONFIG": str(tmp_path / ".docker")})
    assert by_home.address == by_config.address == "unix:///mine.sock"
    assert str(tmp_path / ".docker" / "config.json") in str(by_home)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"DOCKER_CONTEXT": "elsewhere"}, "DOCKER_CONTEXT=elsewhere"),
        ({"DOCKER_HOST": "unix://docker.sock"}, "DOCKER_HOST"),
        ({"DOCKER_HOST": "file:///docker.sock"}, "DOCKER_HOST"),
        ({"DOCKER_HOST": "tcp://127.0.0.1:docker"}, "DOCKER_HOST"),
        ({"DOCKER_HOST": "tcp://127.0.0.1:99999"}, "DOCKER_HOST"),
        ({"DOCKER_HOST": "tcp://[::1:2375"}, "DOCKER_HOST"),
    ],
)
def test_a_choice_that_names_no_engine_is_said(
    tmp_path: Path, variables: dict[str, str], named: str
) -> None:
    with pytest.raises(MachineError, match=r"Expected") as error:
        docker.engine({"HOME": str(tmp_path), **variables})
    assert named in str(error.value)


@pytest.mark.parametrize("text", ["{", "[]", '"x"'])
def test_a_damaged_config_is_said_not_guessed(tmp_path: Path, text: str) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(text)
    with pytest.raises(MachineError, match=r"config\.json"):
        docker.engine({"HOME": str(tmp_path)})
    assert docker.engine({"HOME": str(tmp_path), "DOCKER_HOST": OBEYED}).address == OBEYED


def test_a_context_is_pinned_for_plugins_and_builders(tmp_path: Path) -> None:
    context(tmp_path, "mine", "unix:///mine.sock")
    context(tmp_path, "far", "ssh://far.example.org")
    tls = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "certs"}
    home = {"HOME": str(tmp_path), **tls}
    mine = docker.environment({**home, "DOCKER_CONTEXT": "mine"})
    assert mine["DOCKER_HOST"] == "unix:///mine.sock"
    assert mine["BUILDX_BUILDER"] == "default"
    assert not {"DOCKER_CONTEXT", *tls} & mine.keys()  # a context brings its own
    far = docker.environment({**home, "DOCKER_CONTEXT": "far", "SSH_AUTH_SOCK": "/agent"})
    assert (far["DOCKER_CONTEXT"], far["BUILDX_BUILDER"], far["SSH_AUTH_SOCK"]) == (
        "far",
        "far",
        "/agent",
    )
    assert "DOCKER_HOST" not in far
    host = docker.environment({**home, "DOCKER_HOST": "tcp://127.0.0.1:2376"})
    assert host["DOCKER_TLS_VERIFY"] == "1"
    assert host["DOCKER_CERT_PATH"] == str(Path("certs").absolute())  # compose runs elsewhere


def test_once_chosen_it_stays_in_this_process(tmp_path: Path) -> None:
    context(tmp_path, "mine", "unix:///mine.sock", current=True)
    before = docker.engine({"HOME": str(tmp_path)})
    (tmp_path / ".docker" / "config.json").write_text("{}")  # `docker context use default`
    assert docker.engine({"HOME": str(tmp_path)}) == before


def test_every_way_to_call_docker_gets_one_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    program = tmp_path / "docker"
    program.write_text(f'#!/bin/sh\n{{ echo "== $*"; env; }} >> {log}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, value in {**FOREIGN, "DOCKER_HOST": OBEYED}.items():
        monkeypatch.setenv(name, value)
    run(["docker", "version"], 5.0)
    run([program, "version"], 5.0)
    with start(["docker", "pull", "x"]) as process:
        process.wait(5.0)
    piped(["docker", "exec"], 5.0, stdout=subprocess.DEVNULL)
    GateCompose(context=tmp_path, compose_file_name=["x"], project="p").run("config")
    calls = re.split(r"^== ", log.read_text(), flags=re.MULTILINE)[1:]
    assert len(calls) == 5
    for call in calls:
        made = dict(line.partition("=")[::2] for line in call.splitlines()[1:])
        assert made["DOCKER_HOST"] == OBEYED
        assert made["BUILDX_BUILDER"] == "default"
        assert not (FOREIGN.keys() - {"BUILDX_BUILDER"}) & made.keys(), call


def _is_list_of(node: ast.AST, programs: tuple[str, ...]) -> bool:
    first = node.elts[0] if isinstance(node, ast.List) and node.elts else None
    return isinstance(first, ast.Constant) and first.value in programs


OWN_PROCESSES = {
    "gate/machine/commands.py": "it is the place",
    "gate/sidecar.py": "starts pytest, whose docker calls are pinned again",
    "compose/machine/engine.py": "starts the daemon itself",
    "load/runner.py": "starts Locust",
}
STARTING = {"run", "Popen", "call", "check_call", "check_output", "system", "popen"}


def raw_calls(path: Path) -> list[str]:
    """Calls of subprocess, os or asyncio that start a program with variables of their own."""
    found = []
    tests = path.is_relative_to(ROOT / "tests")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docker_names = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _is_list_of(node.value, ("docker", "git"))
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        where = ast.unparse(node.func)
        starts = (
            (where.startswith("subprocess.") and node.func.attr in STARTING)
            or where in ("os.system", "os.popen")
            or where.startswith(("os.exec", "os.spawn", "os.posix_spawn", "asyncio.create_subproc"))
        )
        pinned = any(
            one.arg == "env" and "variables_of(" in ast.unparse(one.value) for one in node.keywords
        )
        first = node.args[0] if node.args else None
        is_docker = first is not None and (
            _is_list_of(first, ("docker", "git"))
            or any(isinstance(n, ast.Name) and n.id in docker_names for n in ast.walk(first))
            or any(_is_list_of(n, ("docker", "git")) for n in ast.walk(first))
        )
        if starts and not pinned and (is_docker or not tests):
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {where}")
    return found


def test_no_program_is_started_past_the_one_place() -> None:
    services = [ROOT / "compose" / name for name in ("api", "exchange", "frontend")]
    wrong = []
    for folder in ("compose", "gate", "load", "contracts", "reports", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            name = str(path.relative_to(ROOT))
            if name in OWN_PROCESSES or any(path.is_relative_to(one) for one in services):
                continue
            wrong += raw_calls(path)
    assert not wrong, "use run, start or piped of gate.machine.commands, which pin the engine"


def test_nothing_else_reads_where_docker_is() -> None:
    pattern = re.compile(r"os\.(environ|getenv)[^\n]*DOCKER_|/var/run/docker\.sock")
    places = {
        str(path.relative_to(ROOT))
        for folder in ("compose", "gate", "load", "contracts", "reports", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if pattern.search(path.read_text(encoding="utf-8")) and path.parent != Path(__file__).parent
    }
    assert places == {"gate/machine/docker.py"}


def test_the_wire_follows_a_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context(tmp_path, "mine", "unix:///mine.sock", current=True)
    context(tmp_path, "far", "tcp://192.0.2.1:2375")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert docker_api.docker_address() == ("http://docker", "/mine.sock")
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    with pytest.raises(DockerSilent, match=r"tcp://192\.0\.2\.1:2375.*DOCKER_CONTEXT=far"):
        docker_api.docker_address()
    monkeypatch.setenv("DOCKER_CONTEXT", "none")
    with pytest.raises(DockerSilent, match="none"):
        docker_api.docker_address()


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"DOCKER_HOST": "tcp://127.0.0.1:23750"}, "http://127.0.0.1:23750"),
        ({"DOCKER_HOST": "tcp://localhost"}, "http://localhost:2375"),
        ({"DOCKER_HOST": "127.0.0.1:23750"}, "http://127.0.0.1:23750"),
        ({"DOCKER_HOST": ":2375"}, "http://localhost:2375"),
        ({"DOCKER_HOST": "tcp://[::1]:2375"}, "http://[::1]:2375"),
        ({"DOCKER_CONTEXT": "port"}, "http://127.0.0.1:2375"),
        ({"DOCKER_CONTEXT": "port", "DOCKER_TLS_VERIFY": "1"}, "http://127.0.0.1:2375"),
        ({"DOCKER_HOST": "tcp://127.0.0.1:2376", "DOCKER_TLS_VERIFY": "1"}, None),
        ({"DOCKER_HOST": "tcp://docker:2375"}, None),
        ({"DOCKER_HOST": "tcp://127.0.0.1.example.org:2375"}, None),
        ({"DOCKER_HOST": "ssh://localhost"}, None),
        ({"DOCKER_CONTEXT": "certified"}, None),
    ],
)
def test_a_port_of_this_machine_is_followed_and_any_other_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str | None
) -> None:
    context(tmp_path, "port", "tcp://127.0.0.1:2375")
    context(tmp_path, "certified", "tcp://127.0.0.1:2376")
    key = hashlib.sha256(b"certified").hexdigest()
    (tmp_path / ".docker" / "contexts" / "tls" / key).mkdir(parents=True)
    for name in docker.CHOOSING:
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": str(tmp_path), **variables}.items():
        monkeypatch.setenv(name, value)
    assert docker.engine().is_local is (url is not None)
    if url:
        assert docker_api.docker_address() == (url, None)
        return
    for look in (docker_api.docker_address, require_docker):
        with pytest.raises(
            MachineError, match=r"expected a Docker engine on this machine, .*; run"
        ):
            look()


def test_containers_are_asked_about_wherever_an_engine_was_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker, "DEFAULT_ADDRESS", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    assert "project" not in read("localhost").capabilities  # ports that were forwarded to here
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/silent.sock")
    assert "project" in read("localhost").capabilities  # then nothing is known, and that is said
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONTEXT", "there-is-none")
    assert "project" in read("localhost").capabilities


@pytest.mark.parametrize(
    "foreign",
    [
        {"GIT_DIR": "."},
        {"GIT_DIR": "{other}/.git", "GIT_WORK_TREE": "{other}"},
        {"GIT_CEILING_DIRECTORIES": str(ROOT), "GIT_INDEX_FILE": "/nowhere"},
        {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.worktree", "GIT_CONFIG_VALUE_0": "/"},
    ],
    ids=["a hook", "another repository", "ceiling and index", "settings"],
)
def test_git_is_asked_about_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, foreign: dict[str, str]
) -> None:
    expected = releases.release()
    repository(tmp_path)
    for name, value in foreign.items():
        monkeypatch.setenv(name, value.format(other=tmp_path))
    assert releases.release() == expected


def repository(folder: Path) -> str:
    """Make a repository with one commit; its revision."""
    (folder / "file").write_text("")
    git: list[str | Path] = [
        "git",
        "-C",
        folder,
        "-c",
        "user.name=x",
        "-c",
        "user.email=x@localhost",
    ]
    for words in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "x"]):
        assert run([*git, *words], 10.0).ok
    return run([*git, "rev-parse", "HEAD"], 10.0).out.strip()


def test_a_folder_inside_another_repository_is_not_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository(tmp_path)
    here = tmp_path / "unpacked" / "compose"
    here.mkdir(parents=True)
    (here / "compose.yaml").write_text("")
    (here.parent / "pyproject.toml").write_text('[project]\nversion = "1"\n')
    monkeypatch.setattr(releases, "HERE", here)
    assert releases.release().revision == "unknown"


@pytest.mark.parametrize("setting", ["status.showUntrackedFiles=no", "core.autocrlf=true"])
def test_settings_of_who_asks_change_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    here = tmp_path / "compose"
    here.mkdir()
    (here / "compose.yaml").write_text("services: {}\n")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1"\n')
    (tmp_path / "file").write_text("")
    git: list[str | Path] = ["git", "-C", tmp_path, "-c", "user.name=x", "-c", "user.email=x@y"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        assert run([*git, *words], 10.0).ok
    name, _, value = setting.partition("=")
    assert run([*git, "config", name, value], 10.0).ok
    monkeypatch.setattr(releases, "HERE", here)
    assert not releases.release().revision.endswith("-dirty")
    (here / "new.py").write_text("")
    assert releases.release().revision.endswith("-dirty")


def test_an_unpacked_archive_is_said_to_have_no_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lifecycle, "release", lambda: releases.Release("1", "unknown", "abc"))
    monkeypatch.setattr(lifecycle, "HERE", tmp_path / "compose")
    monkeypatch.delenv("BOT_TAG", raising=False)
    assert lifecycle.wanted().tag == "abc"
    assert f"{tmp_path} is no git checkout: its revision is unknown" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["sh", "py", "toml", "conf", "json", "Dockerfile"])
def test_no_clone_changes_a_line_end(tmp_path: Path, ending: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / ".gitattributes").write_bytes((ROOT / ".gitattributes").read_bytes())
    (source / f"x.{ending}").write_bytes(b"#!/bin/sh\ntrue\n")
    (source / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n\r\n")
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@y"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        assert run([*git, "-C", str(source), *words], 10.0).ok
    clone = [*git, "clone", "-q", "-c", "core.autocrlf=true", "-c", "core.eol=crlf"]
    assert run([*clone, str(source), str(tmp_path / "clone")], 10.0).ok
    for path in (f"x.{ending}", "x.png"):
        assert (tmp_path / "clone" / path).read_bytes() == (source / path).read_bytes()


WORDS = {
    "docker": "Error: No such image: x",
    "podman 3": 'Error: error inspecting object: unable to inspect "x": image not known',
    "podman 5": "Error: inspecting object: x: image not known",
    "nerdctl": "no such object: x",
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_an_image_that_is_not_there_is_told_in_no_engines_words(
    monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    def answer(args: list[str], *_: object, **__: object) -> Result:
        return Result(1, "[]", words) if "inspect" in args else Result(0, "", "")

    monkeypatch.setattr(commands, "run", answer)
    assert commands.image_exists("x") is False
    monkeypatch.setattr(commands, "run", lambda *_, **__: Result(1, "", words))
    with pytest.raises(MachineError, match="expected Docker to say whether it has x"):
        commands.image_exists("x")
    monkeypatch.setattr(commands, "run", lambda *_, **__: Result(commands.LATE, "", "late"))
    with pytest.raises(MachineError, match="late"):
        commands.image_exists("x")


@pytest.mark.parametrize("words", ['no container with name or ID "b" found', "n'existe pas"])
def test_a_container_that_is_gone_is_told_in_no_engines_words(
    monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    listed = ["a1 a"]

    def answer(args: list[str], *_: object, **__: object) -> Result:
        found = json.dumps([{"Id": "a1", "Name": "/a", "State": {}}])
        return Result(1, found, words) if "inspect" in args else Result(0, "\n".join(listed), "")

    monkeypatch.setattr(deployment, "run", answer)
    assert [one.id for one in deployment.inspected(["a", "b"])] == ["a1"]
    listed.append("b1 b")
    with pytest.raises(MachineError, match="Expected `docker inspect` to succeed"):
        deployment.inspected(["a", "b"])


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "DOCKER_CERT_PATH", "TMPDIR"])
def test_a_path_is_the_callers_wherever_a_program_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    variables = {"DOCKER_HOST": OBEYED, name: "./my ca"}
    assert docker.environment(variables)[name] == str(tmp_path / "my ca")


def test_a_targets_authority_is_read_from_the_callers_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import certifi

    (tmp_path / "my ca.pem").write_text(Path(certifi.where()).read_text("utf-8"))
    monkeypatch.chdir(tmp_path)
    assert read("https://bot.test", Path("my ca.pem")).ca_file == tmp_path / "my ca.pem"


def test_buildx_gets_another_folder_where_the_home_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    variables = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    assert "BUILDX_CONFIG" not in docker.environment(variables)
    monkeypatch.setattr(os, "access", lambda path, _: not Path(path).is_relative_to(tmp_path))
    assert "gate-buildx" in docker.environment(variables)["BUILDX_CONFIG"]
    elsewhere = variables | {"DOCKER_CONFIG": "/"}
    assert "BUILDX_CONFIG" not in docker.environment(elsewhere)
