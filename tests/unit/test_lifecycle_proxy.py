"""The switch of the proxy: what is served, when a switch is over, what is still in flight."""

import json
import socket
import sys
from pathlib import Path

import pytest

from compose.lifecycle import proxy
from compose.lifecycle.deployment import API, FRONTEND, Deployment
from compose.lifecycle.errors import Rejected
from compose.release import Release
from gate.errors import MachineError
from tests.unit.lying_docker import LyingDocker, installed, placed

NEW = Release("2", "def", "new")
TCP_HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid inode\n"


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LyingDocker:
    return installed(monkeypatch, tmp_path)


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return placed(tmp_path)


def prepared(docker: LyingDocker, deployment: Deployment, folder: str = "after") -> str:
    """A second colour with a configuration; that configuration's upstreams."""
    for service in (API, FRONTEND):
        docker.add(service, "new")
    api, page = (deployment.container(service) for service in (API, FRONTEND))
    proxy.prepare(deployment, NEW, folder, api, page)
    return (docker.live / folder / "upstreams.conf").read_text()


def test_what_is_served_is_the_link_s_folder(docker: LyingDocker, deployment: Deployment) -> None:
    assert proxy.serving(deployment) == "before"
    assert proxy.live(deployment).id == docker.of("proxy").id


def test_a_configuration_is_prepared_beside_the_served_one_with_the_new_colour_behind_it(
    docker: LyingDocker, deployment: Deployment
) -> None:
    (docker.live / "after").mkdir()
    (docker.live / "after" / "of-a-try-before").touch()
    upstreams = prepared(docker, deployment)
    assert f"default {docker.of(API).name}:8000;" in upstreams
    assert f"default {docker.of(FRONTEND).name}:3000;" in upstreams
    names = {path.name for path in (docker.live / "after").iterdir()}
    assert names == {"nginx.conf", "upstreams.conf", "version.conf", "mime.types"}
    assert docker.served == "before"
    (call,) = [call for call in docker.calls if call.startswith("docker run")]
    assert "breakout-bot/proxy:new" in call
    assert f"--volumes-from {docker.of('proxy').id}" in call
    for flag in ("--rm", "--network none", "--user 101:101", "--memory 64m"):
        assert flag in call


@pytest.mark.parametrize(
    ("settings", "told"),
    [("", '""'), ("grafana", '"grafana"'), ("other,grafana,grafana", '"grafana"')],
)
def test_a_configuration_tells_which_profiles_were_deployed(
    docker: LyingDocker, deployment: Deployment, settings: str, told: str
) -> None:
    with deployment.env_file.open("a", encoding="utf-8") as file:
        file.write(f"COMPOSE_PROFILES={settings}\n")
    rows = [row.split() for row in prepared(docker, deployment).splitlines()]
    assert ["map", '""', "$profiles", "{", "default", f"{told};", "}"] in rows


def test_a_switch_serves_the_new_folder_and_ends_when_no_former_worker_takes_requests(
    docker: LyingDocker, deployment: Deployment
) -> None:
    prepared(docker, deployment)
    proxy.switch(deployment, "after")
    assert docker.served == "after"
    assert docker.serving_api is docker.of(API)
    assert docker.reloads == 1
    assert not list(docker.live.glob(".next"))


def test_a_configuration_that_nginx_refuses_is_never_served(
    docker: LyingDocker, deployment: Deployment
) -> None:
    prepared(docker, deployment)
    (docker.live / "after" / "nginx.conf").write_text("not_a_directive on;")
    with pytest.raises(
        Rejected, match=r"proxy's configuration: nginx: \[emerg\] unknown directive"
    ):
        proxy.switch(deployment, "after")
    assert (docker.served, docker.reloads) == ("before", 0)


def test_a_refusal_without_an_emergency_says_nginx_s_last_words(
    docker: LyingDocker, deployment: Deployment
) -> None:
    docker.answer("exec .*nginx -e stderr", "x" * 300 + "no such container", code=1)
    with pytest.raises(Rejected, match=r"configuration: x+no such container$"):
        proxy.switch(deployment, "after")


