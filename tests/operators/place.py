"""Where a row works: a folder and a home of its own, clones of this tree, the gate in them."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gate.checks import expect
from gate.machine.commands import Result, run
from gate.machine.docker import engine, pinned
from gate.sweep import new_run_id

ROOT = Path(__file__).parents[2]
LIMIT = 60.0
SMOKE_LIMIT = 600.0
VENV_LIMIT = 900.0
NOWHERE = "https://127.0.0.1:1"
"""A target that refuses at once: what a look at it needs is nothing but this program."""
KEPT = ("PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
"""Of the caller's environment, beside what pip is told (PIP_*): the rest is the row's."""
NOT_OURS = (".cache/", ".docker/", ".rustup/")
"""What a home may have afterwards: caches, contexts; pip asks rustc for its version."""
CONTAINERS = "smoke.containers."
LEAST_OF_CONTAINERS = 10
"""A target that Docker can be asked about has many more; one dropped in silence has none."""
RELEASE = "from compose.release import release; print(release().revision)"


class NotToBeHad(Exception):
    """This machine has not got what the row is about; the text says what."""


@dataclass
class Place:
    """One row's place; everything in it goes when the row ends."""

    folder: Path
    is_cheap: bool
    """Whether no container is started and no virtual environment made."""
    python: str = sys.executable
    """Of the virtual environment that rows share which are not about it."""
    id: str = field(default_factory=new_run_id)
    tags: list[str] = field(default_factory=list)
    """Of the images that are built of commits which only this row has."""

    @property
    def home(self) -> Path:
        """The home; what a row leaves in it is looked at."""
        return self.folder / "home"

    def environment(self, **more: str) -> dict[str, str]:
        """Give the variables of a program: little of the caller's, and the same engine."""
        pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        chosen = {} if engine().is_default else pinned()
        return {**pip, **kept, **chosen, "HOME": str(self.home), **more}

    def clone(self, name: str = "checkout", *, own_commit: bool = False, umask: int = 0o22) -> Path:
        """Clone HEAD; with a commit of its own its images have to be built."""
        path = self.folder / name
        self._git("clone", "--quiet", ROOT, path, umask=umask)
        if own_commit:
            who = ("-c", "user.name=row", "-c", "user.email=row@example.test")
            self._git("-C", path, *who, "commit", "--quiet", "--allow-empty", "-m", name)
            script = "from compose.release import release; print(release().tag)"
            self.tags.append(self.told((self.python, "-c", script), path))
        return path

    def _git(self, *words: str | Path, umask: int = 0o22) -> None:
        answer = run([*masked(umask), "git", *words], LIMIT, base=self.environment())
        expect(answer.ok, f"`git {words[0]}` to succeed", answer.text)

    def told(self, words: Sequence[str | Path], cwd: Path, **environment: str) -> str:
        """Run a program that has to succeed, and give what it writes."""
        answer = run(words, LIMIT, cwd=cwd, base=self.environment(**environment))
        expect(answer.ok, f"{Path(words[0]).name} to succeed", answer.text[-600:])
        return answer.out.strip()

    def head(self, checkout: Path) -> str:
        """Give the commit of a clone."""
        return self.told(("git", "rev-parse", "HEAD"), checkout)

    def looks(
        self,
        checkout: Path,
        *,
        revision: str | None = None,
        prefix: Sequence[str] = (),
        base: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Result:
        """Ask what this work tree is and what is deployed: right, calm, nothing started."""
        base = self.environment() if base is None else base
        revision = revision or self.head(checkout)
        code = f"import sys; sys.path.insert(0, {str(checkout)!r}); {RELEASE}"
        answer = run([*prefix, self.python, "-c", code], LIMIT, cwd=cwd or checkout, base=base)
        expect(answer.out.strip() == revision, f"the revision {revision}", answer.text[-600:])
        words = ["--project", f"operators-{self.id}", "--state", str(self.folder / "state")]
        status = [self.python, "-m", "compose.lifecycle", "status", *words]
        answer = run([*prefix, *status], LIMIT, cwd=checkout, base=base)
        expect(
            answer.code in (0, 1) and "nothing was deployed yet" in answer.text,
            "status to say that nothing was deployed yet",
            answer.text[-600:],
        )
        _calm(answer)
        return answer

    def smoke(
        self,
        checkout: Path,
        *,
        revision: str | None = None,
        prefix: Sequence[str] = (),
        base: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Run the smoke stage on a stack of its own, or in a cheap row at an address that refuses.

        Give the verdict, which is the right one, of the right revision.
        """
        base = self.environment() if base is None else base
        target = ("--target", NOWHERE) if self.is_cheap else ()
        words = [*prefix, self.python, "-m", "pytest", "-m", "smoke", *target]
        answer = run(words, SMOKE_LIMIT, cwd=checkout, base=base, breakable=True)
        path = checkout / "reports" / "latest" / "verdict.json"
        expect(path.is_file(), "a verdict in the checkout's reports/latest", answer.text[-1200:])
        verdict: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        seen = f"{verdict['verdict']}, exit code {answer.code}: {answer.text[-1200:]}"
        if self.is_cheap:
            refused = [one["check"] for one in verdict["findings"]] == ["smoke.tls.can_be_reached"]
            expect(answer.code == 1 and refused, "HOLD: the proxy cannot be reached", seen)
        else:
            expect(answer.code == 0 and verdict["verdict"] == "PROMOTE", "PROMOTE, 0", seen)
            revision = revision or self.head(checkout)
            expect(verdict["expected"]["revision"] == revision, revision, verdict["expected"])
            self._containers_were_judged(path.with_name("events.jsonl"))
        _calm(answer)
        return verdict

    def _containers_were_judged(self, path: Path) -> None:
        events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        checks = [one for one in events if str(one.get("check")).startswith(CONTAINERS)]
        passed = sum(one.get("outcome") == "passed" for one in checks)
        expect(passed >= LEAST_OF_CONTAINERS, "the checks of the containers to have run", passed)

    def written_to_home(self) -> list[str]:
        """List the files in the home that may not be there: a cache may."""
        files = (path for path in self.home.rglob("*") if not path.is_dir())
        names = (str(path.relative_to(self.home)) for path in files)
        return sorted(name for name in names if not name.startswith(NOT_OURS))


def masked(umask: int) -> list[str]:
    """Give the words before a program that starts it with this umask."""
    return ["sh", "-c", f'umask {umask:03o}; exec "$@"', "sh"]


def _calm(answer: Result) -> None:
    seen = answer.text[-1200:]
    expect("Traceback" not in answer.text, "no traceback", seen)
    expect("\x1b" not in answer.text, "no control characters where no terminal is", seen)


@contextmanager
def place(is_cheap: bool) -> Iterator[Place]:
    """Make a row's place, and take it away."""
    folder = Path(tempfile.mkdtemp(prefix="gate-operators-"))
    try:
        folder.chmod(0o755)  # another user works in it too
        (folder / "home").mkdir()
        yield Place(folder, is_cheap)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
