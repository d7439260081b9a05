"""Every command block of docs/runbooks, run in order in the situation that its page is for."""

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from compose.lifecycle import proxy, verify
from compose.lifecycle.deploy import running
from compose.lifecycle.deployment import Deployment, docker, holds_within
from compose.lifecycle.steps import StepName
from compose.release import Release
from gate import check, expect
from gate.target import Target
from tests.bot.lifecycle import pages
from tests.bot.lifecycle.disposable import words
from tests.bot.lifecycle.drills import kill_at, update_to
from tests.bot.lifecycle.witness import start_engine


def idle(_: Deployment) -> None:
    """The page begins with a deployment that is well."""


def without_exchange(deployment: Deployment) -> None:
    """The exchange is away, and the bot has noticed."""
    docker("stop", "--time", "2", deployment.container("exchange").id)
    holds_within(
        lambda: verify.look(_where(deployment), "/api/health").get("status") == "degraded", 20
    )


def without_redis(deployment: Deployment) -> None:
    """Redis and all it held are gone, and the bot has noticed."""
    docker("rm", "--force", deployment.container("redis").id)
    docker("volume", "rm", deployment.volume("redis-data"))
    holds_within(lambda: not verify.look(_where(deployment), "/api/health"), 20)


def broken_off(deployment: Deployment) -> None:
    """An update was killed while the new release was verified."""
    with TemporaryDirectory() as name:
        kill_at(deployment, update_to(running(deployment)), StepName.VERIFY, Path(name))


SITUATIONS: dict[str, Callable[[Deployment], None]] = {
    "deploy": idle,
    "update": start_engine,
    "rollback": start_engine,
    "restore": start_engine,
    "emergency-stop": start_engine,
    "exchange-outage": without_exchange,
    "disk-full": idle,
    "host-restart": broken_off,
    "certificate-renewal": idle,
    "lost-redis": without_redis,
    "rotated-keys": idle,
}


@pytest.mark.parametrize("page", list(SITUATIONS))
@check(
    "stack",
    cause="a command of the page no longer does what the page says",
    fix="run the block that is named by hand, and mend docs/runbooks/{page}.md or what it calls",
    needs=("stack", "proxy", "api"),
    follows="bot.lifecycle.deploy.runs_what_should_run",
)
def test_works(
    deployment: Deployment, first: Release, second: Release, tmp_path: Path, page: str
) -> None:
    SITUATIONS[page](deployment)
    environment = surroundings(deployment, tmp_path, second if page == "update" else first)
    pages.follow(page, environment)
    holds_within(lambda: not deployment.unhealthy_services(), 30)
    expect(
        not deployment.unhealthy_services(),
        "every service well at the end",
        deployment.unhealthy_services(),
    )


@pytest.fixture(autouse=True)
def in_order(deployment: Deployment) -> Iterator[None]:
    """Whatever a page that does not work leaves, the next one finds a deployment that is well."""
    yield
    if deployment.unhealthy_services() or not deployment.containers("redis"):
        deployment.compose("up", "--detach", "--no-recreate", release=running(deployment))
        holds_within(lambda: not deployment.unhealthy_services(), 60)


def surroundings(deployment: Deployment, folder: Path, wanted: Release) -> dict[str, str]:
    """What docs/runbooks/README.md tells people to set."""
    where = _where(deployment)
    pages.lead(folder, where)
    return pages.shell(folder) | {
        "PROJECT": deployment.project,
        "SETTINGS": str(deployment.env_file),
        "STATE": str(deployment.state),
        "BOT": where.url,
        "CA": str(where.ca_file),
        "API_KEY": deployment.credentials.api_key or "",
        "LIFECYCLE_OPTIONS": shlex.join(words(deployment)),
        "BOT_TAG": wanted.tag,
        "BOT_VERSION": wanted.version,
        "BOT_REVISION": wanted.revision,
    }


def _where(deployment: Deployment) -> Target:
    return verify.target(deployment, proxy.live(deployment))
