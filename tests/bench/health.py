"""Is health answered evenly while the engine trades? (`make bench-health`)

Two probes a second for a minute, sent when they are due whether or not the one before was answered,
so that a stalled event loop shows as the wait that it is.
"""

import asyncio
import statistics
import sys
import time

from gate.machine.console import say
from gate.machine.interrupts import run_main
from gate.running import running_stack
from gate.stack import Stack
from gate.target import Target
from gate.wire import Wire
from tests.bench.record import Figure, report
from tests.bench.running import API, control

PER_SECOND = 2
SECONDS = 60
WARM_UP = 10
BEYOND_MS = 20.0


async def probe(wire: Wire, due: float) -> float:
    """Milliseconds from when the probe was due to its answer. Ends the bench unless healthy."""
    await asyncio.sleep(max(0.0, due - time.monotonic()))
    answer = await wire.http("/api/health", API)
    if answer.status != 200:
        sys.exit(f"expected a healthy stack to measure, got {answer.brief}")
    return (time.monotonic() - due) * 1000


async def probes(wire: Wire, count: int) -> list[float]:
    """Latencies of `count` probes at their rate."""
    began = time.monotonic() + 0.1
    return await asyncio.gather(*(probe(wire, began + n / PER_SECOND) for n in range(count)))


async def measure(stack: Stack, target: Target) -> list[Figure]:
    """Start the engine, probe, and make sure that it traded meanwhile."""
    async with Wire(target, stack.credentials, lambda _: None) as wire:
        await control(wire, "/api/engine/start", body={"preset": "aggressive", "mode": "paper"})
        await probes(wire, WARM_UP)
        before = await _cycles(wire)
        say(f"{PER_SECOND} probes a second for {SECONDS} s")
        seen = sorted(await probes(wire, PER_SECOND * SECONDS))
        cycles = await _cycles(wire) - before
    p50, p99 = statistics.median(seen), statistics.quantiles(seen, n=100)[98]
    return [
        Figure("health p50", "ms", [p50]),
        Figure("health p99", "ms", [p99]),
        Figure("health p99 beyond p50", "ms", [p99 - p50], BEYOND_MS),
        Figure("health, slowest", "ms", [seen[-1]]),
        Figure("probes", "probes", [len(seen)], PER_SECOND * SECONDS, "higher"),
        Figure("engine cycles meanwhile", "cycles", [cycles], SECONDS * 0.9, "higher"),
    ]


async def _cycles(wire: Wire) -> int:
    return int((await wire.http("/api/engine/metrics", API)).json()["cycleCount"])


def main() -> int:
    """Measure; 1 when a figure misses its target."""
    with running_stack() as stack:
        return report("health", asyncio.run(measure(stack, stack.target())))


if __name__ == "__main__":
    sys.exit(run_main(main))
