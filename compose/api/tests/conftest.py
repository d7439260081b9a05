"""A bot whose Redis and exchange refuse connections for real, and whose database is real."""

import dataclasses
import socket

import pytest
from breakout_bot.app import create_app
from breakout_bot.services import Services
from breakout_bot.settings import Settings
from fastapi.testclient import TestClient

KEY = "planted-key-0123456789"
PASSWORD = "planted-redis-password"


@pytest.fixture(scope="session")
def closed_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def settings(tmp_path, closed_port):
    return Settings(
        api_key=KEY,
        redis_password=PASSWORD,
        redis_host="127.0.0.1",
        redis_port=closed_port,
        exchange_url=f"http://127.0.0.1:{closed_port}",
        data_dir=tmp_path,
        cors_origins=("https://bot.example.org",),
        tick_seconds=0.05,
        version="1.2.3",
        revision="abc",
    )


@pytest.fixture
def boot(settings):
    """Give a way to boot the bot; a second boot is a restart on the same data."""

    def _boot(prepare=None, **changes):
        services = Services(dataclasses.replace(settings, **changes))
        services.engine.load()
        if prepare:
            services.database.now(prepare)
        return TestClient(create_app(services), raise_server_exceptions=False)

    return _boot


@pytest.fixture
def client(boot):
    with boot() as client:
        yield client


@pytest.fixture
def keyed():
    return {"X-API-Key": KEY}
