"""The deployment that the lifecycle's checks work on: a stack of its own, beside the run's."""

from collections.abc import Iterator

import pytest

from compose.lifecycle.deployment import Deployment
from compose.lifecycle.errors import Rejected
from compose.release import Release, release
from gate import fail
from tests.bot.lifecycle import candidates
from tests.bot.lifecycle.disposable import deployed, disposable


@pytest.fixture(scope="session")
def first() -> Release:
    """The release of this tree."""
    return release()


@pytest.fixture(scope="session")
def deployment(first: Release) -> Iterator[Deployment]:
    """This tree, deployed."""
    with disposable() as made:
        try:
            deployed(made, first)
        except Rejected as refused:
            fail("a deploy that ends well", refused)
        yield made


@pytest.fixture(scope="session")
def second(first: Release, deployment: Deployment) -> Iterator[Release]:
    """Another release of the same code."""
    made = candidates.make(first, f"next-{deployment.project[-6:]}")
    yield made
    candidates.forget(made)
