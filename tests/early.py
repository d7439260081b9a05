"""An installed pytest plugin (pyproject.toml) that lets the gate's options take a path.

pytest looks for its project before it knows any option but its own, so that in
`pytest --target /etc/gate/prod.toml` the file counts as a test path, and its folder becomes the
root: without our conftest.py, the options are unknown. Written as one word, `--target=FILE`, all
is well; this writes them so.

Not in gate/: of the package that has an installed plugin pytest rewrites the assertions, module by
module, which costs a live smoke run a twentieth of its time where that is the engine.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parent.parent
OPTIONS = frozenset(
    {
        *("--target", "--ca-file", "--report-dir", "--compose-file", "--fault", "--baseline"),
        *("--previous-contract", "--load-profile"),
    }
)
"""The options of the gate that take a path."""


def pytest_addoption(pluginmanager: "pytest.PytestPluginManager") -> None:
    """Start over with joined words, where pytest took a value for its project.

    This is the first hook that is called once the root is known, before output is captured.
    """
    if None in (sys.stdout, sys.stderr):  # closed by the caller: pytest cannot do without
        import gate.machine.console  # noqa: F401 - opens them
    require_temporary_folder()
    config: Any = pluginmanager.get_plugin("pytestconfig")
    if config.rootpath != ROOT and (config.rootpath / "tests" / Path(__file__).name).is_file():
        import pytest

        raise pytest.UsageError(
            f"expected the checks of {config.rootpath}, got those of {ROOT}, to whose .venv this"
            " pytest belongs; `make venv-gate` makes one for this folder"
        )
    given = config.invocation_params
    words = list(joined([str(word) for word in given.args]))
    astray = config.rootpath != ROOT and given.dir.is_relative_to(ROOT)
    if astray and words != sys.argv[1:] == list(given.args):
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *words])


def require_temporary_folder() -> None:
    """End with the code of UNDECIDED where no file can be made: pytest's capture would crash."""
    try:
        tempfile.gettempdir()
    except OSError as error:
        from gate.machine.limits import machine_error

        sys.stderr.write(f"UNDECIDED: {machine_error(error) or error}\n")
        raise SystemExit(6) from None


def joined(words: Sequence[str]) -> Iterator[str]:
    """`--target FILE` as `--target=FILE`, for each option of the gate that takes a path."""
    rest = iter(words)
    for word in rest:
        value = next(rest, None) if word in OPTIONS else None
        yield word if value is None else f"{word}={value}"
