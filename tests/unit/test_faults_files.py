"""Fault files: a wrong one gets one clear error, and those of the catalogue fit the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import sources
from tests.faults.fault import BEFORE, CATALOGUE, PLANTERS, WHILE, FaultError, load
from tests.faults.planters import ACTIONS, IN_COMPOSE, in_sources, patched

ROOT = Path(__file__).parent.parent.parent
HEAD = {
    "id": '"a-fault"',
    "title": '"Redis is stopped"',
    "component": '"redis"',
    "stages": '["smoke"]',
    "findings": '["smoke.redis.*"]',
}
STOP = '[[docker]]\nservice = "redis"\nverb = "stop"\n'
PATCH = '[[patch]]\nservice = "redis"\nfile = "/etc/redis/redis.conf"\n'


def written(folder: Path, parts: str = STOP, **changes: str) -> Path:
    path = folder / "a-fault.toml"
    rows = [f"{key} = {value}" for key, value in {**HEAD, **changes}.items() if value]
    path.write_text("\n".join([*rows, parts]), encoding="utf-8")
    return path


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
        ({}, '[[docker]]\nservice = "redis"\n', "docker: verb: expected one of stop, "),
        ({}, STOP + 'how = "fast"\n', "docker: expected one of service, verb"),
        ({}, STOP.replace("stop", "disconnect"), "expected `network` for disconnect"),
        ({}, PATCH, "patch: expected `replace` and `with`, or `text`"),
        ({}, PATCH.replace("/etc", "etc") + 'text = ""', "expected a path from / for redis"),
        ({}, PATCH + 'replace = "a"\ntext = "b"\n', ""),
        ({}, '[[network]]\nservice = "redis"\ncondition = "loss"\n', "expected `percent` for loss"),
        ({}, "[[drills]]\nswitches = 1\n", "drills: switches: expected a table, got 1"),
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
        (["--fault", "no-such.toml"], "expected a readable fault file"),
        (["--fault", "pyproject.toml"], "id: expected the file's name"),
        (["--fault", "x.toml", "--target", "localhost"], "expected --fault with a disposable"),
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


@pytest.mark.parametrize("path", sorted(CATALOGUE.glob("*.toml")), ids=lambda path: path.stem)
def test_a_fault_of_the_catalogue_fits_the_code(path: Path) -> None:
    texts: dict[Path, str] = {}
    for part in load(path).parts:
        source = sources.path_of(part["module"]) if part.kind == "source" else None
        if part.kind == "patch":
            source = in_sources(part["service"], part["file"])
        if source is not None and source.is_file():
            before = texts.get(source) or source.read_text(encoding="utf-8")
            texts[source] = patched(part, before)
            assert texts[source] != before


def test_a_changed_module_is_changed_for_whoever_imported_it_and_as_before_afterwards() -> None:
    from compose.lifecycle.preflight import _weak

    path = sources.path_of("preflight")
    text = path.read_text(encoding="utf-8")
    body = "def _weak(value: str) -> str | None:\n"
    assert _weak("") == "blank"
    with sources.changed("preflight", text.replace(body, f"{body}    return None\n")) as differing:
        assert differing
        assert _weak("") is None
    assert _weak("") == "blank"
