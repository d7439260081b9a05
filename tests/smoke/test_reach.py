"""Every service answers, past the proxy where it can be reached directly, else through it."""

import pytest

from gate import Evidence, check, expect
from gate.target import ENTRY, SERVICES
from gate.wire import RedisReplyError
from tests.smoke.probes import (
    API,
    DIRECT,
    FRONTEND,
    HEALTH,
    PAGE,
    PROXY_VERSION,
    REDIS,
    from_upstream,
)

VIA_PROXY = {ENTRY: PROXY_VERSION, API: HEALTH, FRONTEND: PAGE}


@pytest.mark.parametrize("component", list(VIA_PROXY))
@check(
    "{component}",
    cause="it is down, or the proxy looks for it at another name or port",
    fix="ask it past the proxy, then compare with compose/proxy/upstreams.conf",
    follows=(
        "smoke.containers.is_running[{component}]",
        "smoke.stack.starts[*]",
        "smoke.stack.is_prepared[*]",
        "smoke.tls.certificate_is_trusted",
    ),
)
def test_answers(seen: Evidence, component: str) -> None:
    answer = seen[VIA_PROXY[component]]
    expect(from_upstream(answer), f"an answer of {component}", answer, answer.url)


@pytest.mark.parametrize("component", [s for s in SERVICES if s != ENTRY])
@check(
    "{component}",
    cause="it is down, hangs, or listens on another port or address",
    fix="`docker compose ps {component}` in compose/ and its log",
    needs="direct:{component}",
    follows=(
        "smoke.containers.is_running[{component}]",
        "smoke.stack.starts[*]",
        "smoke.stack.is_prepared[*]",
        "smoke.reach.answers[{component}]",
    ),
)
def test_answers_directly(seen: Evidence, component: str) -> None:
    if component not in DIRECT:
        reply = seen[REDIS][0]  # who is refused was answered: the password has a check of its own
        refused = isinstance(reply, RedisReplyError) and reply.refuses
        return expect(reply == "PONG" or refused, "PONG to a PING", reply)
    answer = seen[DIRECT[component]]
    # 503 is an answer too: what it says is judged by the checks of health.
    return expect(answer.status in (200, 503), "status 200", answer, answer.url)
