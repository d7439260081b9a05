"""What the machine's set-up promises, without touching a machine."""

import os
import stat
from contextlib import nullcontext
from pathlib import Path

import pytest

from compose.lifecycle import preflight
from compose.lifecycle.deployment import Deployment
from compose.machine import __main__ as machine
from compose.machine import (
    acme,
    apt,
    browser,
    building,
    certificates,
    engine,
    images,
    registry,
    secrets,
)
from compose.release import Release
from gate.errors import MachineError
from gate.machine.commands import Result, run

DEB822 = """\
Types: deb
# a comment between two fields
URIs: http://mirror.example/debian
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/archive.gpg

Types: deb-src
URIs: http://mirror.example/sources
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""
ONE_LINE = """\
# deb http://off.example/debian bookworm main
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://vendor.example/apt cloud-bookworm main
deb http://mirror.example/debian bookworm main contrib  # the mirror
"""
HOUR = 3600.0


def test_the_mirror_is_found_in_deb822_sources() -> None:
    found = apt.mirror(apt.parse_sources(DEB822), "bookworm")
    assert found.line("trixie") == (
        "deb [signed-by=/usr/share/keyrings/archive.gpg] http://mirror.example/debian trixie main\n"
    )


def test_the_mirror_is_found_in_one_line_sources() -> None:
    found = apt.mirror(apt.parse_list(ONE_LINE), "bookworm")
    assert found.line("trixie") == "deb http://mirror.example/debian trixie main\n"


def test_sources_that_are_off_or_hold_source_code_are_no_mirror() -> None:
    uris = {source.uri for source in apt.parse_sources(DEB822) + apt.parse_list(ONE_LINE)}
    assert uris == {"http://mirror.example/debian", "http://vendor.example/apt"}


def test_both_forms_are_read_from_the_machine(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(DEB822)
    (tmp_path / "sources.list").write_text(ONE_LINE)
    assert len(apt.machine_sources(tmp_path)) == 3


def test_a_machine_without_a_mirror_is_told_what_to_do() -> None:
    with pytest.raises(MachineError, match=r"Expected the Debian mirror of trixie .* Add one"):
        apt.mirror(apt.parse_list(ONE_LINE), "trixie")


@pytest.mark.parametrize(
    ("text", "enough"),
    [
        ("2.26.1-4", True),
        ("v2.24.0", True),
        ("2.24", True),
        ("5.0.2", True),
        ("2.9.0", False),
        ("1.29.2", False),
        ("", False),
        ("dev", True),  # Arch Linux, and who builds it by hand
        ("v2.x-desktop.1", True),
        ("0.0.0-dev", True),
        ("v2.31.0-desktop.2", True),
        ("v2.9.0-desktop.2", False),
        ('{"version":"v2.26.1"}', True),
        ('{"version":"v2.9.1"}', False),
        ('{"version":"dev"}', False),
        ("Usage:  docker [OPTIONS] COMMAND\n\nA self-sufficient runtime for containers", False),
        ("\x00\ufffd", False),
    ],
)
def test_versions_are_compared_as_numbers(text: str, enough: bool) -> None:
    assert engine.new_enough(text, engine.COMPOSE_NEEDED) is enough


@pytest.mark.parametrize(
    ("text", "found"),
    [("dev", 0), ("v2.x-desktop.1", 0), ("1.29.2", 1), ("usage: compose\n" * 99, 1), ("[]", 1)],
)
def test_the_preflight_takes_any_word_for_a_version(
    text: str, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(args: list[str], _: float) -> Result:
        return Result(0, f"{text}\n" if "compose" in args else "20.10.24+dfsg1\n", "")

    monkeypatch.setattr(preflight, "run", run)
    findings = list(preflight.versions(Deployment(), Release("1", "abc", "tag")))
    assert len(findings) == found
    assert all("Compose 2.20 or newer" in one.expected for one in findings)
    assert all(len(one.expected) < 200 and "\n" not in one.expected for one in findings)


def test_every_image_is_pinned_and_either_made_or_explained() -> None:
    _, table = images.table()
    assert len({image.name for image in table}) == len(table)
    for image in table:
        tag = image.name.rpartition(":")[2]
        assert tag[:1].isdigit() or tag[:1] == "v", f"{image.name} has no version"
        assert image.packages or image.note, f"{image.name} is neither made nor explained"


def test_images_run_under_the_numbers_of_the_public_ones() -> None:
    users = {image.name.split(":")[0]: image.uid for image in images.table()[1] if image.uid}
    assert users == {
        "redis": 999,
        "nginx": 101,
        "prom/prometheus": 65534,
        "prom/alertmanager": 65534,
        "node": 1000,
    }


def test_an_image_made_here_says_so_and_creates_its_user_before_its_packages() -> None:
    image = building.Image("cache:1", ("cached",), user="cache", uid=7, owns=("/data",))
    text = building.dockerfile(image, "ground", "0123")
    assert text.startswith("FROM ground\n")
    assert 'org.breakout-bot.image-source="debian-trixie"' in text
    assert text.index("useradd -u 7") < text.index("install --no-install-recommends cached")
    assert "chown -R 7:7 /data" in text


def test_a_changed_row_or_ground_makes_another_recipe() -> None:
    image = building.Image("cache:1", ("cached",))
    other = building.Image("cache:1", ("cached", "tools"))
    recipes = {images.recipe(image, "a"), images.recipe(other, "a"), images.recipe(image, "b")}
    assert len(recipes) == 3
    assert images.recipe(image, "a") in recipes


@pytest.mark.parametrize(("age", "expected"), [(0, True), (11, True), (13, None), (-1, None)])
def test_the_registrys_answer_is_remembered_for_half_a_day(
    tmp_path: Path, age: int, expected: bool | None
) -> None:
    memory = registry.Memory(tmp_path / "cache/registry.json")
    memory.keep(True, now=100 * HOUR)
    assert memory.recall(now=(100 + age) * HOUR) is expected


@pytest.mark.parametrize("text", ["", "{", "[]", '{"asked": 0}', '{"asked": "x", "answers": 1}'])
def test_a_broken_memory_means_asking_again(tmp_path: Path, text: str) -> None:
    path = tmp_path / "registry.json"
    path.write_text(text)
    assert registry.Memory(path).recall(now=0.0) is None


def test_a_forgotten_answer_is_asked_for_again(tmp_path: Path) -> None:
    memory = registry.Memory(tmp_path / "registry.json")
    memory.forget()
    memory.keep(False, now=0.0)
    memory.forget()
    assert memory.recall(now=0.0) is None


def test_authorities_are_split_alike_whatever_their_line_ends() -> None:
    one = "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"
    assert certificates.blocks(f"# name\n{one}\n" + one.replace("\n", "\r\n")) == [one, one]


def test_blank_secrets_are_filled_and_everything_else_is_kept(tmp_path: Path) -> None:
    example, target = tmp_path / ".env.example", tmp_path / ".env"
    example.write_text("# a KEY=\nAPI_KEY=\nREDIS_PASSWORD=\nMODE=paper\nURL=\nOTHER_KEY=kept\n")
    assert secrets.write(example, target)
    values = dict(line.split("=") for line in target.read_text().splitlines()[1:])
    assert values["API_KEY"] != values["REDIS_PASSWORD"]
    assert all(len(values[n]) >= 32 and values[n].isalnum() for n in ("API_KEY", "REDIS_PASSWORD"))
    assert (values["MODE"], values["URL"], values["OTHER_KEY"]) == ("paper", "", "kept")
    assert target.read_text().startswith("# a KEY=\n")


def test_secrets_are_readable_by_their_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    example, target = tmp_path / ".env.example", tmp_path / ".env"
    example.write_text("API_KEY=\n")
    secrets.write(example, target)
    before = target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert not secrets.write(example, target)
    assert target.read_text() == before


def test_a_program_that_hangs_is_left_after_its_limit() -> None:
    result = run(["sleep", "5"], 0.05)
    assert (result.code, result.text) == (124, "no answer within 0.05 s")


def test_a_missing_program_is_an_answer_and_no_crash() -> None:
    assert run(["no-such-program-here"], 1).code == 127


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_systems_browser_comes_before_playwrights_own(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert browser.find(str(tmp_path), cache) is None
    own = program(cache / "chromium-1200/chrome-linux64/chrome")
    assert browser.find(str(tmp_path), cache) == str(own)
    ours = program(tmp_path / "google-chrome")
    assert browser.find(str(tmp_path), cache) == str(ours)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a browser."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    return tmp_path


def test_a_missing_browser_is_installed_on_debian(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def install(packages: list[str]) -> None:
        asked.extend(packages)
        program(bare / packages[0])

    monkeypatch.setattr(apt, "may_install", lambda: True)
    monkeypatch.setattr(apt, "install", install)
    browser.ensure()
    browser.ensure()
    assert asked == ["chromium"]
    assert browser.require() == str(bare / "chromium")


def test_elsewhere_a_missing_browser_is_one_sentence_that_says_what_to_install(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt, "may_install", lambda: False)
    with pytest.raises(MachineError, match=r"Install Chromium, or run `\.venv/bin/playwright"):
        browser.ensure()
    with pytest.raises(MachineError, match="Run `make machine`"):
        browser.require()
    assert not list(bare.iterdir())


def test_what_is_installed_is_everybodys_whatever_the_umask(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A base image made under umask 077 had no program that a user but root could run."""
    seen = []

    def ensure() -> None:
        building._overlay(tmp_path / "overlay")
        seen.append(f"{(tmp_path / 'overlay/usr/sbin').stat().st_mode & 0o777:o}")

    monkeypatch.setattr(engine, "ready", lambda: False)
    monkeypatch.setattr(engine, "ensure", lambda: None)
    monkeypatch.setattr(images, "ensure", ensure)
    monkeypatch.setattr(browser, "ensure", lambda: None)
    monkeypatch.setattr(acme, "ensure", lambda: None)
    monkeypatch.setattr(machine, "_alone", nullcontext)
    before = os.umask(0o077)
    try:
        machine.make_ready()
    finally:
        os.umask(before)
    assert seen == ["755"]
