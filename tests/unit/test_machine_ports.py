"""Ports that nobody else is given meanwhile."""

import socket

import pytest

from gate.machine import ports


def test_are_different_and_outside_of_what_kernel_and_docker_give_away() -> None:
    found = ports.free_ports(20)
    begins = int(ports.LOCAL_RANGE.read_text(encoding="ascii").split()[0])
    assert len(set(found)) == 20
    assert all(ports.FIRST <= port < begins for port in found)


def test_one_that_is_held_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as holder:
        holder.bind((ports.LOOPBACK, ports.free_port()))
        taken = holder.getsockname()[1]
        monkeypatch.setattr(ports, "FIRST", taken)
        monkeypatch.setattr(ports, "_local_range_begins", lambda: taken + 2)
        assert ports.free_port() == taken + 1


def test_without_room_below_the_range_the_kernel_gives_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_local_range_begins", lambda: ports.FIRST)
    assert ports.free_port() > 0
