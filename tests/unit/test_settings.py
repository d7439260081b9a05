"""Settings mean what compose makes of them, for the gate, the preflight and a backup alike."""

import json
import os
import random
import shutil
import string
import sys
from pathlib import Path

import pytest

from compose.lifecycle import __main__ as lifecycle
from compose.lifecycle import backups, preflight
from compose.lifecycle.deployment import Deployment
from compose.release import HERE, Release
from gate import settings
from gate.errors import BAD_INPUT
from gate.machine.commands import run
from gate.settings import SettingsError

needs_compose = pytest.mark.skipif(not shutil.which("docker"), reason="compose is asked")
LONG = "0123456789abcdef0123"
FIELD = "abcdefgh$cretXYZ1234"
"""The field's own: Redis came to run with its first eight characters."""


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "settings.env"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def deployment(folder: Path, content: str | bytes) -> Deployment:
    return Deployment("x", (HERE / "compose.yaml",), written(folder, content), folder / "state")


def test_plain_settings_are_read_without_asking_compose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    text = f"# it's a comment with $ and \"\n\n  # é\nA={LONG}\nB=https://h:1/x?y=1&z,%+~^@-\nC=\nA=2\n"
    assert settings.read(written(tmp_path, text)) == {"A": "2", "B": "https://h:1/x?y=1&z,%+~^@-"}


@needs_compose
@pytest.mark.parametrize(
    ("line", "value"),
    [
        (f"API_KEY={FIELD}", "abcdefgh"),
        ("API_KEY='a$b\"c'", 'a$b"c'),
        ("API_KEY=a$$b", "a$b"),
        ("API_KEY=${NOWHERE:-y}", "y"),
        ("API_KEY=value # comment", "value"),
        ("API_KEY=a#b", "a#b"),
        ('API_KEY="two\nlines"', "two\nlines"),
        ("API_KEY='a\nOTHER=1\nb'", "a\nOTHER=1\nb"),
        ('API_KEY="a\\"b\\\\c"', 'a"b\\c'),
        ("API_KEY=a\\b", "a\\b"),
        ("export API_KEY=abc", "abc"),
        ("API_KEY = abc ", "abc"),
        ("API_KEY=abc\r\nOTHER=1\r", "abc"),
        ("\ufeffAPI_KEY=abc", "abc"),
        ("API_KEY=ünï", "ünï"),
        ("OTHER=1\nAPI_KEY='it\\'s'", "it's"),
        ('API_KEY=a"b', 'a"b'),
    ],
)
def test_any_other_setting_is_what_compose_makes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, value: str
) -> None:
    monkeypatch.setenv("API_KEY", "of the caller's shell")
    monkeypatch.setenv("NOWHERE", "of the caller's shell")
    monkeypatch.setenv("cretXYZ1234", "of the caller's shell")
    path = written(tmp_path, f"{line}\nZ=last\n")
    found = settings.read(path)
    assert found["API_KEY"] == value
    assert found["Z"] == "last"
    assert found.keys() <= {"API_KEY", "OTHER", "Z"}
    rendered = tmp_path / "compose.yaml"
    rendered.write_text("services: {s: {image: i, command: ['${API_KEY}']}}")
    words = ["docker", "compose", "--env-file", str(path), "-f", str(rendered), "config"]
    shown = run(
        [*words, "--format", "json"], 20.0, base={"PATH": "/usr/bin:/bin:/usr/local/bin"}
    ).out
    assert json.loads(shown)["services"]["s"]["command"] == [value.replace("$", "$$")]


@needs_compose
def test_a_secret_that_compose_cuts_is_a_finding_that_does_not_show_it(tmp_path: Path) -> None:
    text = f"REDIS_PASSWORD={FIELD}\nAPI_KEY={LONG}\n"
    found = list(preflight.settings(deployment(tmp_path, text), Release("1", "r", "t")))
    shown = " ".join(f"{one.expected}; {one.todo}" for one in found)
    assert "compose to read REDIS_PASSWORD as it is written" in shown
    assert "single quotes" in shown
    assert not any(piece in shown for piece in (FIELD, "cretXYZ1234", "abcdefgh"))
    assert "API_KEY" not in shown


