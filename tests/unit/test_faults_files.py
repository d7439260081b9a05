"""Fault files: a wrong one gets one clear error, and those of the catalogue fit the code."""

import re
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from gate.stack import Stack
from tests.bot.lifecycle import pages
from tests.faults import sources
from tests.faults.fault import BEFORE, CATALOGUE, PLANTERS, WHILE, FaultError, Part, load
from tests.faults.planters import (
    ACTIONS,
    IN_COMPOSE,
    NotPlanted,
    change_sources,
    in_sources,
    patched,
)

ROOT = Path(__file__).parent.parent.parent
HEAD = {
    "id": '"a-fault"',
    "title": '"Redis is stopped"',
    "component": '"redis"',
    "stages": '["smoke"]',
    "findings": '["smoke.redis.*"]',
}
STOP = '[[docker]]\nservice = "redis"\nverb = "stop"\n'
SOURCE = '[[source]]\nmodule = "backups"\nreplace = "a"\n'
PAGE = '[[page]]\npage = "update"\nreplace = "a"\nwith = "b"\n'
NO_STACK = cast(Stack, None)
PATCH = '[[patch]]\nservice = "redis"\nfile = "/etc/redis/redis.conf"\n'


def written(folder: Path, parts: str = STOP, **changes: str) -> Path:
    path = folder / "a-fault.toml"
    rows = [f"{key} = {value}" for key, value in {**HEAD, **changes}.items() if value]
    path.write_text("\n".join([*rows, parts]), encoding="utf-8")
    return path


LOSS = '[[network]]\nservice = "redis"\ncondition = "loss"\n'
RATE = '[[network]]\nservice = "redis"\ncondition = "rate"\nkbit = 8\n'
EFFECT = '[[effect]]\nservice = "proxy"\npath = "/"\nmatches = "(["\n'


@pytest.mark.parametrize(
    ("change", "parts", "said"),
    [
        ({"id": '"other"'}, STOP, "id: expected 'a-fault', the file's name, got 'other'"),
        ({"title": '""'}, STOP, "title: expected text, got ''"),
        ({"title": ""}, STOP, "title: expected text, got nothing"),
        ({"component": '"postgres"'}, STOP, "component: expected one of proxy, "),
        ({"stages": '["smok"]'}, STOP, "got ['smok']"),
        ({"stages": "[]"}, STOP, "stages: expected a list of stages"),
        ({"findings": '["smoke.no.such"]'}, STOP, "got 'smoke.no.such'"),
        ({"stages": '["smoke", "control"]'}, STOP, "expected a check of the stage control"),
        ({"when": '"later"'}, STOP, "when: expected one of before start, while running"),
        ({"when": '"before start"'}, STOP, "when: expected 'while running' for docker"),
        ({"previous_contract": "1"}, STOP, "previous_contract: expected text, got 1"),
        ({"colour": '"red"'}, STOP, "got the unknown key 'colour'"),
        ({}, "", "got nothing to plant"),
        ({"docker": '"stop"'}, "", "docker: expected a table, got 'stop'"),
        ({}, '[[docker]]\nservice = "redis"\n', "docker[0].verb: expected one of stop, "),
        ({}, STOP + 'how = "fast"\n', "docker[0].how: expected one of service, verb"),
        ({}, STOP.replace("stop", "disconnect"), "expected `network` for disconnect"),
        ({}, PATCH, "patch[0]: expected `replace` and `with`, or `text`"),
        ({}, PATCH.replace("/etc", "etc") + 'text = ""', "expected a path from / for redis"),
        ({}, PATCH + 'replace = "a"\ntext = "b"\n', ""),
        ({}, '[[network]]\nservice = "redis"\ncondition = "loss"\n', "expected `percent` for loss"),
        ({}, LOSS + "percent = 101\n", "percent: expected a number above 0, at most 100, got 101"),
        ({}, RATE + "port = 80\n", "expected no `port` for rate"),
        ({}, EFFECT, "effect[0].matches: expected a regular expression, got '(['"),
        ({}, "[[drills]]\nswitches = 1\n", "drills[0].switches: expected a table, got 1"),
        ({}, SOURCE, "source[0].with: expected text, perhaps empty, got nothing"),
        ({}, SOURCE.replace("backups", "backup"), "source[0].module: expected one of __main__, "),
        (
            {},
            PAGE.replace("update", "upgrade"),
            "page[0].page: expected one of certificate-renewal",
        ),
        ({}, PAGE + 'service = "redis"\n', "page[0].service: expected one of page, replace, with"),
        ({"x": "="}, STOP, "expected TOML, got"),
    ],
)
def test_a_wrong_file_is_refused_with_file_key_expected_and_given(
    tmp_path: Path, change: dict[str, str], parts: str, said: str
) -> None:
    path = written(tmp_path, parts, **change)
    if not said:
        assert load(path).parts  # `text` wins over half a replacement
        return
    with pytest.raises(FaultError, match=re.escape(said)) as raised:
        load(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--fault", "no-such.toml"], "expected a readable file"),
        (["--fault", "pyproject.toml"], "id: expected the file's name"),
        (["--fault", "x.toml", "--target", "localhost"], "expected --fault with a disposable"),
        (["--collect-only", "--fault", "pyproject.toml"], "id: expected the file's name"),
    ],
)
def test_a_bad_fault_ends_with_4_before_anything_starts(words: list[str], said: str) -> None:
    command = [sys.executable, "-m", "pytest", "-m", "smoke", *words]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 4, done.stdout + done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_when_follows_from_what_is_planted(tmp_path: Path) -> None:
    assert load(written(tmp_path)).when == WHILE
    both = load(written(tmp_path, PATCH + 'text = ""\n' + STOP))
    assert both.when == BEFORE
    assert [part.kind for part in both.overrides] == ["patch"]
    assert [part.kind for part in both.actions] == ["docker"]


