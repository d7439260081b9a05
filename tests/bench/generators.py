"""Load generators as they are used, each for one turn on the stalling server: what they report.

Ours, stock Locust, and wrk, hey and autocannon where the machine's package lists provide them.
"""

import csv
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from compose.machine import apt
from compose.machine.registry import cache_folder
from gate.errors import MachineError
from gate.machine.commands import run_checked
from gate.machine.console import say, step
from gate.target import ENTRY, Credentials, Target
from load import profile, runner
from load.judge import quantile
from load.samples import Run
from load.slo import QUANTILES
from tests.bench.record import ROOT
from tests.bench.stalling import SERVED

Reported = dict[str, float]
"""Milliseconds by the quantile's name; without those that a generator does not give."""
STOCK = Path(__file__).with_name("stock.py")
USER_RATE = 4.0
"""Requests a second of each of stock Locust's users."""
CONNECTIONS = 50
AUTOCANNON = "9.0.0"
SPARE_SECONDS = 30.0
NPM_LIMIT = 120.0
SLOWEST = "10s"
PROFILE = """schema = 1
seed = 1
spacing = "even"
in_flight = {in_flight}
{phases}
[[operation]]
request = "GET {path}"
weight = 1
"""
PHASE = """[[phase]]
kind = "measured"
seconds = {seconds}
rate = {rate}
"""
WRK_REPORT = """done = function(summary, latency, requests)
  for _, p in ipairs({50, 95, 99, 99.9}) do print("p" .. p, latency:percentile(p) / 1000) end
end
"""


def target(port: int) -> Target:
    """A server on loopback as the runner takes it."""
    return Target("bench", "disposable", {ENTRY: f"http://127.0.0.1:{port}"})


def our_run(
    port: int, steps: Iterable[tuple[float, float]], in_flight: int, folder: Path, workers: int = 1
) -> Run:
    """A whole run of ours: even arrivals, at each rate for so many seconds."""
    path = folder / "profile.toml"
    phases = "".join(PHASE.format(rate=rate, seconds=seconds) for rate, seconds in steps)
    path.write_text(
        PROFILE.format(in_flight=in_flight, phases=phases, path=SERVED), encoding="utf-8"
    )
    where = target(port)
    return runner.run(
        profile.load(str(path)), where, Credentials(), folder, workers, early_end=False
    )


def ours(port: int, rate: float, seconds: float) -> Reported:
    """Our generator, as its judge reads it."""
    with tempfile.TemporaryDirectory() as name:
        found = our_run(port, [(rate, seconds)], int(rate * seconds), Path(name))
    latency = found.samples.latency_ms[found.samples.ok].astype(float)
    return {name: quantile(latency, q).value for name, q in QUANTILES.items()}


def locust(port: int, rate: float, seconds: float) -> Reported:
    """Stock Locust at its constant throughput, as its table says."""
    users = round(rate / USER_RATE)
    words = ["--headless", "--users", users, "--spawn-rate", 1000, "--run-time", f"{seconds:g}s"]
    with tempfile.TemporaryDirectory() as name:
        table = Path(name) / "stock"
        locust_run(
            "Stock", port, [*words, "--csv", table], seconds, {"USER_RATE": f"{USER_RATE:g}"}
        )
        rows = list(csv.DictReader(Path(f"{table}_stats.csv").read_text("utf-8").splitlines()))
    return {name: float(rows[-1][f"{q * 100:g}%"]) for name, q in QUANTILES.items()}


def locust_run(
    user: str, port: int, words: list[Any], seconds: float, env: dict[str, str] | None = None
) -> None:
    """Stock Locust with one of its users."""
    command = [sys.executable, "-m", "locust", "-f", STOCK, user, "--skip-log", "--only-summary"]
    command += ["--host", f"http://127.0.0.1:{port}", "--exit-code-on-error", "0", *words]
    run_checked("run", [str(word) for word in command], seconds + SPARE_SECONDS, cwd=ROOT, env=env)


def wrk(port: int, _rate: float, seconds: float) -> Reported:
    """wrk knows no rate: as fast as its connections are answered."""
    with tempfile.TemporaryDirectory() as name:
        script = Path(name) / "report.lua"
        script.write_text(WRK_REPORT, encoding="utf-8")
        words = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--timeout", SLOWEST]
        done = run_checked(
            "run", ["wrk", *words, "-s", script, url(port)], seconds + SPARE_SECONDS
        ).out
    told = [line.split() for line in done.splitlines()]
    return {line[0]: float(line[1]) for line in told if line and line[0] in QUANTILES}


def hey(port: int, rate: float, seconds: float) -> Reported:
    """hey keeps a rate for each of its workers, none after a wait."""
    each = str(rate / CONNECTIONS)
    words = ["-z", f"{seconds:g}s", "-c", str(CONNECTIONS), "-q", each, "-t", "10", "-o", "csv"]
    done = run_checked("run", ["hey", *words, url(port)], seconds + SPARE_SECONDS).out
    rows = csv.DictReader(done.splitlines())
    times = np.array([float(row["response-time"]) for row in rows]) * 1000
    return {name: float(np.quantile(times, q)) for name, q in QUANTILES.items()}


def autocannon(port: int, rate: float, seconds: float) -> Reported:
    """autocannon with a rate, which it says it corrects for; it gives no p95."""
    words = ["-c", CONNECTIONS, "-R", f"{rate:g}", "-d", f"{seconds:g}", "-t", "10", "--json"]
    command = ["node", _autocannon() / "autocannon.js", *words, url(port)]
    done = run_checked("run", [str(word) for word in command], seconds + SPARE_SECONDS)
    found = json.loads(done.out)["latency"]
    keys = {"p50": "p50", "p99": "p99", "p99.9": "p99_9"}
    return {name: float(found[key]) for name, key in keys.items()}


def url(port: int) -> str:
    """What is asked for."""
    return f"http://127.0.0.1:{port}{SERVED}"


Generator = Callable[[int, float, float], Reported]
EVERY: dict[str, Generator] = {
    "ours": ours,
    "stock Locust": locust,
    "wrk": wrk,
    "hey": hey,
    "autocannon": autocannon,
}


def there() -> dict[str, Generator]:
    """Those that this machine has or can get; the others are said by name."""
    missing = [name for name in ("wrk", "hey") if not shutil.which(name)]
    if missing and apt.may_install():
        for name in missing:
            _tried(lambda name=name: apt.install([name]))  # type: ignore[misc]
    if shutil.which("npm") and not _autocannon().is_dir():
        _tried(_install_autocannon)
    left = {name for name in ("wrk", "hey") if not shutil.which(name)}
    left |= set() if _autocannon().is_dir() and shutil.which("node") else {"autocannon"}
    for name in sorted(left):
        say(f"{name} cannot be had on this machine: it is left out")
    return {name: generator for name, generator in EVERY.items() if name not in left}


def _tried(install: Callable[[], object]) -> None:
    try:
        install()
    except MachineError as error:
        say(str(error))


def _autocannon() -> Path:
    return cache_folder() / f"autocannon-{AUTOCANNON}" / "node_modules" / "autocannon"


def _install_autocannon() -> None:
    folder = _autocannon().parent.parent
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
    with step(f"installing autocannon {AUTOCANNON}"):
        folder.mkdir(parents=True, exist_ok=True)
        run_checked("install it", ["npm", "install", *quiet, f"autocannon@{AUTOCANNON}"], NPM_LIMIT)
