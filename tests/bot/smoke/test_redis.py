"""Redis keeps the engine's lease."""

from gate import Evidence, check, expect
from tests.smoke.probes import redis_info


@check(
    "redis",
    cause="a policy that evicts keys may drop the engine's lease under memory pressure",
    fix="`maxmemory-policy noeviction` in compose/redis/redis.conf",
    needs="direct:redis",
    follows="smoke.redis.takes_its_password",
)
def test_never_evicts_the_lease(seen: Evidence) -> None:
    policy = redis_info(seen).get("maxmemory_policy")
    expect(policy == "noeviction", "maxmemory_policy: noeviction", policy)
