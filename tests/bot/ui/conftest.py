"""Let the bot's fixtures replace some of the stage's."""

import pytest

from gate.plugin import share
from tests.bot.ui import fixtures as own
from tests.ui import fixtures


def pytest_configure(config: pytest.Config) -> None:
    share(config, fixtures, own)
