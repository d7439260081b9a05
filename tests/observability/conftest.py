"""Share this stage's fixtures with the checks of a stack's own."""

import pytest

from gate.plugin import share
from tests.observability import companions


def pytest_configure(config: pytest.Config) -> None:
    share(config, companions)
