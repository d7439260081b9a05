"""One stack for all faults: each is planted, judged and taken back."""

from collections.abc import Iterator

import pytest

from compose import stack as stacks
from compose.release import release
from compose.sweep import new_run_id
from tests.faults.plant import Planted


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    """A healthy stack, brought up once."""
    stacks.clean_start()
    with stacks.Stack(new_run_id(), release()) as stack:
        stacks.build(stack.compose, stack.release)
        assert stack.up() is None
        made = Planted(stack, tmp_path_factory.mktemp("faults"))
        made.wait()
        yield made