def test_a_switch_waits_for_workers_that_leave_late(
    docker: LyingDocker, deployment: Deployment
) -> None:
    prepared(docker, deployment)
    docker.lie("/cmdline", looks=5)
    began = docker.clock.now
    proxy.switch(deployment, "after")
    assert docker.count("/cmdline") == 7, "one of before, five that lie, and the truth"
    assert docker.clock.now - began > 1


def test_a_switch_whose_former_worker_stays_says_so(
    docker: LyingDocker, deployment: Deployment
) -> None:
    prepared(docker, deployment)
    docker.stuck_workers.append("55")
    began = docker.clock.now
    with pytest.raises(
        MachineError, match=r"within 30 s, but a former worker .* `docker logs id1`"
    ):
        proxy.switch(deployment, "after")
    assert 30 < docker.clock.now - began < 35


def test_workers_are_those_that_take_requests(docker: LyingDocker, deployment: Deployment) -> None:
    docker.stuck_workers.append("55")
    assert proxy.workers(deployment) == {"100", "55"}


def test_a_split_sends_a_part_to_the_new_colour_and_the_rest_where_it_went(
    docker: LyingDocker, deployment: Deployment
) -> None:
    new = docker.add(API, "new")
    (docker.live / "half").mkdir()
    (docker.live / "half" / "of-a-try-before").touch()
    proxy.split(deployment, "before", "half", deployment.container(API), 12.5)
    text = (docker.live / "half" / "upstreams.conf").read_text()
    old = docker.all(API)[0]
    line = f'split_clients "$request_id" $api {{ 12.5% {new.name}:8000; * {old.name}:8000; }}'
    assert line in text
    assert 'map "" $api' not in text
    assert 'map "" $frontend' in text
    assert not (docker.live / "half" / "of-a-try-before").exists()
    assert docker.served == "before"


def test_a_split_of_a_configuration_without_an_api_fails(
    docker: LyingDocker, deployment: Deployment
) -> None:
    (docker.live / "before" / "upstreams.conf").write_text("")
    with pytest.raises(MachineError, match="docker exec"):
        proxy.split(deployment, "before", "half", deployment.container(API), 10.0)


def test_the_served_configuration_is_never_forgotten(
    docker: LyingDocker, deployment: Deployment
) -> None:
    prepared(docker, deployment)
    for folder in ("after", "before"):
        proxy.forget(deployment, folder)
    assert not (docker.live / "after").exists()
    assert (docker.live / "before").is_dir()


# In flight


def row(local: int, remote: str, inode: int, state: str = "01") -> str:
    """A row of /proc/net/tcp, as Linux writes it on this machine."""
    host, port = remote.split(":")
    word = int.from_bytes(socket.inet_aton(host), sys.byteorder)
    ends = f"0100007F:{local:04X} {word:08X}:{int(port):04X} {state}"
    return f"   1: {ends} 00000000:00000000 00:00000000 00000000   101        0 {inode} 1 0\n"


def held(*inodes: int) -> str:
    """What `ls -l` shows of the file descriptors of workers that are shutting down."""
    return "".join(f"lrwx------ 1 101 101 64 7 -> socket:[{one}]\n" for one in inodes)


def flying(docker: LyingDocker, deployment: Deployment, shown: str, sockets: int = 0) -> int:
    api = docker.of(API)
    api.sockets = sockets
    docker.connections[docker.of("proxy").id] = TCP_HEAD + shown
    return proxy.in_flight(deployment, api.id)


def test_a_request_that_a_former_worker_holds_is_in_flight(
    docker: LyingDocker, deployment: Deployment
) -> None:
    client, upstream = row(8443, "192.0.2.7:50000", 11), row(50001, f"{docker.of(API).ip}:8000", 12)
    assert flying(docker, deployment, client + upstream + held(11, 12)) == 1


