"""Changed modules in the programs that a gate with a planted fault starts.

Python runs this file as it begins where `tests.faults.sources.environment` has put this folder on
its path. A changed module is loaded from the text that the variable holds, whatever its file says,
and no bytecode of it is kept.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

VARIABLE = "GATE_CHANGED_SOURCES"
TEXTS: dict[str, str] = json.loads(os.environ.get(VARIABLE, "{}"))
"""Changed texts by the whole names of their modules."""


class Changed(SourceFileLoader):
    """Gives the changed text of a module."""

    def path_stats(self, _path: object) -> dict[str, object]:
        raise OSError("a changed module has no file, so that no bytecode of it is read or kept")

    def get_data(self, _path: object) -> bytes:
        return TEXTS[self.name].encode()


class Finder(MetaPathFinder):
    """Finds changed modules where they would be found anyway."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in TEXTS else None
        if spec is not None and spec.origin is not None:
            spec.loader = Changed(fullname, spec.origin)
        return spec


if __name__ == "sitecustomize":
    sys.meta_path.insert(0, Finder())
