"""What pytest is told of checks that get no turn."""

import errno
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests import early

ROOT = Path(__file__).parent.parent.parent
WIRING = f"""
import importlib.util, json, pathlib
spec = importlib.util.spec_from_file_location("wiring", {str(ROOT / "gate" / "plugin.py")!r})
wiring = importlib.util.module_from_spec(spec)
spec.loader.exec_module(wiring)

class OutOfTime:
    exit_code = None

    def begin(self, item):
        return "out of time" if "late" in item.name else None

    def take_result(self, item, call):
        with pathlib.Path(__file__).with_name("told.jsonl").open("a") as file:
            error = call.excinfo and f"{{call.excinfo.typename}}: {{call.excinfo.value}}"
            file.write(json.dumps([item.name, call.when, error]) + "\\n")

    def finish(self, code):
        return code

def pytest_configure(config):
    config.stash[wiring.GATE] = OutOfTime()

pytest_itemcollected = wiring.pytest_itemcollected
pytest_runtest_setup = wiring.pytest_runtest_setup
pytest_runtest_makereport = wiring.pytest_runtest_makereport
"""
CHECKS = "def test_one(): pass\ndef test_late(): raise ValueError\n"


def test_a_check_without_a_turn_is_skipped_and_blames_no_other(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(WIRING)
    for name in ("test_a.py", "test_b.py"):
        (tmp_path / name).write_text(CHECKS)
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", ".", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert "2 passed, 2 skipped" in done.stdout
    told = (tmp_path / "told.jsonl").read_text()
    assert told.count("out of time") == 2
    assert "AssertionError" not in told


LEAVING = """
import gc, socket

def test_leaves_sockets_open():
    for _ in range(3):
        left = [socket.socket()]
        left.append(left)

def test_is_there_when_they_are_collected():
    gc.collect()
"""


def test_what_was_left_open_is_no_fault_of_a_later_check(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(WIRING)
    for folder in ("smoke", "other"):  # a check, and a test that is none
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "test_a.py").write_text(LEAVING)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-c", "/dev/null"]
    command += ["-o", "markers=smoke: a stage"]
    results = {}
    for folder in ("smoke", "other"):
        words = [*command, "--rootdir", ".", folder]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=30)
        results[folder] = done.stdout.splitlines()[-1].rpartition(" in ")[0]
    assert results == {"smoke": "2 passed", "other": "1 failed, 1 passed"}


def test_without_a_temporary_folder_nothing_is_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """pytest ended with a traceback, and with the exit code of HOLD."""

    def full() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    early.require_temporary_folder()
    monkeypatch.setattr(tempfile, "gettempdir", full)
    with pytest.raises(SystemExit) as ended:
        early.require_temporary_folder()
    assert ended.value.code == 6
    said = capsys.readouterr().err
    assert said.startswith("UNDECIDED: expected a temporary folder that can be written to, got:")
    assert said.count("\n") == 1
