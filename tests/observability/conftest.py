"""Share this stage's fixtures with the checks of a stack's own."""

import pytest
from pytest_docker import plugin as docker

from gate.plugin import share
from tests.observability import companions


def pytest_configure(config: pytest.Config) -> None:
    share(config, docker, companions)  # the last one's fixtures count
