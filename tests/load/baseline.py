"""The baseline's stack: another version beside the candidate's, with the same settings and data."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from compose import earlier
from compose.earlier import Version
from compose.lifecycle import database
from gate import stack as stacks
from gate.machine.commands import run_checked
from gate.operator import API
from gate.run import Gate
from gate.running import bring_up
from gate.stack import GATE_LABELS, Stack
from gate.sweep import new_run_id

COPY_LIMIT = 60.0
FROM, TO = "/from", "/to"


@contextmanager
def baseline_stack(gate: Gate, candidate: Stack, version: Version) -> Iterator[Stack]:
    """The stack of a version for as long as it is compared with. Raises `MachineError`."""
    # In the run's own folder: the next gate's sweep takes it away after kill -9, too.
    with TemporaryDirectory(dir=candidate.folder) as name, ExitStack() as close:
        with gate.phase("baseline images", "building the baseline's images"):
            folder = Path(name) / "sources"
            release = earlier.sources(version, folder)
            stack = close.enter_context(Stack(new_run_id(), release, gate.options.compose_files))
            gate.recorder.add_secrets(stack.credentials.known)
            if version.commit:
                stacks.build(stack.of(folder / "compose"), release)
        with gate.phase("baseline", "bringing the baseline up"):
            stack.compose.run("create", "--no-build", "--pull", "never")
            _copy_data(candidate, stack)
            what = f"the baseline {stack.release.version} ({stack.release.revision[:12]})"
            bring_up(stack, f"{what} with the settings and data of the candidate")
        yield stack


def _copy_data(candidate: Stack, stack: Stack) -> None:
    """Let both answer from the same rows: what was traded so far makes some answers longer."""
    volumes = {f"{candidate.project}_data": FROM, f"{stack.project}_data": TO}
    mounts = [word for name, path in volumes.items() for word in ("--volume", f"{name}:{path}")]
    labels = dict(zip(GATE_LABELS, (stack.run_id, stack.started), strict=True))
    words = ["docker", "run", "--rm", "--network", "none", "--memory", "256m", *mounts]
    words += [f"--label={name}={value}" for name, value in labels.items()]
    image = f"breakout-bot/api:{stack.release.tag}"
    words += ["--env", f"DATA_DIR={FROM}", "--user", "10001:10001"]
    words += database.program(image, "copy", TO)
    run_checked(f"copy the data of {API}", words, COPY_LIMIT)
