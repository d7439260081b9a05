"""What the author of a check imports."""

import subprocess
import sys
from pathlib import Path

import pytest

import gate

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("name", gate.__all__)
def test_all_that_a_check_needs_is_there(name: str) -> None:
    assert getattr(gate, name).__name__ == name


def test_a_name_that_is_not_there_is_said() -> None:
    with pytest.raises(AttributeError, match="module 'gate' has no attribute 'expcet'"):
        _ = gate.expcet
    with pytest.raises(ImportError, match="cannot import name 'expcet'"):
        exec("from gate import expcet")


def test_the_names_of_a_check_that_only_looks_import_no_operator() -> None:
    script = (
        "import sys; import gate; assert 'gate.checks' not in sys.modules;"
        "from gate import check, expect, fail, get, probe, Evidence, Probe;"
        "assert 'gate.operator' not in sys.modules and 'testcontainers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=30)
