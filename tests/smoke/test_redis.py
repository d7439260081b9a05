"""Redis: with its password only, able to save, and holding on to what it was given."""

from functools import partial
from typing import Any

from gate import Evidence, check, expect, probe
from gate.wire import RedisReplyError, Wire
from tests.smoke.probes import REDIS, redis_info

check_redis = partial(check, "redis", needs="direct:redis")


@probe("redis", "direct:redis")
async def NO_PASSWORD(wire: Wire) -> list[Any]:
    """A question without the password."""
    return await wire.redis(("INFO",))


@check_redis(
    cause="GATE_REDIS_PASSWORD is not set or not this deployment's; or Redis has another",
    fix="set GATE_REDIS_PASSWORD to the deployment's REDIS_PASSWORD",
)
def test_takes_its_password(seen: Evidence) -> None:
    answer = seen[REDIS][0]
    expect(answer == "PONG", "PONG", answer)


@check_redis(
    cause="requirepass is not set: whoever reaches the port owns the lease",
    fix="set REDIS_PASSWORD and start Redis again; then change the API's too",
)
def test_refuses_who_has_no_password(seen: Evidence) -> None:
    answer = seen[NO_PASSWORD][0]
    expect(isinstance(answer, RedisReplyError), "an error: NOAUTH", str(answer)[:80])


@check_redis(
    cause="the disk is full or the data folder cannot be written: Redis refuses writes (MISCONF)",
    fix="free the disk, then `redis-cli BGREWRITEAOF`; look at INFO persistence",
    follows="smoke.redis.takes_its_password",
)
def test_can_save(seen: Evidence) -> None:
    facts = redis_info(seen)
    for name in ("rdb_last_bgsave_status", "aof_last_bgrewrite_status", "aof_last_write_status"):
        expect(facts.get(name, "ok") == "ok", f"{name}: ok", facts.get(name))
    expect(facts.get("loading") == "0", "loading: 0", facts.get("loading"))


@check_redis(
    cause="redis.conf is not loaded or was changed",
    fix="`appendonly yes` in compose/redis/redis.conf, mounted at /etc/redis",
    follows="smoke.redis.takes_its_password",
)
def test_persists_what_it_is_given(seen: Evidence) -> None:
    facts = redis_info(seen)
    expect(facts.get("aof_enabled") == "1", "aof_enabled: 1", facts.get("aof_enabled"))
