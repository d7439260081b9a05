"""One healthy stack for many tests."""

from collections.abc import Iterator

import pytest

from gate.stack import Stack
from tests.faults.runs import healthy_stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A healthy stack, brought up once."""
    with healthy_stack() as made:
        yield made