@needs_compose
@pytest.mark.parametrize(
    ("lines", "names"),
    [
        (f"API_KEY='{FIELD}'\nREDIS_PASSWORD={LONG}", []),
        (f"API_KEY={LONG}$1", []),  # to compose no reference
        (f"API_KEY={LONG}$$x", ["API_KEY"]),
        (f"API_KEY={LONG} #x", ["API_KEY"]),
        (f'API_KEY="{LONG}\\t"', ["API_KEY"]),
        (f'API_KEY="{LONG}"x', ["API_KEY"]),
        (f"API_KEY={LONG}${{MODE}}\nMODE=paper", ["API_KEY"]),
        ("SERVER_NAME=bot.test\nCORS_ORIGINS=https://${SERVER_NAME} # ours", []),
        ("TLS_SOURCE=${NOWHERE:-tls}", []),
        ("SERVER_NAME=bot$test", ["SERVER_NAME"]),
        ("CORS_ORIGINS= # none", ["CORS_ORIGINS"]),
        (f"API_KEY={FIELD}\nAPI_KEY={LONG}", []),
        ("ALERT_WEBHOOK_URL=https://h.test/x # ours", []),
    ],
)
def test_what_is_lost_or_changed_is_named(tmp_path: Path, lines: str, names: list[str]) -> None:
    found = settings.changes(written(tmp_path, f"{lines}\n"))
    assert [one.name for one in found] == names


@needs_compose
def test_settings_in_a_backup_read_back_to_the_same(tmp_path: Path) -> None:
    dice = random.Random(7)
    signs = string.ascii_letters + " \"'$\\#\n\t{}!=`é"
    values = {f"V{n}_KEY": "".join(dice.choices(signs, k=9)) for n in range(80)} | {"Z": "z"}
    values |= {"TAIL_KEY": "a\\", "NAME_KEY": "a$b", "BRACE_KEY": "'${HOME}", "SPACE_KEY": " x "}
    first = written(tmp_path, "".join(f"{n}={settings.quoted(v)}\n" for n, v in values.items()))
    assert settings.read(first) == values
    made = Deployment("x", (), first, tmp_path)
    again = written(tmp_path, backups._settings(made, with_secrets=True))
    assert settings.read(again) == values
    assert settings.read(written(tmp_path, backups._settings(made, with_secrets=False))) == {
        "Z": "z"
    }


UNREADABLE = {
    "latin": (b"SERVER_NAME=caf\xe9\n", "as UTF-8, got other bytes in line 1"),
    "utf-16": ("API_KEY=S3cret\n".encode("utf-16"), "as lines of text in UTF-8, got a zero byte"),
    "zero byte": (b"A=1\nAPI_KEY=S3\0cret\n", "got a zero byte in line 2"),
    "carriage return": (
        b"A=1\r\nB=2\rAPI_KEY=S3cret\r",
        "got a carriage return without a line feed",
    ),
    "open quote": (b'A=1\nAPI_KEY="Sup3rS3cret\n', "got line"),
    "open brace": (b"API_KEY=Sup3r${S3cret\n", "begins no reference"),
    "no name": (b"Sup3r S3cret=1\n", "got line 1"),
}


@needs_compose
@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("command", [*lifecycle.COMMANDS])
def test_settings_that_nobody_can_read_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, content: tuple[bytes, str]
) -> None:
    path = written(tmp_path, content[0])
    more = ["x.tar.gz"] if command == "restore" else []
    words = [command, "--env-file", str(path), "--state", str(tmp_path / "state"), *more]
    assert lifecycle.main([*words, "--project", "no-such-project"]) == BAD_INPUT
    said = capsys.readouterr().err
    assert content[1] in said
    assert len(said.splitlines()) == 1
    assert "S3cret" not in said


