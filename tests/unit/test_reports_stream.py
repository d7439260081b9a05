"""The result stream holds whatever was seen, in any way a run can end."""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from reports.events import FaultPlanted, Interrupted, Load, Picture, Trouble, events_of_kind
from reports.redact import MARK, Redactor
from reports.stream import FILE, Stream, read


def test_an_event_is_one_redacted_line_with_its_time(tmp_path: Path) -> None:
    times = iter([10.0, 10.1234])
    stream = Stream(tmp_path, Redactor(["hunter2"]), clock=lambda: next(times))
    stream.emit(Load({"profile": "saw hunter2", "baseline": {"Authorization": "x"}}))
    line = (tmp_path / FILE).read_text(encoding="utf-8")
    assert line == (
        '{"kind":"load","t":0.123,'
        f'"profile":"saw {MARK}","baseline":{{"Authorization":"{MARK}"}}}}\n'
    )
    stream.close()


def test_events_survive_a_kill_without_warning(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; "
        "from reports.redact import Redactor; from reports.stream import Stream; "
        "from reports.events import Trouble; "
        "s = Stream(Path(sys.argv[1]), Redactor()); s.emit(Trouble('last words')); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        timeout=30,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert [one.message for one in events_of_kind(read(tmp_path), Trouble)] == ["last words"]


@pytest.mark.parametrize("cut", [b'{"kind":"che', b'{"kind":"check"', b"\xff\xfe", b"[1"])
def test_a_cut_last_line_is_left_out(tmp_path: Path, cut: bytes) -> None:
    (tmp_path / FILE).write_bytes(b'{"kind":"interrupted","t":1,"signal":"HUP"}\n' + cut)
    assert read(tmp_path) == [Interrupted("HUP", t=1)]


@pytest.mark.parametrize("line", ["{]", "[]", "7", '{"no": "kind"}'])
def test_a_damaged_line_elsewhere_is_trouble(tmp_path: Path, line: str) -> None:
    (tmp_path / FILE).write_text(f'{{"kind":"phase"}}\n{line}\n{{"kind":"phase"}}\n')
    kinds = [event.kind for event in read(tmp_path)]
    assert kinds == ["phase", "trouble", "phase"]


def test_an_empty_stream_has_no_events(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"")
    assert read(tmp_path) == []


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    stream = Stream(tmp_path, Redactor())

    def work() -> None:
        for number in range(50):
            stream.emit(FaultPlanted("x" * 500, str(number)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stream.close()
    assert len(read(tmp_path)) == 400
    assert {type(event) for event in read(tmp_path)} == {FaultPlanted}


def test_a_closed_stream_refuses_events_and_says_which(tmp_path: Path) -> None:
    stream = Stream(tmp_path, Redactor())
    stream.close()
    stream.close()
    with pytest.raises(ValueError, match="'interrupted' event"):
        stream.emit(Interrupted("HUP"))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("redis.log", "logs/redis.log"),
        ("../../etc/passwd", "logs/etc-passwd"),
        ("smoke.routes[/api/health].txt", "logs/smoke.routes-api-health-.txt"),
        ("…", "logs/log"),
        ("hunter2.log", "logs/hunter2.log"),
        ("hunter2-and-more-0.log", "logs/redacted-0.log"),
    ],
)
def test_an_attachment_has_a_safe_name(tmp_path: Path, name: str, path: str) -> None:
    stream = Stream(tmp_path, Redactor(["hunter2", "hunter2-and-more-"]))
    assert stream.attach(name, "a hunter2 \udcff") == path
    assert (tmp_path / path).read_text(encoding="utf-8") == f"a {MARK} ?"


def test_attachments_of_one_name_are_all_kept(tmp_path: Path) -> None:
    stream = Stream(tmp_path, Redactor())
    assert [stream.attach("a.log", text) for text in "xy"] == ["logs/a.log", "logs/a-2.log"]
    assert (tmp_path / "logs/a.log").read_text() == "x"


def test_text_that_is_no_unicode_does_not_break_the_stream(tmp_path: Path) -> None:
    Stream(tmp_path, Redactor()).emit(Trouble("bad \udcff byte"))
    assert json.loads((tmp_path / FILE).read_text(encoding="utf-8"))["message"] == "bad ? byte"


def test_a_picture_is_a_file_of_its_kind_and_an_event(tmp_path: Path) -> None:
    stream = Stream(tmp_path, Redactor(["hunter2"]))
    png, jpeg = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
    paths = [stream.picture("page of hunter2", data) for data in (png, jpeg)]
    stream.close()
    assert [(tmp_path / path).read_bytes() for path in paths] == [png, jpeg]
    assert [Path(path).suffix for path in paths] == [".png", ".jpg"]
    events = read(tmp_path)
    assert [(one.path, one.bytes) for one in events_of_kind(events, Picture)] == [
        (paths[0], len(png)),
        (paths[1], len(jpeg)),
    ]
    assert "hunter2" not in str(events) + str(paths)


FULL = OSError(errno.ENOSPC, "No space left on device")


def fill_up(monkeypatch: pytest.MonkeyPatch, name: str, after: int = 0) -> None:
    """Let the disk be full after so many calls of a function of `os`."""
    calls = itertools.count()
    real = getattr(os, name)

    def full(*args: Any, **options: Any) -> Any:
        if next(calls) >= after:
            raise FULL
        return real(*args, **options)

    monkeypatch.setattr(os, name, full)


@pytest.mark.parametrize("name", ["write", "open", "mkdir"])
def test_a_full_disk_keeps_what_happens_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fill_up(monkeypatch, name)
    stream = Stream(tmp_path / "run", Redactor(["hunter2"]))
    stream.emit(Trouble("saw hunter2"))
    place = stream.attach("api.log", "its end")
    assert stream.picture("page", b"x") == "pictures/page.jpg" or name == "mkdir"
    stream.close()
    monkeypatch.undo()
    assert stream.error is FULL
    assert [event.message for event in events_of_kind(stream.unwritten, Trouble)] == [f"saw {MARK}"]
    assert ("No space left" in place) is (name == "mkdir")
    with pytest.raises(ValueError, match="closed"):
        stream.emit(Trouble("late"))


def test_what_was_written_before_the_disk_was_full_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Stream(tmp_path, Redactor())
    fill_up(monkeypatch, "write", after=1)
    for number in range(3):
        stream.emit(Trouble(str(number)))
    monkeypatch.undo()
    stream.emit(Trouble("3"))  # not after a gap
    stream.close()
    written, unwritten = (
        events_of_kind(one, Trouble) for one in (read(tmp_path), stream.unwritten)
    )
    assert [event.message for event in written] == ["0"]
    assert [event.message for event in unwritten] == ["1", "2", "3"]
