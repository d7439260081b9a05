"""The manifest: which checks have to run for PROMOTE, whatever was collected.

`manifest.toml` lists every check with what it needs of a target. It is a file of its own so that
a check that vanishes (deleted, renamed, skipped at import) is missed. `python -m gate.manifest`
(`make manifest`) writes it from the checks.
"""

import json
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gate.checks import Check, stage_of
from gate.errors import UsageError
from gate.model import model
from gate.stages import STAGES, TESTS, folders

if TYPE_CHECKING:
    import pytest

FILE = TESTS / "manifest.toml"
HEAD = """\
# Every check and what it needs of a target; all whose needs a target has must run for PROMOTE.
# Written by `make manifest`, read by every run: a line that goes is a promise that goes.
"""

Manifest = dict[str, dict[str, tuple[str, ...]]]
"""stage → check id → needs"""

UNMET = {
    "disposable": "it changes the stack, so it runs on a disposable one only",
    "stack": "this run did not bring the stack up, so it may not restart its containers",
    "acme": "a local ACME server needs a stack that this run brought up",
    "previous-contract": "no --previous-contract was given",
    "baseline": "no --baseline was given",
    "expected-version": "no --expect-version was given, so that any will do",
    "expected-revision": "no --expect-revision was given, so that any will do",
    "project": "Docker has no containers of this target here",
}


def load(path: Path = FILE) -> Manifest:
    """The manifest on disk."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        stage: {check: tuple(needs) for check, needs in table.get(stage, {}).items()}
        for stage in STAGES
    }


def required(manifest: Manifest, stage: str, has: Iterable[str]) -> list[str]:
    """Checks of a stage that must run on a target that has `has`."""
    had = set(has)
    return [check for check, needs in manifest[stage].items() if had.issuperset(needs)]


def unmet(needs: Iterable[str], has: Iterable[str]) -> str:
    """Why a check cannot run on a target: the first need that is not met, in words."""
    missing = next(iter(sorted(set(needs) - set(has))))
    if missing in UNMET:
        return UNMET[missing]
    service = missing.removeprefix("direct:")
    if service != missing:
        return f"{service} cannot be reached directly on this target"
    return f"this target has no {service}"


def text(manifest: Mapping[str, Mapping[str, Iterable[str]]]) -> str:
    """The manifest as a file."""
    parts = [HEAD]
    for stage, checks in manifest.items():
        rows = [f'"{check}" = {json.dumps(list(needs))}\n' for check, needs in checks.items()]
        if rows:
            parts.append(f"\n[{stage}]\n" + "".join(rows))
    return "".join(parts)


def collected() -> Manifest:
    """The manifest as the checks in this work tree make it."""
    return sorted_in(items())


def sorted_in(checks: Iterable[tuple[str, Check]]) -> Manifest:
    """Give the manifest of these checks. Raises `UsageError` for a need that no target can meet."""
    found: Manifest = {stage: {} for stage in STAGES}
    services = model().services
    known = {*UNMET, *services, *(f"direct:{service}" for service in services)}
    for name, item in checks:
        # A misspelt one would never be met, and so the check never be required.
        for need in set(item.needs) - known:
            raise UsageError(
                f"{name}: expected needs to be services, direct:SERVICE or one of"
                f" {', '.join(UNMET)}; got {need!r}"
            )
        found[stage_of(name)][name] = item.needs
    return found


def items() -> list[tuple[str, Check]]:
    """Every check of this work tree with its id, in the order that pytest collects them."""
    import pytest

    from gate.checks import described, identifier, node

    found: list[tuple[str, Check]] = []

    class Collector:
        def pytest_configure(self, config: pytest.Config) -> None:
            for plugin in (plugin for stage in STAGES.values() for plugin in stage.plugins):
                config.pluginmanager.import_plugin(plugin)

        def pytest_collection_finish(self, session: pytest.Session) -> None:
            for item in session.items:
                assert isinstance(item, pytest.Function)
                check = described(item.function, parameters(item))
                if check is not None:
                    found.append((identifier(node(item)), check))

    paths = [str(folder) for folder in folders(STAGES)]
    code = pytest.main(["--collect-only", "-qq", "--no-summary", *paths], plugins=[Collector()])
    if code != pytest.ExitCode.OK:
        raise SystemExit(f"expected the checks to be collected, got pytest's exit code {code}")
    return found


def is_own(item: "pytest.Item") -> bool:
    """Return whether a check is one of the stack's own."""
    return item.path.parent.parent != TESTS


def parameters(item: object) -> dict[str, object]:
    """The parameters of a parametrized test; empty for others."""
    callspec = getattr(item, "callspec", None)
    return dict(callspec.params) if callspec is not None else {}


def main() -> int:
    """Write manifest.toml and say what changed."""
    before = {check for checks in load().values() for check in checks} if FILE.exists() else set()
    try:
        found = collected()
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    FILE.write_text(text(found), encoding="utf-8")
    after = {check for checks in found.values() for check in checks}
    for mark, checks in (("+", after - before), ("-", before - after)):
        sys.stdout.writelines(f"{mark} {check}\n" for check in sorted(checks))
    sys.stdout.write(f"{FILE.name}: {len(after)} checks\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
