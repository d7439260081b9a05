"""Planters: how each kind of fault gets into a stack, is shown to be there, and is taken back.

Two tables: IN_COMPOSE makes pieces of a compose file, for services created anew with them;
ACTIONS are context managers on a running stack. Whatever cannot be shown raises `NotPlanted`.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from compose.release import OWN_SERVICES
from gate.errors import MachineError, WaitError
from gate.machine.commands import run, run_checked
from gate.model import model
from gate.ready import POLL_SECONDS
from gate.stack import Stack
from gate.wait import wait_until
from gate.wire import Answer, Wire, WireError
from tests.bot.lifecycle import pages
from tests.faults import sources
from tests.faults.fault import Fault, FaultError, Part

ROOT = Path(__file__).parent.parent.parent
COMPOSE = ROOT / "compose"
LIMIT = 60.0
EFFECT_SECONDS = 20.0
DELAY_PORT_OFFSET = 20_000


class NotPlanted(MachineError):
    """A fault that did not take, or could not be taken back: nothing is known then."""


# Pieces of a compose file


def patch(stack: Stack, folder: Path, part: Part) -> dict[str, Any]:
    """A changed file: mounted over the original, or, for a file of the sources, built in."""
    service, file = part["service"], part["file"]
    if not file.startswith("/"):
        return _rebuilt(stack, folder, part)
    destination, text = original(stack, service, file)
    # Two patches of one file: the second changes what the first has left.
    path = folder / service / destination.lstrip("/")
    if path.exists():
        text = path.read_text(encoding="utf-8")
    _write(path, patched(part, text))
    return {"volumes": [f"{path}:{destination}:ro"]}


_changed: list[Part] = []
"""Parts whose module this process has loaded changed."""


def patched(part: Part, text: str) -> str:
    """The changed text. Raises `NotPlanted` when there is nothing to replace."""
    if "text" in part.values:
        return str(part["text"])
    if part["replace"] not in text:
        raise NotPlanted(f"expected {_place(part)} to hold {part['replace']!r}, but it does not")
    return text.replace(part["replace"], part["with"])


def _place(part: Part) -> str:
    if part.kind == "patch":
        return f"{part['file']} of {part['service']}"
    return f"module {part['module']}" if part.kind == "source" else f"runbook {part['page']}"


def in_sources(service: str, file: str) -> Path | None:
    """The file of compose/ that is at this place in the container."""
    if not file.startswith("/"):
        return COMPOSE / OWN_SERVICES[service] / file
    for head, name in model().services[service].files.items():
        if (
            file.startswith(head + "/")
            and (path := COMPOSE / name / file[len(head) + 1 :]).exists()
        ):
            return path
    return None


def original(stack: Stack, service: str, file: str) -> tuple[str, str]:
    """The whole path in the container, and the text of a file; `*` in the path stands for a name.

    Raises `NotPlanted` when there is no such file.
    """
    found = in_sources(service, file)
    if found is not None:
        return file, found.read_text(encoding="utf-8")
    # Not `config --images`: that names what the service depends on too, in any order.
    configuration = json.loads(stack.compose.run("config", "--format", "json"))
    image = configuration["services"][service]["image"]
    script = f"set -- {file}; echo $1; cat $1"
    words = ["run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-ec", script]
    shown = _docker(f"read {file} of {service}", *words)
    path, _, text = shown.partition("\n")
    return path, text


def _rebuilt(stack: Stack, folder: Path, part: Part) -> dict[str, Any]:
    service, name = part["service"], OWN_SERVICES[part["service"]]
    context = folder / f"{name}-sources"
    if not context.exists():
        left_out = shutil.ignore_patterns("node_modules", "dist", "__pycache__")
        shutil.copytree(COMPOSE / name, context, ignore=left_out)
    path = context / part["file"]
    if not path.is_file() and "text" not in part.values:
        raise NotPlanted(f"expected {service} to have a source file {part['file']}, but got none")
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    _write(path, patched(part, text))
    return {"image": f"{_fault_image(stack)}:{name}", "build": {"context": str(context)}}


def _fault_image(stack: Stack) -> str:
    return f"breakout-bot/fault-{stack.run_id}"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def environment(_stack: Stack, _folder: Path, part: Part) -> dict[str, Any]:
    """Variables of a service."""
    # Compose would take `$` for a variable of its own.
    return {"environment": {n: v.replace("$", "$$") for n, v in part["variables"].items()}}


IN_COMPOSE: dict[str, Callable[[Stack, Path, Part], dict[str, Any]]] = {
    "patch": patch,
    "environment": environment,
}


def drop_images(stack: Stack) -> None:
    """Remove images that were built for a fault."""
    names = ["docker", "image", "ls", "--quiet", _fault_image(stack)]
    if found := run(names, LIMIT).out.split():
        run(["docker", "image", "rm", "--force", *found], LIMIT)


# Actions on a running stack

UNDO = {
    "stop": ["start"],
    "kill": ["start"],
    "pause": ["unpause"],
}
STATES = {"stop": "exited", "kill": "exited", "pause": "paused", "restart": "running"}


def container(stack: Stack, service: str) -> str:
    """The name of a service's container."""
    return f"{stack.project}-{service}-1"