@pytest.mark.parametrize("port", [8443, 8080, 8000, 3000])
def test_requests_count_at_every_port_of_the_proxy(
    docker: LyingDocker, deployment: Deployment, port: int
) -> None:
    assert flying(docker, deployment, row(port, "192.0.2.7:50000", 11) + held(11)) == 1


def test_what_new_workers_hold_or_is_no_longer_established_is_not_in_flight(
    docker: LyingDocker, deployment: Deployment
) -> None:
    shown = row(8443, "192.0.2.7:50000", 11) + row(8443, "192.0.2.8:50000", 12, state="06")
    assert flying(docker, deployment, shown + held(12)) == 0


def test_a_connection_of_the_proxy_to_something_else_is_not_in_flight(
    docker: LyingDocker, deployment: Deployment
) -> None:
    assert flying(docker, deployment, row(9443, "192.0.2.7:50000", 11) + held(11)) == 0


def test_websockets_of_the_api_are_not_waited_for(
    docker: LyingDocker, deployment: Deployment
) -> None:
    clients = "".join(row(8443, f"192.0.2.{one}:50000", one) for one in (11, 12, 13))
    assert flying(docker, deployment, clients + held(11, 12, 13), sockets=2) == 1
    assert flying(docker, deployment, clients + held(11, 12, 13), sockets=5) == 0


def test_what_is_passed_on_to_another_api_is_not_waited_for(
    docker: LyingDocker, deployment: Deployment
) -> None:
    clients = row(8443, "192.0.2.7:50000", 11) + row(8443, "192.0.2.8:50000", 12)
    other = row(50001, "10.9.9.9:8000", 13)
    page = row(50002, "10.9.9.9:3000", 14)
    assert flying(docker, deployment, clients + other + page + held(11, 12, 13, 14)) == 1
    assert docker.count("/api/metrics") == 1
    assert flying(docker, deployment, other + held(13)) == 0
    assert docker.count("/api/metrics") == 1, "a look into the API is spared where it says nothing"


def test_an_api_that_gives_no_metrics_has_no_websockets(
    docker: LyingDocker, deployment: Deployment
) -> None:
    api = docker.of(API)
    api.sockets = 3
    assert proxy.websockets(api.id) == 3
    docker.answer("/api/metrics", "500\nout of order")
    assert proxy.websockets(api.id) == 0
    assert deployment.container(API).id == api.id


def test_draining_ends_when_nothing_is_in_flight_any_more(
    docker: LyingDocker, deployment: Deployment
) -> None:
    client = row(8443, "192.0.2.7:50000", 11) + held(11)
    docker.answer("/proc/net/tcp", TCP_HEAD + client, times=3)
    assert proxy.await_drained(deployment, docker.of(API).id, 20.0) is True
    assert docker.count("/proc/net/tcp") == 4


def test_draining_gives_up_after_its_time(docker: LyingDocker, deployment: Deployment) -> None:
    docker.answer("/proc/net/tcp", TCP_HEAD + row(8443, "192.0.2.7:50000", 11) + held(11))
    began = docker.clock.now
    assert proxy.await_drained(deployment, docker.of(API).id, 5.0) is False
    assert 5 < docker.clock.now - began < 7


def test_an_api_is_known_by_its_address_in_the_front_network(
    docker: LyingDocker, deployment: Deployment
) -> None:
    assert proxy.address(deployment.container(API)) == f"{docker.of(API).ip}:8000"


def test_the_access_log_is_read_from_a_time_on_without_other_lines(
    docker: LyingDocker, deployment: Deployment
) -> None:
    docker.log += [{"time": "2026-11-30T00:00:00+00:00", "status": 200}]
    assert proxy.access_log(deployment, "12.5") == docker.log
    assert f"docker logs --since 12.5 {docker.of('proxy').id}" in docker.calls


def test_a_log_that_cannot_be_read_is_no_empty_log(
    docker: LyingDocker, deployment: Deployment
) -> None:
    docker.fail("docker logs", error="no such driver")
    with pytest.raises(MachineError, match="Expected the proxy's log, but: no such driver"):
        proxy.access_log(deployment, "12.5")
    assert json.dumps(docker.log) == "[]"
