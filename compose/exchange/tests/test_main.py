"""The process ends cleanly when told, at any time."""

import os
import subprocess
import sys
from pathlib import Path


def test_a_signal_during_the_imports_ends_it_with_0(tmp_path):
    told = "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n"
    (tmp_path / "uvicorn.py").write_text(told)
    run = subprocess.run(
        [sys.executable, "-m", "paper_exchange"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{tmp_path}:{Path.cwd()}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
