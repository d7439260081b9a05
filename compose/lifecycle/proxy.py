"""The proxy's configuration of each release, and which one it serves: the colour switch.

/live is a volume of the proxy: a folder a release, and `current`, a link to the one that is served.
docs/drain.md tells step by step how an update goes through it, and what was measured.
"""

import json
import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from compose.lifecycle.deployment import (
    PROXY,
    Deployment,
    ask,
    docker,
    holds_within,
    inspected,
    name_of,
)
from compose.lifecycle.errors import Rejected
from compose.lifecycle.releases import image
from compose.release import Release
from gate.containers import Container
from gate.errors import MachineError
from gate.machine.commands import run

LIMIT = 30.0
FILES = "nginx.conf upstreams.conf version.conf mime.types"
API_PORT = 8000
ESTABLISHED = re.compile(
    r"^ *\d+: [0-9A-F]+:([0-9A-F]{4}) ([0-9A-F]+):([0-9A-F]{4}) 01 (?:\S+ ){3} *\S+ +\S+ +(\d+) ",
    re.MULTILINE,
)
"""A row of /proc/net/tcp: the local port, the remote address and port, the socket's number."""
WORKER = re.compile(r"^(\d+) nginx: worker process$", re.MULTILINE)
"""A process id and title; the worker of a former configuration `is shutting down`."""
LISTENER_PORTS = {8443, 8080, 8000, 3000}
"""Ports on which the proxy takes connections."""


def live(deployment: Deployment) -> Container:
    """Find the proxy's container."""
    return deployment.container(PROXY)


def serving(deployment: Deployment) -> str:
    """Read which folder is served now."""
    return _in(deployment, "readlink /live/current").strip()


def prepare(
    deployment: Deployment, release: Release, folder: str, api: Container, frontend: Container
) -> None:
    """Write a release's configuration beside the served one, with these two behind it."""
    script = (
        f"rm -rf /live/{folder} && mkdir /live/{folder} && cd /etc/nginx &&"
        f" cp {FILES} /live/{folder} && sed -i"
        f" -e 's/ breakout-bot-api:8000/ {name_of(api)}:8000/'"
        f" -e 's/ breakout-bot-frontend:3000/ {name_of(frontend)}:3000/'"
        f" -e '/ $profiles /s/ unknown;/ \"{','.join(deployment.profiles)}\";/'"
        f" /live/{folder}/upstreams.conf"
    )
    volumes = ["--volumes-from", live(deployment).id]
    flags = ["--rm", "--network", "none", "--user", "101:101", "--memory", "64m"]
    docker("run", *flags, *volumes, image(PROXY, release), "sh", "-c", script, limit=LIMIT)


def split(deployment: Deployment, base: str, folder: str, new: Container, percent: float) -> None:
    """Write the served configuration again, with `percent` of the API's requests to `new`."""
    script = (
        f"rm -rf /live/{folder} && cp -r /live/{base} /live/{folder} && cd /live/{folder} &&"
        " old=$(sed -n 's/^map \"\" $api  *{ default \\([^;]*\\);.*/\\1/p' upstreams.conf) &&"
        ' [ -n "$old" ] && sed -i \'/^map "" $api /d\' upstreams.conf &&'
        f' printf \'split_clients "$request_id" $api {{ {percent:g}%% {name_of(new)}:8000;'
        ' * %s; }\\n\' "$old" >> upstreams.conf'
    )
    _in(deployment, script)


def forget(deployment: Deployment, folder: str) -> None:
    """Remove a configuration that is not served."""
    _in(deployment, f'[ "$(readlink /live/current)" = {folder} ] || rm -rf /live/{folder}')


