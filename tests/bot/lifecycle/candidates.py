"""Releases to update to: images made from those of this tree, equal, renamed or broken."""

import secrets
import subprocess
from collections.abc import Mapping, Sequence

from compose.lifecycle.deployment import API, FRONTEND, PROXY
from compose.lifecycle.releases import image
from compose.release import OWN_SERVICES, Release
from gate.containers import REVISION_LABEL, VERSION_LABEL
from gate.machine.commands import run_checked, variables_of

BUILD_LIMIT = 120.0
USERS = {API: "10001:10001", FRONTEND: "101:101", PROXY: "101:101"}


def revision() -> str:
    """A commit that no other release has."""
    return secrets.token_hex(20)


def make(
    base: Release,
    tag: str,
    changes: Mapping[str, Sequence[str]] | None = None,
    said: str | None = None,
) -> Release:
    """A release of its own revision with the code of `base`.

    `changes` are Dockerfile lines by service; `said` is the revision that the API and the others
    claim, where it is to be another than the release's.
    """
    made = Release(base.version, revision(), tag)
    for service in OWN_SERVICES:
        identity = _identity(service, base.version, said or made.revision)
        lines = [f"FROM {image(service, base)}", *identity]
        lines += ["USER 0:0", *(changes or {}).get(service, ())]
        lines += [f"USER {USERS[service]}"] if service in USERS else ["USER 10002:10002"]
        _build(image(service, made), "\n".join(lines))
    return made


def forget(release: Release) -> None:
    """Remove a release's images."""
    names = [image(service, release) for service in OWN_SERVICES]
    run_checked("remove images", ["docker", "rmi", "--force", *names], 60)


def _identity(service: str, version: str, said: str) -> list[str]:
    lines = [
        f"LABEL {VERSION_LABEL}={version} {REVISION_LABEL}={said}",
        f"ENV BOT_VERSION={version} BOT_REVISION={said}",
    ]
    if service == FRONTEND:
        page = f'{{"service":"{service}","version":"{version}","revision":"{said}"}}'
        lines += ["USER 0:0", f"RUN printf '%s' '{page}' > /srv/page/version.json"]
    if service == PROXY:
        values = {"bot_version": version, "bot_revision": said}
        both = " ".join(f'map "" ${n} {{ default "{v}"; }}' for n, v in values.items())
        lines += ["USER 0:0", f"RUN printf '%s' '{both}' > /etc/nginx/version.conf"]
    return lines


def _build(name: str, dockerfile: str) -> None:
    done = subprocess.run(
        ["docker", "build", "--quiet", "--tag", name, "-"],
        input=dockerfile,
        text=True,
        capture_output=True,
        timeout=BUILD_LIMIT,
        env=variables_of("docker"),
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-1000:])
