"""Debian's packages: from the machine's own sources, and from a newer suite of the same mirror."""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gate.errors import MachineError
from gate.machine.commands import run, run_checked
from gate.machine.console import step

SUITE = "trixie"
SOURCES = Path("/etc/apt")
OS_RELEASE = Path("/etc/os-release")
POLICY = Path("/usr/sbin/policy-rc.d")
SYSTEMD = Path("/run/systemd/system")
UPDATE_LIMIT = 180
INSTALL_LIMIT = 600
ONE_LINE = re.compile(
    r"^deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)$"
)


@dataclass(frozen=True)
class Source:
    """One binary package source of the machine."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""

    def line(self, suite: str) -> str:
        """Write it down for another suite, in apt's one-line form."""
        options = f"[signed-by={self.signed_by}] " if self.signed_by.startswith("/") else ""
        return f"deb {options}{self.uri} {suite} main\n"


def parse_list(text: str) -> list[Source]:
    """Read the one-line form (sources.list)."""
    lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return [_one_line(match) for match in map(ONE_LINE.match, lines) if match]


def _one_line(match: re.Match[str]) -> Source:
    options = dict(
        option.split("=", 1) for option in (match["options"] or "").split() if "=" in option
    )
    return Source(
        match["uri"],
        (match["suite"],),
        tuple(match["components"].split()),
        options.get("signed-by", ""),
    )


def parse_sources(text: str) -> list[Source]:
    """Read the deb822 form (debian.sources)."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return [source for stanza in re.split(r"\n\s*\n", lines) for source in _stanza(_fields(stanza))]


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1].isspace():
            fields[name] = f"{fields.get(name, '')} {line.strip()}"
        elif ":" in line:
            name, value = line.split(":", 1)
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _stanza(fields: dict[str, str]) -> Iterator[Source]:
    if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes") == "no":
        return
    suites = tuple(fields.get("suites", "").split())
    components = tuple(fields.get("components", "").split())
    for uri in fields.get("uris", "").split():
        yield Source(uri, suites, components, fields.get("signed-by", ""))


def machine_sources(root: Path = SOURCES) -> list[Source]:
    """Read every source the machine has."""
    lists = [root / "sources.list", *sorted((root / "sources.list.d").glob("*.list"))]
    found = [parse_list(path.read_text()) for path in lists if path.is_file()]
    deb822 = sorted((root / "sources.list.d").glob("*.sources"))
    found += [parse_sources(path.read_text()) for path in deb822]
    return [source for sources in found for source in sources]


def release(path: Path = OS_RELEASE) -> dict[str, str]:
    """Read which system this is."""
    text = path.read_text() if path.is_file() else ""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {name: value.strip('"') for name, value in pairs}


def may_install() -> bool:
    """Whether packages can be installed here: Debian, and we are root."""
    return release().get("ID") == "debian" and os.geteuid() == 0


def mirror(sources: Iterable[Source], codename: str) -> Source:
    """Find the machine's Debian mirror among its sources."""
    for source in sources:
        if codename in source.suites and "main" in source.components:
            return source
    raise MachineError(
        f"Expected the Debian mirror of {codename} in {SOURCES}, but no source there names it. "
        "Add one, or install what is missing by hand."
    )


def machine_mirror() -> Source:
    """Find the mirror that this machine uses."""
    return mirror(machine_sources(), release().get("VERSION_CODENAME", ""))


def install(packages: Sequence[str]) -> None:
    """Install packages from the machine's own sources."""
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installing {' '.join(packages)}"), no_service_starts():
        run(["apt-get", "-q", "update"], UPDATE_LIMIT)
        run_checked(
            f"install {' '.join(packages)}",
            ["apt-get", "-qy", "install", "--no-install-recommends", *packages],
            INSTALL_LIMIT,
            env=quiet,
        )


@contextmanager
def no_service_starts() -> Iterator[None]:
    """Keep packages from starting services where no systemd would manage them."""
    if SYSTEMD.exists() or POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


@contextmanager
def unpacked(packages: Sequence[str], suite: str = SUITE) -> Iterator[Path]:
    """Unpack a suite's packages into a folder, leaving the system's own sources alone."""
    with tempfile.TemporaryDirectory(prefix="breakout-bot-apt-") as name:
        folder = Path(name)
        options = _own_state(folder, suite)
        run_checked(
            f"read {suite}", ["apt-get", "-q", *options, "update"], UPDATE_LIMIT, cwd=folder
        )
        run_checked(
            f"download {' '.join(packages)}",
            ["apt-get", "-q", *options, "download", *packages],
            INSTALL_LIMIT,
            cwd=folder,
        )
        for package in sorted(folder.glob("*.deb")):
            run_checked(f"unpack {package.name}", ["dpkg", "-x", package, folder / "root"], 60)
        yield folder / "root"


def _own_state(folder: Path, suite: str) -> list[str]:
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "suite.list").write_text(machine_mirror().line(suite))
    settings = {
        "Dir::Etc::sourcelist": folder / "suite.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    return [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
