"""What this process and its container use, sampled away from the event loop."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import psutil

SAMPLE_SECONDS = 2.0
MEMORY_LIMIT_PERCENT = 90.0
DISK_LIMIT_PERCENT = 95.0
_CGROUPS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the resources."""

    cpu_percent: float = 0.0
    memory_percent: float = 0.0
    memory_used_mb: float = 0.0
    disk_usage_percent: float = 0.0
    active_threads: int = 0
    open_files: int = 0
    network_connections: int = 0
    issues: list[str] = field(default_factory=list)


def _cgroup_percent(root: Path) -> float | None:
    for limit_name, used_name, cache_name in _CGROUPS:
        with contextlib.suppress(OSError, ValueError):
            limit, used = root / limit_name, root / used_name
            ceiling = int(limit.read_text())
            if ceiling >= psutil.virtual_memory().total:
                return None
            stat = dict(map(str.split, used.with_name("memory.stat").read_text().splitlines()))
            return (int(used.read_text()) - int(stat[cache_name])) / ceiling * 100
    return None


def memory_percent(root: Path = Path("/sys/fs/cgroup")) -> float:
    """Give the use of the container's memory limit, or of the machine where there is none."""
    percent = _cgroup_percent(root)
    return float(psutil.virtual_memory().percent) if percent is None else percent


def _issues(memory: float, disk: float) -> list[str]:
    found = []
    if memory >= MEMORY_LIMIT_PERCENT:
        found.append(f"memory is {memory:.0f} % used (limit {MEMORY_LIMIT_PERCENT:.0f} %)")
    if disk >= DISK_LIMIT_PERCENT:
        found.append(f"the data disk is {disk:.0f} % used (limit {DISK_LIMIT_PERCENT:.0f} %)")
    return found


def take(process: psutil.Process, folder: Path) -> Sample:
    """Look once; slow enough to belong in a thread."""
    memory, disk = memory_percent(), float(psutil.disk_usage(str(folder)).percent)
    with process.oneshot():
        return Sample(
            cpu_percent=psutil.cpu_percent(),
            memory_percent=round(memory, 1),
            memory_used_mb=round(process.memory_info().rss / 2**20, 1),
            disk_usage_percent=disk,
            active_threads=process.num_threads(),
            open_files=len(process.open_files()),
            network_connections=len(process.net_connections()),
            issues=_issues(memory, disk),
        )


class Resources:
    """Keeps the newest sample."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = psutil.Process()
        self.sample = Sample()

    async def look(self) -> None:
        """Take one sample; a look that fails says so in its issues."""
        try:
            self.sample = await asyncio.to_thread(take, self._process, self._folder)
        except (psutil.Error, OSError) as error:
            self.sample = Sample(issues=[f"resources cannot be read: {type(error).__name__}"])

    async def run(self) -> None:
        """Sample for ever."""
        while True:
            await self.look()
            await asyncio.sleep(SAMPLE_SECONDS)
