"""Bad input gets one clear error and exit code 4, and nothing is started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gate import extensions, options
from gate import manifest as manifests
from gate import target as targets
from gate.errors import TargetError
from gate.target import SERVICES
from load import slo
from tests import early
from tests.load import options as load_options

ROOT = Path(__file__).parent.parent.parent
OTHER_PROFILE = """\
schema = 1
seed = 7
spacing = "even"
in_flight = 20
phase = [{kind = "measured", seconds = 4, rate = 20}]
operation = [{request = "GET /else", weight = 1}]
"""
COMPLETE = dict.fromkeys(SERVICES, '"absent"') | {"proxy": '"https://bot.example.org"'}


def written(path: Path, head: str = "", **services: str) -> str:
    rows = {**COMPLETE, **services}
    lines = [head, "[services]", *(f"{name} = {value}" for name, value in rows.items() if value)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def smoke(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The smoke stage as a user calls it."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "smoke", *words],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--target", "bot.example.org"], "https://bot.example.org"),
        (["--until-caught"], "expected --until-caught with --fault FILE, got no --fault"),
        (["--target", "http://bot.example.org"], "what plain http serves cannot be judged"),
        (["--target", "https://b☃t.example.org"], "not allowed"),
        (["--target", "https://me:hunter2@bot.example.org"], "without a user or password"),
        (["--target", "https://bot.example.org/x"], "nothing after it"),
        (["--target", "https://bot.example.org:99999"], "Port out of range"),
        (["--target", "no-such.toml"], "No such file"),
        (["--target", "prod"], "expected --target to be localhost"),
        (["--target", ""], "expected --target to be localhost"),
        (["--target", "https://bot..example.org"], "expected a URL like https://"),
        (["--ca-file", ""], "expected --ca-file to have a value"),
        (["--ca-file", "README.md"], "CA certificates in PEM form, got README.md: it holds none"),
        (["-m", "load", "--load-profile=PROFILE"], ", GET /else, POST "),
        (["--waive", "smoke.tls.certificate_lasts"], "CHECK=REASON"),
        (["--waive", "smoke.tls.certificate_lasts= "], "CHECK=REASON"),
        (["--waive", "smoke.no.such=because"], "got 'smoke.no.such'"),
        (["--expect-revision", "main"], "digits of a commit"),
        (["--load-workers", "0"], "a number from 1 to 64, got '0'"),
        (["--baseline", "HEAD"], "expected --baseline with the load stage, got -m 'smoke'"),
        (["-m", "load", "--baseline", "no-such"], "--baseline: expected a revision, tag or branch"),
        (["-m", "load", "--load-profile=smoke"], "is too short for GET /api/trading/orders p99, "),
        (["--load-profile", "no-such"], "--load-profile: expected a readable file"),
        (["--expect-version", " "], "expected --expect-version to have a value"),
        (["--ca-file", "no-such.pem"], "no such file"),
        (["--report-dir", ""], "expected --report-dir to have a value"),
        (["--report-dir", "/proc/nowhere"], "expected --report-dir"),
        (["--target", "localhost", "--keep-stack"], "disposable"),
        (["--target", "localhost", "--compose-file", "x.yaml"], "disposable"),
        (["--compose-file", "no-such.yaml"], "No such file"),
        (["--target", "localhost", "-m", "control or ui"], "control and ui, which change"),
        (["--no-such-option"], "unrecognized arguments"),
    ],
)
def test_bad_options_are_refused_before_anything_starts(
    tmp_path: Path, words: list[str], said: str
) -> None:
    path = tmp_path / "else.toml"
    path.write_text(OTHER_PROFILE, encoding="utf-8")
    done = smoke(*(word.replace("PROFILE", str(path)) for word in words))
    output = done.stdout + done.stderr
    assert done.returncode == 4
    assert said in output
    assert "Traceback" not in output
    assert "hunter2" not in output


def test_a_bad_target_from_the_environment_is_named_by_its_variable() -> None:
    done = smoke(GATE_TARGET="ftp://bot.example.org")
    assert done.returncode == 4
    assert "GATE_TARGET: expected a URL" in done.stdout + done.stderr
    blank = smoke(GATE_TARGET="")
    assert blank.returncode == 4
    assert "expected GATE_TARGET to be localhost" in blank.stdout + blank.stderr


def test_options_of_our_own_stack_are_not_passed_over_for_another_disposable_one(
    tmp_path: Path,
) -> None:
    path = written(tmp_path / "target.toml", "kind = 'disposable'")
    done = smoke(f"--target={path}", "--keep-stack")
    assert done.returncode == 4
    assert "expected --keep-stack with a disposable stack only" in done.stdout + done.stderr


def test_bad_service_levels_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "slo.toml"
    path.write_text("schema = 2\n", encoding="utf-8")
    monkeypatch.setattr(slo.load, "__defaults__", (path,))
    with pytest.raises(pytest.UsageError, match=r"slo\.toml:1: schema: expected 1"):
        load_options.require_service_levels()


@pytest.mark.parametrize("expression", ["smok", "smoke and", "smoke or nothing", "not", "1"])
def test_an_unknown_stage_is_refused(expression: str) -> None:
    with pytest.raises(pytest.UsageError, match="expected -m to name stages"):
        options.asked(expression)


def test_expressions_ask_for_stages() -> None:
    assert options.asked("smoke") == ("smoke",)
    assert options.asked("control or ui") == ("control", "ui")
    assert "load" not in options.asked("not load")
    assert len(options.asked("")) == 7


@pytest.mark.parametrize(
    ("head", "services", "said"),
    [
        ("", {"redis": ""}, "services.redis: expected a URL"),
        ("", {"redis": '"http://x:1"'}, "redis://"),
        ("", {"redis": "6379"}, "expected a URL"),
        ("", {"redis": '"redis://:hunter2@x:1"'}, "without a password"),
        ("", {"proxy": '"absent"'}, "services.proxy: expected a URL, got 'absent'"),
        ("", {"kafka": '"absent"'}, "unknown key 'kafka'"),
        ("knid = 'live'", {}, "unknown key 'knid'"),
        ("kind = 'alive'", {}, "kind: expected one of live, disposable"),
        ("mode = 3", {}, "mode: expected one of paper, live"),
        ("redis_password = 'hunter2'", {}, "expected no secrets"),
        ("name = [", {}, "expected TOML"),
        ("ca_file = 'target.toml'", {}, "target.toml: it holds none"),
        ("ca_file = 'no-such.crt'", {}, "no-such.crt: no such file"),
    ],
)
def test_bad_target_files_say_what_was_expected(
    tmp_path: Path, head: str, services: dict[str, str], said: str
) -> None:
    path = written(tmp_path / "target.toml", head, **services)
    with pytest.raises(TargetError) as raised:
        targets.read(path)
    assert said in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_target_file_says_what_is_there(tmp_path: Path) -> None:
    path = written(tmp_path / "target.toml", "mode = 'live'", redis='"redis://r:6379"')
    target = targets.read(path)
    assert target.live
    assert target.mode == "live"
    assert {"proxy", "redis", "direct:redis"} <= target.capabilities
    assert "grafana" not in target.capabilities


def test_redis_may_be_behind_tls_and_have_a_user(tmp_path: Path) -> None:
    path = written(tmp_path / "target.toml", "mode = 'live'", redis='"rediss://gate@r"')
    target = targets.read(str(path))
    assert target.urls["redis"] == "rediss://gate@r"
    assert target.address_of(target.urls["redis"]) == ("r", 6379)
    assert targets.credentials(target, {"GATE_REDIS_USER": "gate"}).redis_user == "gate"


def test_a_url_is_a_live_target_of_which_only_the_proxy_is_known() -> None:
    target = targets.read("https://bot.example.org")
    assert target.live
    assert dict(target.urls) == {"proxy": "https://bot.example.org"}
    assert "grafana" in target.capabilities
    assert "direct:redis" not in target.capabilities
    assert targets.read("https://[::1]:8443").plain_http == "http://[::1]"


def test_settings_that_cannot_be_read_are_said() -> None:
    with pytest.raises(TargetError, match="expected settings in /proc/self/mem that can be read"):
        targets.env_values(Path("/proc/self/mem"))


def test_what_is_required_depends_on_the_target() -> None:
    manifest = manifests.load()
    live = manifests.required(
        manifest, "smoke", targets.read("https://bot.example.org").capabilities
    )
    assert "smoke.tls.certificate_lasts" in live
    assert "smoke.redis.can_save" not in live
    assert not [check for check in live if check.startswith("smoke.stack.")]


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("hunter2\n", encoding="utf-8")
    target = targets.read("https://bot.example.org")
    found = targets.credentials(target, {"GATE_REDIS_PASSWORD_FILE": str(path)})
    assert found.redis_password == "hunter2"
    assert "hunter2" not in repr(found)
    with pytest.raises(TargetError, match="GATE_API_KEY_FILE"):
        targets.credentials(target, {"GATE_API_KEY_FILE": "/no/such"})


def test_a_path_after_a_space_is_the_options_value_not_pytests(tmp_path: Path) -> None:
    path = tmp_path / "prod.toml"
    path.write_text("name = 1", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "smoke", "--target", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 4
    assert f"{path}: services: expected a table, got nothing" in done.stdout + done.stderr


def test_every_option_that_may_take_a_path_is_joined() -> None:
    every = (*options.OPTIONS, *extensions.options())
    assert {one.name for one in every if one.takes_path} == early.OPTIONS


def test_only_the_gates_own_options_are_joined() -> None:
    words = ["-m", "smoke", "--target", "a.toml", "--waive", "x=y", "--ca-file=b", "--report-dir"]
    joined = ["-m", "smoke", "--target=a.toml", "--waive", "x=y", "--ca-file=b", "--report-dir"]
    files = [name for name in early.OPTIONS for name in (name, "/etc/x")]
    assert list(early.joined(files)) == [f"{name}=/etc/x" for name in early.OPTIONS]
    assert list(early.joined(words)) == joined


def test_folders_that_root_makes_are_those_of_whoever_has_the_one_above(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = list[tuple[Path, int, int]]()
    monkeypatch.setattr(os, "chown", lambda *words: given.append(words))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    options.report_dir(str(tmp_path / "mine"))
    assert not given
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    folder = tmp_path / "a" / "reports"
    options.report_dir(str(folder))
    assert [path for path, *_ in given] == [folder.parent, folder, folder / "runs"]
    options.report_dir(str(folder))  # what is there stays whose it is
    assert len(given) == 3
