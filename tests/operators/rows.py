"""The rows of `make operators`: a name, what it must do, and the function that sees to it."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from pwd import getpwnam

from gate.checks import expect
from gate.machine.commands import run
from gate.machine.docker import engine
from tests.operators.forwarder import Listener, listening
from tests.operators.place import LIMIT, ROOT, VENV_LIMIT, NotToBeHad, Place, masked

ODD = "o'brien's gate (1)"
STRANGER = "nobody"
"""An account that every machine has, for root to be somebody else."""
HOOK = '#!/bin/sh\nset -e\n"$ROW_PYTHON" -c "{release}" >"$ROW_TOLD"\n{smoke}\n'
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
ZONES = ("Asia/Kolkata", "Australia/Lord_Howe")
READ_ONLY = 'mount --bind "$HOME" "$HOME" && mount -o remount,ro,bind "$HOME" && exec "$@"'
USABLE = "import ensurepip, sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != sys.argv[1])"


@dataclass(frozen=True)
class Row:
    """A situation that operators are in."""

    name: str
    promise: str
    """What it must do, as `to …` goes on."""
    function: Callable[[Place], None]


def two_clones(where: Place) -> None:
    first, second = where.clone("first"), where.clone("second", own_commit=True)
    expect(where.head(first) != where.head(second), "two commits", where.head(first))
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(where.looks if where.is_cheap else where.smoke, (first, second)))
    if not where.is_cheap:
        runs = {str(one["run_id"]) for one in both}  # type: ignore[index]
        expect(len(runs) == 2, "two runs", runs)


def sudo(where: Place) -> None:
    as_root, as_owner, owner = _users()
    checkout = where.clone()
    with _owned(where.folder, owner):
        where.looks(checkout, prefix=as_root, revision=_revision(where))
        where.smoke(checkout, prefix=as_root, revision=_revision(where))
        whose = (checkout / "reports" / "runs").stat().st_uid
        expect(whose == owner[0], "the folder of runs to be the owner's", f"user {whose}'s")
        if where.is_cheap:
            return
        where.python = _python_for(where, checkout, as_owner)
        where.smoke(checkout, prefix=as_owner, revision=_revision(where))


def _revision(where: Place) -> str:
    return where.told(("git", "rev-parse", "HEAD"), ROOT)


def _users() -> tuple[list[str], list[str], tuple[int, int]]:
    """Give the words before a program of root's and of the owner's, and who the owner is."""
    if os.geteuid() != 0:
        if not run(["sudo", "-n", "true"], LIMIT).ok:
            raise NotToBeHad("neither root nor a sudo without a password")
        return ["sudo", "-n", "-E"], [], (os.getuid(), os.getgid())
    if shutil.which("setpriv") is None:
        raise NotToBeHad("no setpriv, to be another user than root")
    account = getpwnam(STRANGER)
    groups = str(Path(engine().socket or "/").stat().st_gid)
    who = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", f"--groups={groups}"]
    return [], ["setpriv", *who], (account.pw_uid, account.pw_gid)


@contextmanager
def _owned(folder: Path, owner: tuple[int, int]) -> Iterator[None]:
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, *owner, follow_symlinks=False)
    try:
        yield
    finally:
        if os.geteuid() != 0:  # what root wrote can be removed by root alone
            run(["sudo", "-n", "chown", "-R", f"{owner[0]}:{owner[1]}", folder], LIMIT)


def _python_for(where: Place, checkout: Path, as_owner: Sequence[str]) -> str:
    """Make the owner's own virtual environment, where root's cannot be read."""
    if run([*as_owner, where.python, "-c", ""], LIMIT).ok:
        return where.python
    base = where.environment(PATH=f"/usr/local/bin:/usr/bin:/bin:{os.environ['PATH']}")
    words = [*as_owner, "sh", "compose/machine/venv.sh", "gate"]
    made = run(words, VENV_LIMIT, cwd=checkout, base=base, breakable=True)
    if not made.ok:
        raise NotToBeHad(f"no virtual environment for {STRANGER}: {made.text[-200:]}")
    return str(checkout / ".venv" / "bin" / "python")


def git_hook(where: Place) -> None:
    """Push from a linked worktree: only there git names the repository by a whole path."""
    main, remote, tree = where.clone("main"), where.folder / "remote.git", where.folder / "tree"
    where.told(("git", "init", "--quiet", "--bare", remote), where.folder)
    where.told(("git", "worktree", "add", "--quiet", "-b", "row", tree), main)
    told = where.folder / "told"
    hook = main / ".git" / "hooks" / "pre-push"
    script = "import os; from compose.release import release; print(release().revision,"
    script += " os.environ.get('GIT_DIR'), sep='\\n')"
    smoke = "" if where.is_cheap else '"$ROW_PYTHON" -m pytest -m smoke >"$ROW_TOLD.log" 2>&1'
    hook.write_text(HOOK.format(release=script, smoke=smoke), encoding="utf-8")
    hook.chmod(0o755)
    before = where.told(("git", "config", "--local", "--list"), main)
    base = where.environment(ROW_PYTHON=where.python, ROW_TOLD=str(told))
    answer = run(["git", "push", "--quiet", remote, "row"], VENV_LIMIT, cwd=tree, base=base)
    log = told.with_suffix(".log")
    seen = answer.text + (log.read_text(encoding="utf-8")[-900:] if log.exists() else "")
    expect(answer.ok, "the push to go through", seen)
    revision = told.read_text(encoding="utf-8").split()[0]
    expect(revision == where.head(tree), where.head(tree), revision)
    changed = where.told(("git", "status", "--porcelain"), tree)
    expect(not changed, "a work tree without changes", changed)
    after = where.told(("git", "config", "--local", "--list"), main)
    expect(after == before, "the repository's settings as before", after)


def cron(where: Place) -> None:
    checkout = where.clone()
    base = where.environment(PATH="/usr/bin:/bin", SHELL="/bin/sh", LOGNAME="root")
    del base["HOME"]
    if shutil.which("docker", path=base["PATH"]) is None:
        raise NotToBeHad("docker is not in /usr/bin:/bin, which is all that cron looks in")
    where.looks(checkout, base=base, cwd=Path("/"))
    where.smoke(checkout, base=base)


def umask(where: Place) -> None:
    checkout = where.clone(own_commit=not where.is_cheap, umask=0o77)
    mode = (checkout / "compose" / "compose.yaml").stat().st_mode & 0o777
    expect(mode == 0o600, "a checkout that others cannot read", oct(mode))
    where.looks(checkout, prefix=masked(0o77))
    if not where.is_cheap:
        where.smoke(checkout, prefix=masked(0o77))


def odd_path(where: Place) -> None:
    checkout = where.clone(ODD)
    where.looks(checkout)
    if where.is_cheap:
        return
    words = ["sh", str(checkout / "compose" / "status.sh"), "--project", f"operators-{where.id}"]
    answer = run(words, VENV_LIMIT, cwd=where.folder, base=where.environment(), breakable=True)
    expect("nothing was deployed yet" in answer.text, "compose/status.sh to work", answer.text)
    words = [str(checkout / ".venv" / "bin" / "pytest"), "--version"]
    answer = run(words, LIMIT, cwd=checkout, base=where.environment())
    expect(answer.ok, ".venv/bin/pytest to start", answer.text)
    where.smoke(checkout)


def archive(where: Place) -> None:
    """Unpack it inside another repository, whose commit is not of it."""
    outer = where.clone("outer")
    checkout = outer / "reports" / "unpacked"
    checkout.mkdir()
    packed = where.folder / "archive.tar"
    where.told(("git", "archive", "--output", packed, "HEAD"), outer)
    where.told(("tar", "-xf", packed, "-C", checkout), outer)
    where.looks(checkout, revision="unknown")
    if not where.is_cheap:
        where.smoke(checkout, revision="unknown")


def read_only_home(where: Place) -> None:
    prefix: list[str] = []
    if os.geteuid() != 0:
        where.home.chmod(0o555)
    else:
        prefix = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh"]
        tried = run([*prefix, "true"], LIMIT, base=where.environment())
        if not tried.ok:
            raise NotToBeHad(f"no read-only mount for root: {tried.text[:120]}")
    checkout = where.clone(own_commit=not where.is_cheap)
    where.looks(checkout, prefix=prefix)
    where.smoke(checkout, prefix=prefix)


def engine_of_a_context(where: Place) -> None:
    with _forwarded(where.folder / "engine.sock") as engine_there:
        base = where.environment()
        base.pop("DOCKER_HOST", None)
        create = ["docker", "context", "create", "row", "--docker"]
        for words in (
            [*create, f"host=unix://{where.folder}/engine.sock"],
            ["docker", "context", "use", "row"],
        ):
            answer = run(words, LIMIT, base=base)
            expect(answer.ok, f"`docker context {words[2]}` to succeed", answer.text)
        _followed(where, engine_there, base, "current context row")


def engine_over_tcp(where: Place) -> None:
    with _forwarded(None) as engine_there:
        address = f"tcp://127.0.0.1:{engine_there.port}"
        _followed(where, engine_there, where.environment(DOCKER_HOST=address), address)


@contextmanager
def _forwarded(path: Path | None) -> Iterator[Listener]:
    socket = engine().socket
    if socket is None:
        raise NotToBeHad(f"the engine is no socket that can be forwarded: {engine()}")
    with listening(socket, path) as listener:
        yield listener


def _followed(where: Place, there: Listener, base: dict[str, str], words: str) -> None:
    checkout = where.clone()
    answer = where.looks(checkout, base=base)
    expect(words in answer.text, f"status to name the engine: {words}", answer.text[-600:])
    expect(there.count, "Docker to be asked there", f"{there.count} connections")
    if not where.is_cheap:
        before = there.count
        where.smoke(checkout, base=base)
        expect(there.count > before, "the gate to ask there too", f"{there.count} connections")


def python(version: str, where: Place) -> None:
    found = next(filter(partial(_is_usable, version), _pythons(version)), None)
    if found is None:
        raise NotToBeHad(f"no Python {version} with venv on this machine")
    checkout = where.clone()
    if where.is_cheap:
        code = "import compileall, sys; sys.exit(not compileall.compile_dir('gate', quiet=1))"
        where.told((found, "-c", code), checkout, PYTHONPYCACHEPREFIX=str(where.folder / "pyc"))
        return
    programs = where.folder / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(found)
    base = where.environment(PATH=f"{programs}:{os.environ['PATH']}")
    words = ["sh", "compose/machine/venv.sh", "gate"]
    made = run(words, VENV_LIMIT, cwd=checkout, base=base, breakable=True)
    expect(made.ok, f"a virtual environment of Python {version}", made.text[-600:])
    where.python = str(checkout / ".venv" / "bin" / "python")
    expect(_is_usable(version, where.python), f"one of Python {version}", where.python)
    where.smoke(checkout)


def _is_usable(version: str, program: str) -> bool:
    return run([program, "-c", USABLE, version], LIMIT).ok


def _pythons(version: str) -> Iterator[str]:
    yield from filter(None, [shutil.which(f"python{version}"), f"/usr/bin/python{version}"])
    homes = (Path.home() / ".pyenv" / "versions", Path("/opt/hostedtoolcache/Python"))
    for folder in ("bin", "*/bin"):
        for home in homes:
            yield from map(str, sorted(home.glob(f"{version}.*/{folder}/python{version}")))
    if sys.version.startswith(f"{version}."):
        yield str(Path(sys.executable).resolve())


def locale_and_zone(where: Place) -> None:
    checkout = where.clone()
    for zone in ZONES:
        base = where.environment(LC_ALL="C", TZ=zone)
        if not Path("/usr/share/zoneinfo", zone).exists():
            raise NotToBeHad(f"no time zone {zone} on this machine")
        where.looks(checkout, base=base)
        if where.is_cheap and zone != ZONES[-1]:
            continue
        before = datetime.now(UTC) - timedelta(seconds=1)
        at = datetime.fromisoformat(where.smoke(checkout, base=base)["at"])
        expect(before <= at <= datetime.now(UTC), "the time of the run in the report", at)


def proxy(where: Place) -> None:
    checkout = where.clone()
    with listening(None) as silent:
        address = f"http://127.0.0.1:{silent.port}"
        names = (*PROXIES, *(name.lower() for name in PROXIES))
        base = where.environment(**dict.fromkeys(names, address))
        where.looks(checkout, base=base)
        where.smoke(checkout, base=base)
        expect(not silent.count, "no request to the proxy", f"{silent.count} connections")


ROWS = (
    Row("two-clones", "run side by side, each judging its own commit", two_clones),
    Row("sudo", "run as root in a user's checkout, and then as that user", sudo),
    Row(
        "git-hook", "run in a pre-push hook of a worktree, and leave the repository alone", git_hook
    ),
    Row("cron", "run without terminal and HOME, with PATH=/usr/bin:/bin, from /", cron),
    Row("umask", "build and run what was cloned under umask 077", umask),
    Row("odd-path", "run in a folder with spaces, quotes and brackets in its name", odd_path),
    Row("archive", "run without .git inside another repository, whose commit is not told", archive),
    Row("read-only-home", "build and run where nothing can be written to HOME", read_only_home),
    Row("context", "use the engine of the current Docker context", engine_of_a_context),
    Row(
        "tcp",
        "use the engine of DOCKER_HOST=tcp://, with the checks of containers",
        engine_over_tcp,
    ),
    *(
        Row(f"python-{one}", f"set up and run with Python {one}", partial(python, one))
        for one in ("3.11", "3.12", "3.13")
    ),
    Row(
        "locale",
        "run with LC_ALL=C in zones of half hours, and tell the right time",
        locale_and_zone,
    ),
    Row("proxy", "send nothing on loopback through the proxy of the environment", proxy),
)