def test_every_kind_of_planter_is_planted_somewhere() -> None:
    assert set(PLANTERS) == {*IN_COMPOSE, *ACTIONS, "override"}


def original(part: Part) -> Path | None:
    """The file of this tree that a part changes."""
    if part.kind == "source":
        return sources.path_of(part["module"])
    if part.kind == "page":
        return pages.PAGES / f"{part['page']}.md"
    return in_sources(part["service"], part["file"]) if part.kind == "patch" else None


@pytest.mark.parametrize("path", sorted(CATALOGUE.glob("*.toml")), ids=lambda path: path.stem)
def test_a_fault_of_the_catalogue_fits_the_code(path: Path) -> None:
    texts: dict[Path, str] = {}
    for part in load(path).parts:
        file = original(part)
        if file is not None and file.is_file():
            before = texts.get(file) or file.read_text(encoding="utf-8")
            texts[file] = patched(part, before)
            assert texts[file] != before


CHANGED = """
import subprocess, sys
from contextlib import ExitStack
from pathlib import Path
from tests.faults import planters, sources
from tests.faults.fault import Part, load
from tests.faults.planters import ACTIONS
from tests.bot.lifecycle import pages

assert sources.environment() == {}
fault = load(Path(sys.argv[1]))
planters.change_sources(fault)
from compose.lifecycle import preflight

with ExitStack() as planted:
    for part in fault.parts:
        planted.enter_context(ACTIONS[part.kind](None, part))
assert preflight._weak("") is None
words = [sys.executable, "-m", "compose.lifecycle", "backup", "--help"]
shell = pages.shell(Path("/nowhere"))
print(subprocess.run(words, env=shell, capture_output=True, text=True, timeout=30).stdout)
"""
WEAK = "def _weak(value: str) -> str | None:"
CHANGES = [
    ("preflight", WEAK, f"{WEAK}\n    return None"),
    ("__main__", '"--keep"', '"--kept"'),
    ("__main__", '"--verify"', '"--prove"'),
]


def with_changes(folder: Path, *changes: tuple[str, str, str]) -> subprocess.CompletedProcess[str]:
    """A process of its own that changes modules, as a gate with such a fault does."""
    parts = "".join(
        f"[[source]]\nmodule = '{module}'\nreplace = '{old}'\nwith = '''{new}'''\n"
        for module, old, new in changes
    )
    path = written(folder, parts, stages='["lifecycle"]', findings='["bot.lifecycle.*"]')
    command = [sys.executable, "-c", CHANGED, str(path)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_changed_module_is_changed_here_and_for_programs_that_are_started(tmp_path: Path) -> None:
    done = with_changes(tmp_path, *CHANGES)
    assert done.returncode == 0, done.stderr
    assert re.search("--prove.*--kept", done.stdout, re.DOTALL)
    assert "--keep " not in done.stdout


def test_a_changed_docstring_is_no_changed_module(tmp_path: Path) -> None:
    done = with_changes(tmp_path, ("backups", "Backups: a", "x"))
    assert "NotPlanted: expected backups doing what it did to be False" in done.stderr


def test_a_module_that_is_there_already_is_not_changed_any_more(tmp_path: Path) -> None:
    from compose.lifecycle import backups

    parts = "[[source]]\nmodule = 'backups'\nreplace = 'a'\nwith = 'b'\n"
    path = written(tmp_path, parts, stages='["lifecycle"]', findings='["bot.lifecycle.*"]')
    with pytest.raises(FaultError, match=f"change {backups.__name__} before it is imported"):
        change_sources(load(path))


def test_a_changed_page_is_followed_and_as_before_afterwards() -> None:
    former = Part("page", {"page": "update", "replace": "status.sh", "with": "state.sh"})
    before = pages.blocks("update")
    with ACTIONS["page"](NO_STACK, former):
        assert pages.blocks("update") == [one.replace("status.sh", "state.sh") for one in before]
    assert pages.blocks("update") == before


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("source", {"module": "backups"}, "expected module backups to hold 'no such', but"),
        ("page", {"page": "update"}, "expected runbook update to hold 'no such', but"),
        ("page", {"page": "update", "replace": "# Update"}, "a command of update to differ"),
    ],
)
def test_a_change_that_does_not_take_is_said(kind: str, values: dict[str, str], said: str) -> None:
    part = Part(kind, {"replace": "no such", "with": "x", **values})
    with pytest.raises(NotPlanted, match=re.escape(said)), ACTIONS[kind](NO_STACK, part):
        pass