@contextmanager
def docker(stack: Stack, part: Part) -> Iterator[None]:
    """A docker verb on a container, shown by the state that it leads to."""
    service, verb = part["service"], part["verb"]
    name = container(stack, service)
    if verb == "disconnect":
        with _disconnected(f"{stack.project}_{part['network']}", name, service):
            yield
        return
    words = {"remove": ["rm", "--force"], "stop": ["stop", "-t", "2"]}.get(verb, [verb])
    _docker(f"{verb} {service}", *words, name)
    if verb in STATES:
        _expect(STATES[verb], _inspect(name, "{{.State.Status}}"), f"the state of {service}")
    try:
        yield
    finally:
        if verb == "remove":
            stack.compose.run("up", "--detach", "--no-deps", "--no-build", service)
        elif verb in UNDO:
            run(["docker", *UNDO[verb], name], LIMIT)
        _expect("running", _inspect(name, "{{.State.Status}}"), f"the state of {service}")


@contextmanager
def _disconnected(network: str, name: str, service: str) -> Iterator[None]:
    shown = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}"
    _docker(f"disconnect {service}", "network", "disconnect", network, name)
    _expect(False, network in _inspect(name, shown).split(), f"{service} on the network {network}")
    try:
        yield
    finally:
        run(["docker", "network", "connect", "--alias", service, network, name], LIMIT)
        _expect(True, network in _inspect(name, shown).split(), f"{service} back on {network}")


@contextmanager
def network(stack: Stack, part: Part) -> Iterator[None]:
    """A condition of a container's network, made from the host in its network namespace."""
    name = container(stack, part["service"])
    inside = ["nsenter", "--target", _inspect(name, "{{.State.Pid}}"), "--net"]
    kind = {"delay": _delayed, "rate": _narrowed}.get(part["condition"], _filtered)
    with kind(inside, part):
        yield


@contextmanager
def _filtered(inside: list[str], part: Part) -> Iterator[None]:
    chain = "OUTPUT" if part.values.get("direction") == "out" else "INPUT"
    port = ["-p", "tcp", "--dport", str(part["port"])] if "port" in part.values else []
    chance = str(part.values.get("percent", 100) / 100)
    how = {
        "drop": ["-j", "DROP"],
        "reject": [*([] if port else ["-p", "tcp"]), "-j", "REJECT"],
        "loss": ["-m", "statistic", "--mode", "random", "--probability", chance, "-j", "DROP"],
    }[part["condition"]]
    with _rule([*inside, "iptables"], chain, [*port, *how]):
        yield


@contextmanager
def _rule(iptables: list[str], chain: str, words: list[str]) -> Iterator[None]:
    run_checked("change the network", [*iptables, "-w", "-I", chain, *words], LIMIT)
    run_checked("show the rule", [*iptables, "-w", "-C", chain, *words], LIMIT)
    try:
        yield
    finally:
        run([*iptables, "-w", "-D", chain, *words], LIMIT)
        gone = run([*iptables, "-w", "-C", chain, *words], LIMIT)
        _expect(False, gone.ok, "the rule in iptables")


@contextmanager
def _narrowed(inside: list[str], part: Part) -> Iterator[None]:
    shown = run([*inside, "ip", "-o", "link", "show", "up"], LIMIT).out
    links = re.findall(r"^\d+: (eth\d+)", shown, re.MULTILINE)
    _expect(True, bool(links), "a network of the container to narrow")
    rate = ["rate", f"{part['kbit']:g}kbit", "burst", "1600", "latency", "400ms"]
    try:
        for link in links:
            tc = [*inside, "tc", "qdisc"]
            run_checked(
                "narrow the network", [*tc, "replace", "dev", link, "root", "tbf", *rate], LIMIT
            )
            _expect(True, "tbf" in run([*tc, "show", "dev", link], LIMIT).out, f"tbf on {link}")
        yield
    finally:
        for link in links:
            run([*inside, "tc", "qdisc", "del", "dev", link, "root"], LIMIT)