@pytest.mark.parametrize("command", [*lifecycle.COMMANDS])
@pytest.mark.parametrize("what", ["nope", "."])
def test_a_missing_settings_file_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, what: str
) -> None:
    more = ["x.tar.gz"] if command == "restore" else []
    words = [command, "--env-file", str(tmp_path / what), "--state", str(tmp_path), *more]
    assert lifecycle.main([*words, "--project", "no-such-project"]) == BAD_INPUT
    said = capsys.readouterr().err
    assert f"expected settings in {tmp_path / what}"[:-2] in said
    assert len(said.splitlines()) == 1


@needs_compose
@pytest.mark.parametrize("line", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "BOM"])
def test_marks_and_line_ends_of_other_systems_are_no_part_of_a_value(
    tmp_path: Path, line: str, mark: str
) -> None:
    text = mark + line.join([f"API_KEY={LONG}", "SERVER_NAME=bot.test", ""])
    assert settings.read(written(tmp_path, text)) == {
        "API_KEY": LONG,
        "SERVER_NAME": "bot.test",
    }


@pytest.mark.parametrize(
    ("to", "got"), [("nowhere", "a link that leads nowhere"), ("link", "too many levels")]
)
def test_a_link_to_no_settings_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], to: str, got: str
) -> None:
    path = tmp_path / "link"
    path.symlink_to(to)
    words = ["stop", "--env-file", str(path), "--state", str(tmp_path / "state")]
    assert lifecycle.main([*words, "--project", "no-such-project"]) == BAD_INPUT
    said = capsys.readouterr().err
    assert f"expected settings in {path}" in said
    assert got in said
    assert len(said.splitlines()) == 1


SECRET_FILES = {
    "nothing": (b"\n", "got nothing"),
    "two lines": (b"abc\ndef\n", "got more than one line"),
    "zero byte": (b"abc\0def", "or no text"),
    "latin": (b"caf\xe9", "it is not text"),
}


@pytest.mark.parametrize(("content", "got"), SECRET_FILES.values(), ids=SECRET_FILES)
def test_a_secret_file_that_holds_none_is_one_sentence(
    tmp_path: Path, content: bytes, got: str
) -> None:
    from gate import target as targets
    from gate.errors import TargetError

    path = written(tmp_path, content)
    with pytest.raises(TargetError, match=got) as told:
        targets.credentials(targets.Target("x", "live"), {"GATE_API_KEY_FILE": str(path)})
    assert str(told.value).startswith("GATE_API_KEY_FILE: expected ")
    assert "def" not in str(told.value)


def test_a_secret_file_of_another_system_is_its_secret(tmp_path: Path) -> None:
    from gate import target as targets

    path = written(tmp_path, f"\ufeff{LONG}\r\n")
    found = targets.credentials(targets.Target("x", "live"), {"GATE_API_KEY_FILE": str(path)})
    assert found.api_key == LONG


def test_settings_that_the_gate_cannot_read_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gate import target as targets
    from gate.errors import TargetError

    monkeypatch.setattr(targets, "HERE", tmp_path)
    (tmp_path / ".env").write_bytes(b"API_KEY=caf\xe9\n")
    with pytest.raises(TargetError, match="as UTF-8, got other bytes in line 1"):
        targets.read("localhost")
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").mkdir()
    with pytest.raises(TargetError, match="that can be read, got: is a directory"):
        targets.read("localhost")


def test_settings_from_a_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingsError, match="got a pipe"):
        settings.read(tmp_path / "pipe")


def test_without_compose_what_only_compose_can_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    with pytest.raises(SettingsError, match="`docker compose config` gave no answer"):
        settings.read(written(tmp_path, "API_KEY=a$b\n"))
