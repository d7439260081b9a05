"""The import directions of ARCHITECTURE.md hold, and a live smoke run stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from gate.stages import STAGES

ROOT = Path(__file__).parent.parent.parent
FOLDERS = ("compose", "gate", "tests", "contracts", "load", "reports")
SERVICES = ("api", "exchange", "frontend")
ALLOWED = {
    "reports": {"reports"},
    "gate": {"gate", "reports"},
    "compose": {"compose", "gate", "reports"},
    "contracts": {"contracts", "gate", "reports"},
    "load": {"load", "gate", "reports"},
    "tests": {"tests", "contracts", "load", "compose", "gate", "reports"},
}
HEAVY = ("locust", "schemathesis", "testcontainers", "docker", "hypothesis", "redis")


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def modules(folder: str) -> list[Path]:
    services = [ROOT / "compose" / name for name in SERVICES]
    paths = (ROOT / folder).rglob("*.py")
    return [path for path in paths if not any(path.is_relative_to(one) for one in services)]


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_go_one_way(folder: str) -> None:
    wrong = {
        str(path.relative_to(ROOT)): sorted(bad)
        for path in modules(folder)
        if (bad := imported(path) & set(FOLDERS) - ALLOWED[folder])
    }
    assert not wrong


@pytest.mark.parametrize("service", ["api", "exchange"])
def test_the_bot_imports_nothing_of_the_suite(service: str) -> None:
    for path in (ROOT / "compose" / service).rglob("*.py"):
        assert not imported(path) & {*FOLDERS, "conftest"} - {"tests", "conftest"}, path


def test_the_suite_imports_nothing_of_the_bot() -> None:
    for folder in FOLDERS:
        for path in modules(folder):
            assert not imported(path) & {"breakout_bot", "paper_exchange"}, path


def test_a_live_smoke_run_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys, pytest;"
        "words = ['-m', 'smoke', '--target', 'https://127.0.0.1:1', '--report-dir=' + sys.argv[1]];"
        "pytest.main(words);"
        f"print('heavy:', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "heavy: []" in done.stdout, done.stdout + done.stderr
    assert "can be reached" in done.stdout  # it was the gate that ran


def test_every_folder_says_its_job_in_one_sentence() -> None:
    for folder in FOLDERS:
        init = ROOT / folder / "__init__.py"
        if init.parent.is_dir():
            assert ast.get_docstring(ast.parse(init.read_text(encoding="utf-8")))


OWN_CHECKS = ("tests/bot",)
"""Folders of one product's own checks, a folder a stage."""
STAGES_OF_CHECKS = [ROOT / parent / stage for parent in ("tests", *OWN_CHECKS) for stage in STAGES]
BY_ITSELF = ("httpx", "redis", "requests", "socket", "subprocess", "urllib.request", "websockets")
"""What reaches the outside world past the gate's wire and operator."""
ALLOWED_BY_ITSELF = {
    "tests/contract/explorer.py": "requests: the types that Schemathesis speaks; the wire sends",
    "tests/contract/test_chains.py": "requests: the error that Schemathesis raises",
    "tests/bot/lifecycle/candidates.py": "subprocess: git makes the releases to update to",
    "tests/bot/lifecycle/drills.py": "subprocess, socket: killed commands, ports in the way",
    "tests/bot/lifecycle/pages.py": "subprocess: a runbook is typed into a shell",
    "tests/bot/lifecycle/test_deploy.py": "socket: a port that is taken is what preflight finds",
    "tests/bot/lifecycle/traffic.py": "websockets: connections held open while the proxy switches",
}


HTTP = ("httpx", "requests", "urllib.request", "http.client", "websockets", "websocket")
SPEAK_HTTP = {
    "gate/wire": "the wire itself",
    "load/client.py": "the generator: trusts and connects as the wire does",
    "load/locustfile.py": "its WebSockets, the same",
    "contracts/fuzz.py": "requests: an adapter that hands cases to the wire",
    "compose/lifecycle/alert.py": "a webhook of the operator's, no target",
    "tests/bench/judge.py": "httpx: times answers over the wire's own transport",
    "tests/unit": "servers and answers to test with",
    **{place: why for place, why in ALLOWED_BY_ITSELF.items() if "requests:" in why},
    "tests/bot/lifecycle/traffic.py": ALLOWED_BY_ITSELF["tests/bot/lifecycle/traffic.py"],
}
"""Who may speak HTTP besides: everything else asks the wire, with its one trust."""


def named(path: Path) -> set[str]:
    """Return the modules that a module imports, with what is imported from them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {dotted(path): path for path in (ROOT / "tests").rglob("*.py")}
GRAPH = {name: (named(path) & MODULES.keys()) - {name} for name, path in MODULES.items()}
CHECK_FILES = [path for folder in STAGES_OF_CHECKS for path in sorted(folder.glob("*.py"))]


def test_no_module_imports_a_check_file() -> None:
    wrong = {
        name: sorted(checks)
        for name, imports in GRAPH.items()
        if not name.startswith("tests.unit.")  # what they have besides checks is tested there
        and (checks := {one for one in imports if one.rpartition(".")[2].startswith("test_")})
    }
    assert not wrong


def test_the_modules_of_tests_import_each_other_in_no_circle() -> None:
    left = dict(GRAPH)
    while ready := [name for name, imports in left.items() if not imports & left.keys()]:
        for name in ready:
            del left[name]
    assert not left


def test_checks_for_any_stack_import_nothing_of_a_stack_s_own() -> None:
    own = tuple(folder.replace("/", ".") for folder in OWN_CHECKS)
    for path in CHECK_FILES:
        if not dotted(path).startswith(own):
            assert not [one for one in GRAPH[dotted(path)] if one.startswith(own)], path


def test_nobody_speaks_http_past_the_wire() -> None:
    clients = {
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in modules(folder)
        if any(name == one or name.startswith(f"{one}.") for name in named(path) for one in HTTP)
    }
    past = {path for path in clients if not path.startswith(tuple(SPEAK_HTTP))}
    assert not past
    assert all(any(path.startswith(place) for path in clients) for place in SPEAK_HTTP)


def test_checks_reach_the_outside_through_the_wire_alone() -> None:
    past = {str(path.relative_to(ROOT)) for path in CHECK_FILES if named(path) & {*BY_ITSELF}}
    assert past == ALLOWED_BY_ITSELF.keys()
