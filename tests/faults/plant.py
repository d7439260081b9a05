"""Planting: one real stack that stands as a live target, and ways to break and mend it."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compose.machine.commands import must, run
from compose.stack import POLL_SECONDS, Stack
from compose.target import SERVICES, Target

ROOT = Path(__file__).parent.parent.parent
LIMIT = 60.0
GATE_LIMIT = 120.0


@dataclass(frozen=True)
class Outcome:
    """What one run of the gate said."""

    code: int
    verdict: dict[str, Any]
    output: str

    @property
    def roots(self) -> list[tuple[str, str]]:
        """(component, check) of each finding."""
        return [(one["component"], one["check"]) for one in self.verdict["findings"]]


def gate(
    *arguments: str,
    folder: Path,
    environment: dict[str, str] | None = None,
    limit: float = GATE_LIMIT,
) -> Outcome:
    """Run the gate as a user does, in a process of its own, for at most `limit` seconds."""
    command = [sys.executable, "-m", "pytest", *arguments, f"--report-dir={folder}"]
    base = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(folder)}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**base, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    path = folder / "latest" / "verdict.json"
    verdict = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return Outcome(done.returncode, verdict, done.stdout + done.stderr)


class Planted:
    """A running stack, judged from outside as a live target described by a file."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder

    def judge(self, *arguments: str) -> Outcome:
        """One smoke run against the stack as it stands."""
        path = self.folder / "target.toml"
        path.write_text(described(self.stack.target(), self.stack.project), encoding="utf-8")
        secrets = {"GATE_REDIS_PASSWORD": self.stack.credentials.redis_password or ""}
        words = ["-m", "smoke", f"--target={path}", *arguments]
        return gate(*words, folder=self.folder, environment=secrets)

    def wait(self) -> None:
        """Wait until the stack is well again; Docker takes seconds to see a health check pass."""
        deadline = time.monotonic() + LIMIT
        while problems := self.stack.ready(self.stack.target()):
            assert time.monotonic() < deadline, problems
            time.sleep(POLL_SECONDS)
        self.stack.settle(self.stack.target())

    def container(self, service: str) -> str:
        """The name of a service's container."""
        return f"{self.stack.project}-{service}-1"

    @contextmanager
    def docker(self, plant: list[str], undo: list[str]) -> Iterator[None]:
        """A docker command, and the one that takes it back."""
        must("plant a fault", ["docker", *plant], LIMIT)
        try:
            yield
        finally:
            must("take a fault back", ["docker", *undo], LIMIT)
            self.wait()

    @contextmanager
    def override(self, service: str, text: str) -> Iterator[None]:
        """A service created anew with one more compose file on top."""
        path = self.folder / "override.yaml"
        path.write_text(text, encoding="utf-8")
        up = ["up", "--detach", "--no-deps", "--no-build", "--pull", "never", service]
        self.stack.compose.run("-f", str(path), *up)
        try:
            yield
        finally:
            self.stack.compose.run(*up)
            self.wait()

    @contextmanager
    def certificate(self, days: int, name: str) -> Iterator[None]:
        """A certificate of the stack's own CA, for `days` days and `name`."""
        make = (
            "cd /tls && cp server.crt kept.crt && cp server.key kept.key && cd /tmp &&"
            " openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
            f" -subj /CN={name} -keyout key -out csr 2>/dev/null &&"
            f" printf 'subjectAltName=DNS:{name}\\nauthorityKeyIdentifier=keyid\\n' >ext &&"
            f" openssl x509 -req -in csr -CA /tls/ca.crt -CAkey /tls/ca.key -days {days}"
            " -extfile ext -out crt 2>/dev/null &&"
            " cat crt >/tls/server.crt && cat key >/tls/server.key"
        )
        self._in_tls(make)
        try:
            yield
        finally:
            self._in_tls("cd /tls && cat kept.crt >server.crt && cat kept.key >server.key")

    def _in_tls(self, script: str) -> None:
        image = f"breakout-bot/proxy:{self.stack.release.tag}"
        volume = f"{self.stack.project}_tls:/tls"
        shell = ["--user", "0", "--entrypoint", "sh", image, "-ec", script]
        must("write a certificate", ["docker", "run", "--rm", "-v", volume, *shell], LIMIT)

    def logs(self, service: str) -> str:
        """Everything that a service has written to its log."""
        return run(["docker", "logs", self.container(service)], LIMIT).text


def described(target: Target, project: str) -> str:
    """A target file for a stack."""
    rows = [f'{s} = "{target.urls.get(s) or _without(target, s)}"' for s in SERVICES]
    return "\n".join(
        [
            'name = "planted"',
            'kind = "live"',
            f'project = "{project}"',
            f'ca_file = "{target.ca_file}"',
            f'plain_http = "{target.plain_http}"',
            "[services]",
            *rows,
        ]
    )


def _without(target: Target, service: str) -> str:
    return "absent" if service in target.left_out else "internal"