def switch(deployment: Deployment, folder: str) -> None:
    """Serve another configuration: once this returns, no worker of a former one takes requests.

    Raises `Rejected` for one that nginx refuses, `MachineError` when it does not take it up.
    """
    proxy = live(deployment).id
    test = f"nginx -e stderr -t -c /live/{folder}/nginx.conf"
    tested = run(["docker", "exec", proxy, "sh", "-c", test], LIMIT)
    if not tested.ok:
        problem = next((x for x in tested.text.splitlines() if "[emerg]" in x), tested.text[-200:])
        raise Rejected(f"nginx refuses the proxy's configuration: {problem}")
    former = workers(deployment)
    _in(
        deployment,
        f"ln -sfn {folder} /live/.next && mv -T /live/.next /live/current && kill -HUP 1",
    )
    # Until then a look at what is in flight would miss what they have just taken.
    if not holds_within(lambda: former.isdisjoint(workers(deployment)), LIMIT):
        raise MachineError(
            f"Expected the proxy to reload within {LIMIT:g} s, but a former worker still takes"
            f" requests: read `docker logs {proxy[:12]}`, then give this command again."
        )


def workers(deployment: Deployment) -> set[str]:
    """List the workers that take requests, by process id."""
    script = "cd /proc; for p in [0-9]*; do echo $p $(tr '\\0' ' ' < $p/cmdline); done 2>&-"
    return set(WORKER.findall(_in(deployment, script)))


def _in(deployment: Deployment, script: str) -> str:
    return docker("exec", live(deployment).id, "sh", "-c", script, limit=LIMIT)


def in_flight(deployment: Deployment, api: str) -> int:
    """Count requests to an API that workers of former configurations still have to answer.

    Each request holds a connection to a client. So does a WebSocket, but those the API counts, and
    what is passed on to another API already holds a connection to that one. Requests that are
    still being taken in are passed on later: they count, whichever API they will go to.
    """
    script = (
        'cat /proc/net/tcp; cd /proc; for p in $(grep -la "shutting down" [0-9]*/cmdline); do'
        " ls -l ${p%cmdline}fd; done; true"
    )
    listing = _in(deployment, script)
    held = set(re.findall(r"socket:\[(\d+)\]", listing))
    rows = [row for row in _established(listing) if row.inode in held]
    clients = sum(row.local_port in LISTENER_PORTS for row in rows)
    own = address(inspected([api])[0])
    others = sum(row.remote.endswith(f":{API_PORT}") and row.remote != own for row in rows)
    if clients <= others:  # spares a look into the API
        return 0
    return max(0, clients - others - websockets(api))


@dataclass(frozen=True)
class Connection:
    """One of the proxy's established TCP connections."""

    local_port: int
    remote: str
    """`IP:PORT`."""
    inode: str


def _established(table: str) -> Iterator[Connection]:
    """Read those in the text of /proc/net/tcp, whose addresses are words of the machine in hex."""
    for local, word, remote, inode in ESTABLISHED.findall(table):
        ip = socket.inet_ntoa(int(word, 16).to_bytes(4, sys.byteorder))
        yield Connection(int(local, 16), f"{ip}:{int(remote, 16)}", inode)


def address(api: Container) -> str:
    """Give the address at which the proxy reaches an API container, as its log has it."""
    networks = api.inspected["NetworkSettings"]["Networks"]
    front = next(value for name, value in networks.items() if name.endswith("_front"))
    return f"{front['IPAddress']}:{API_PORT}"


def websockets(api: str) -> int:
    """Ask how many WebSocket clients an API container has."""
    _, text = ask(api, "/api/metrics")
    match = re.search(r"^breakout_bot_websocket_clients (\S+)", text, re.MULTILINE)
    return int(float(match[1])) if match else 0


def await_drained(deployment: Deployment, api: str, seconds: float) -> bool:
    """Wait for an API's requests in flight; False when some are left after `seconds`."""
    return bool(holds_within(lambda: in_flight(deployment, api) == 0, seconds))


def access_log(deployment: Deployment, since: str) -> list[dict[str, Any]]:
    """Read the proxy's log from a time on (RFC 3339 or seconds since 1970), an entry a request."""
    done = run(["docker", "logs", "--since", since, live(deployment).id], LIMIT)
    if not done.ok:
        raise MachineError(f"Expected the proxy's log, but: {done.text[-200:]}")
    return [json.loads(line) for line in done.out.splitlines() if line.startswith('{"time"')]
