"""What a machine was short of is read from /proc, with and without PSI."""

from dataclasses import replace
from pathlib import Path

import pytest

from gate.machine.pressure import Pressure
from tests.unit.clock import FakeClock

MEMORY = "MemTotal:       1000 kB\nMemFree:  1 kB\nMemAvailable:   {available} kB\n"


class Proc:
    """A /proc of its own."""

    def __init__(self, root: Path, psi: bool = True) -> None:
        self.root = root
        self.psi = psi
        (root / "proc" / "pressure").mkdir(parents=True)
        self.set()

    def set(
        self,
        cpu: float = 0.0,
        memory: float = 0.0,
        io: float = 0.0,
        stolen: int = 0,
        load: float = 0.5,
        available: int = 900,
    ) -> None:
        self.write("stat", f"cpu  1 2 3 4 5 6 7 {stolen} 0 0\ncpu0 1\n")
        self.write("meminfo", MEMORY.format(available=available))
        self.write("loadavg", f"{load} 1 1 1/300 99\n")
        for kind, seconds in (("cpu", cpu), ("memory", memory), ("io", io)):
            if self.psi:
                text = f"some avg10=0.00 avg60=0.00 avg300=0.00 total={seconds * 1e6:.0f}\nfull x\n"
                self.write(f"pressure/{kind}", text)

    def write(self, name: str, text: str) -> None:
        (self.root / "proc" / name).write_text(text)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def watched(tmp_path: Path, clock: FakeClock, psi: bool = True) -> tuple[Proc, Pressure]:
    proc, pressure = Proc(tmp_path, psi), Pressure(tmp_path, clock)
    pressure.read()
    clock.sleep(20)
    return proc, pressure


def test_a_quiet_machine_was_short_of_nothing(tmp_path: Path, clock: FakeClock) -> None:
    proc, pressure = watched(tmp_path, clock)
    proc.set(cpu=4, io=1)
    assert pressure.shortage(5) is None
    worst = pressure.worst()
    assert worst is not None
    assert (worst.waited_for_a_core, worst.waited_for_the_disk) == (0.2, 0.05)
    assert worst.shortage is None


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"cpu": 18.0}, "processes waited for a core 90% of the time"),
        ({"memory": 4.0}, "processes waited for memory 20% of the time"),
        ({"io": 10.0}, "processes waited for the disk 50% of the time"),
        ({"available": 30}, "3% of the memory was available"),
        ({"stolen": 20 * 100 * 64}, "its host gave 100% of the processor time to others"),
    ],
)
def test_each_shortage_is_said(
    tmp_path: Path, clock: FakeClock, figures: dict[str, float], said: str
) -> None:
    proc, pressure = watched(tmp_path, clock)
    proc.set(**figures)  # type: ignore[arg-type]
    assert pressure.shortage(5) == said
    worst = pressure.worst()
    assert worst is not None
    assert worst.shortage == said


def test_without_psi_the_load_tells(tmp_path: Path, clock: FakeClock) -> None:
    proc, pressure = watched(tmp_path, clock, psi=False)
    proc.set(load=999)
    assert str(pressure.shortage(5)).startswith("load 999 on ")
    worst = pressure.worst()
    assert worst is not None
    assert worst.waited_for_a_core is None


def test_a_quota_of_the_container_counts_where_the_host_has_room(
    tmp_path: Path, clock: FakeClock
) -> None:
    group = tmp_path / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    (group / "cpu.pressure").write_text("some avg10=0 avg60=0 avg300=0 total=7000000\n")
    _, pressure = watched(tmp_path, clock)
    (group / "cpu.pressure").write_text("some avg10=0 avg60=0 avg300=0 total=26000000\n")
    assert pressure.shortage(5) == "processes waited for a core 95% of the time"


def test_what_was_short_before_a_check_is_not_said_of_it(tmp_path: Path, clock: FakeClock) -> None:
    proc, pressure = watched(tmp_path, clock)
    proc.set(cpu=20)
    pressure.read()
    clock.sleep(30)
    pressure.read()
    clock.sleep(12)
    assert pressure.shortage(11) is None
    worst = pressure.worst()
    assert worst is not None
    assert worst.shortage is not None
    assert worst.seconds == 20


@pytest.mark.parametrize("gone", ["stat", "meminfo", "loadavg"])
def test_where_proc_says_nothing_nothing_is_known(
    tmp_path: Path, clock: FakeClock, gone: str
) -> None:
    (Proc(tmp_path).root / "proc" / gone).unlink()
    pressure = Pressure(tmp_path, clock)
    pressure.read()
    clock.sleep(20)
    assert pressure.shortage(5) is None
    assert pressure.worst() is None


def test_quick_checks_do_not_read_each(tmp_path: Path, clock: FakeClock) -> None:
    pressure = Pressure(Proc(tmp_path).root, clock)
    pressure.read()
    (tmp_path / "proc" / "stat").unlink()
    clock.sleep(0.5)
    pressure.read()
    assert pressure.worst() is None


def test_figures_are_of_this_machine() -> None:
    pressure = Pressure()
    pressure.read()
    worst = pressure.worst()
    assert worst is None or replace(worst, shortage=None).cores > 0