@contextmanager
def _delayed(inside: list[str], part: Part) -> Iterator[None]:
    """Connections to a port take a way round through a process that waits before it passes on."""
    port = int(part["port"])
    listen = port + DELAY_PORT_OFFSET
    words = ["-m", "tests.faults.delay", str(listen), str(port), str(part["ms"])]
    # It lives as long as its standard input: no orphan stays when this process is killed.
    detour = subprocess.Popen(
        [*inside, sys.executable, *words],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        _expect("ready", _first_line(detour), f"the way round to port {port}")
        direct = ["-p", "tcp", "--dport", str(port)]
        away = [*direct, "-j", "REDIRECT", "--to-ports", str(listen)]
        # Connections that stand already would go on undelayed: they are cut, and made again.
        cut = ["!", "-i", "lo", *direct, "-j", "REJECT", "--reject-with", "tcp-reset"]
        with (
            _rule([*inside, "iptables", "-t", "nat"], "PREROUTING", away),
            _rule([*inside, "iptables"], "INPUT", cut),
        ):
            yield
    finally:
        detour.kill()
        detour.communicate(timeout=LIMIT)


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    deadline = time.monotonic() + LIMIT
    while not (line := process.stdout.readline()) and process.poll() is None:
        if time.monotonic() > deadline:
            return "nothing"
        time.sleep(POLL_SECONDS)
    return line.strip()


@contextmanager
def script(stack: Stack, part: Part) -> Iterator[None]:
    """A shell script in a container, or, as root, in a fresh one with the container's volumes."""
    _script(stack, part, "script")
    if "shows" in part.values:
        _script(stack, part, "shows")
    try:
        yield
    finally:
        if "undo" in part.values:
            _script(stack, part, "undo")


def _script(stack: Stack, part: Part, key: str) -> None:
    name = container(stack, part["service"])
    user = ["--user", part.values.get("user") or ("0" if part.values.get("volumes") else "")]
    words = ["exec", *(user if user[1] else ()), name, "sh", "-ec", part[key]]
    if part.values.get("volumes"):
        volumes = [*_volumes(name), "--network", "none"]
        image = _inspect(name, "{{.Image}}")
        words = ["run", "--rm", *user, *volumes, "--entrypoint", "sh", image, "-ec", part[key]]
    _docker(f"run the {key} in {part['service']}", *words)


def _volumes(name: str) -> list[str]:
    """Options that mount a container's volumes to be written, also those it may only read."""
    shown = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}}:{{.Destination}} {{end}}{{end}}'
    return [word for one in _inspect(name, shown).split() for word in ("--volume", one)]


@contextmanager
def drills(stack: Stack, part: Part) -> Iterator[None]:
    """Failure switches of the paper exchange."""
    answer = _ask(stack, "exchange", "/drills", "PUT", json=part["switches"])
    _expect(200, answer.status, f"the answer to PUT /drills ({answer.brief})")
    try:
        yield
    finally:
        _ask(stack, "exchange", "/drills", "DELETE")


@contextmanager
def effect(stack: Stack, part: Part) -> Iterator[None]:
    """Wait until the fault shows from outside: an answer that matches."""
    seconds = part.values.get("seconds", EFFECT_SECONDS)
    what = f"{part['path']} of {part['service']} to match {part['matches']!r}"
    matches = re.compile(part["matches"]).search
    try:
        wait_until(
            lambda: _told(stack, part["service"], part["path"]),
            seconds,
            what,
            matches,
            every=POLL_SECONDS,
        )
    except WaitError as late:
        raise NotPlanted(f"{str(late)[:600]} …") from None
    yield


def _told(stack: Stack, service: str, path: str) -> str:
    try:
        answer = _ask(stack, service, path)
    except WireError as error:
        return str(error)
    return f"{answer.status} {answer.text}"


def _ask(stack: Stack, service: str, path: str, method: str = "GET", **options: Any) -> Answer:
    target = stack.target()

    async def ask() -> Answer:
        async with Wire(target, stack.credentials, lambda _: None) as wire:
            return await wire.http(path, service, method, **options)

    return asyncio.run(ask())


def change_sources(fault: Fault) -> None:
    """Change the lifecycle's modules, before anything has imported one. Raises `FaultError`.

    A change that does not take is told when the fault is planted.
    """
    for part in (part for part in fault.parts if part.kind == "source"):
        try:
            sources.change(part["module"], patched(part, sources.text_of(part["module"])))
            _changed.append(part)
        except NotPlanted:
            continue
        except MachineError as error:
            raise FaultError(f"{fault.path}: {error}; give no path of a check") from None


@contextmanager
def source(_stack: Stack, part: Part) -> Iterator[None]:
    """A changed module of the lifecycle package, in the gate and in programs that it starts."""
    module, text = part["module"], sources.text_of(part["module"])
    if part not in _changed:
        patched(part, text)
        raise NotPlanted(f"expected {module} to be changed when this process began")
    before = sources.path_of(module).read_text(encoding="utf-8")
    _expect(False, sources.same_code(text, before), f"{module} doing what it did")
    _expect(True, sources.here(module) == text, f"{module} to differ in this process")
    _expect(True, sources.elsewhere(module) == text, f"{module} to differ for other programs")
    yield


@contextmanager
def page(_stack: Stack, part: Part) -> Iterator[None]:
    """A changed runbook, shown by its command blocks."""
    name = part["page"]
    before = pages.blocks(name)
    with pages.changed(name, patched(part, pages.text(name))):
        _expect(True, pages.blocks(name) != before, f"a command of {name} to differ")
        yield


ACTIONS: dict[str, Callable[[Stack, Part], AbstractContextManager[None]]] = {
    "docker": docker,
    "network": network,
    "run": script,
    "drills": drills,
    "source": source,
    "page": page,
    "effect": effect,
}


# Small things


def _docker(what: str, *words: str) -> str:
    return run_checked(what, ["docker", *words], LIMIT).out


def _inspect(name: str, template: str) -> str:
    return _docker(f"look at {name}", "inspect", "--format", template, name).strip()


def _expect(expected: object, seen: object, what: str) -> None:
    if seen != expected:
        raise NotPlanted(f"expected {what} to be {expected}, but got {seen}")
