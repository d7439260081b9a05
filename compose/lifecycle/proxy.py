"""The proxy's configuration of each release, and which one it serves: the colour switch.

/live is a volume of the proxy: a folder a release, and `current`, a link to the one that is served.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from compose.containers import Container
from compose.lifecycle.deployment import Deployment, ask, docker, name_of, until
from compose.lifecycle.releases import image
from compose.lifecycle.trouble import Refused
from compose.machine.commands import run
from compose.machine.console import MachineError
from compose.release import Release

LIMIT = 30.0
FILES = "nginx.conf upstreams.conf version.conf mime.types"
DOORS = {8443, 8080, 8000, 3000}
"""Ports on which the proxy takes connections."""


def live(deployment: Deployment) -> Container:
    """The proxy's container."""
    return deployment.container("proxy")


def serving(deployment: Deployment) -> str:
    """The folder that is served now."""
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
        f" /live/{folder}/upstreams.conf"
    )
    volumes = ["--volumes-from", live(deployment).id]
    flags = ["--rm", "--network", "none", "--user", "101:101", "--memory", "64m"]
    docker("run", *flags, *volumes, image("proxy", release), "sh", "-c", script, limit=LIMIT)


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
    """Serve another configuration from now on. Raises `Refused` for one that nginx refuses."""
    proxy = live(deployment).id
    test = f"nginx -e stderr -t -c /live/{folder}/nginx.conf"
    tested = run(["docker", "exec", proxy, "sh", "-c", test], LIMIT)
    if not tested.ok:
        problem = next((x for x in tested.text.splitlines() if "[emerg]" in x), tested.text[-200:])
        raise Refused(f"nginx refuses the proxy's configuration: {problem}")
    _in(
        deployment,
        f"ln -sfn {folder} /live/.next && mv -T /live/.next /live/current && kill -HUP 1",
    )


def _in(deployment: Deployment, script: str) -> str:
    return docker("exec", live(deployment).id, "sh", "-c", script, limit=LIMIT)


def in_flight(deployment: Deployment, old_api: str) -> int:
    """Requests that workers of the former configuration still have to answer, WebSockets left out.

    Every request holds one connection to a client; so does every WebSocket: the API counts those.
    """
    script = (
        "cat /proc/net/tcp; for p in /proc/[0-9]*; do"
        ' if tr "\\0" " " < $p/cmdline 2>/dev/null | grep -q "shutting down"; then'
        " ls -l $p/fd 2>/dev/null; fi; done; true"
    )
    words = _in(deployment, script)
    held = set(re.findall(r"socket:\[(\d+)\]", words))
    clients = [inode for port, inode in _established(words) if port in DOORS and inode in held]
    return max(0, len(clients) - websockets(old_api))


def _established(table: str) -> Iterator[tuple[int, str]]:
    row = r"^ *\d+: [0-9A-F]+:([0-9A-F]{4}) \S+ 01 (?:\S+ ){3} *\S+ +\S+ +(\d+) "
    for port, inode in re.findall(row, table, re.MULTILINE):
        yield int(port, 16), inode


def websockets(api: str) -> int:
    """How many WebSocket clients an API container has."""
    _, text = ask(api, "/api/metrics")
    found = re.search(r"^breakout_bot_websocket_clients (\S+)", text, re.MULTILINE)
    return int(float(found[1])) if found else 0


def await_drained(deployment: Deployment, old_api: str, seconds: float) -> bool:
    """Wait for the requests in flight; False when some are left after `seconds`."""
    return bool(until(lambda: in_flight(deployment, old_api) == 0, seconds))


def access_log(deployment: Deployment, since: str) -> list[dict[str, Any]]:
    """The proxy's log from a time on (RFC 3339 or seconds since 1970), one entry a request."""
    done = run(["docker", "logs", "--since", since, live(deployment).id], LIMIT)
    if not done.ok:
        raise MachineError(f"Expected the proxy's log, but: {done.text[-200:]}")
    return [json.loads(line) for line in done.out.splitlines() if line.startswith('{"time"')]
