"""Share this stage's fixtures with the checks of a stack's own."""

import pytest

from gate.plugin import share
from tests.ui import fixtures


def pytest_configure(config: pytest.Config) -> None:
    share(config, fixtures)
