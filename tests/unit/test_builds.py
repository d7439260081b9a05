"""A failed build is told by its step and the step's own words, whichever builder it was."""

from pathlib import Path

import pytest

from compose.lifecycle import building, deployment
from compose.lifecycle.deployment import Deployment
from compose.lifecycle.errors import Rejected
from compose.release import Release
from gate.errors import MachineError
from gate.machine import commands
from gate.machine.builds import CAUSE_LENGTH, STEP_LENGTH, build_failure
from gate.machine.commands import Result

NOISE = "".join(f"#9 1.{n} Collecting package-{n}\n" for n in range(40))
LONG = (
    "RUN pip install --require-hashes -r requirements.txt &&     rm -rf /root/.cache " + "x" * 900
)
BUILDKIT = f"""#1 [api internal] load build definition from Dockerfile
#1 DONE 0.0s
#5 [exchange 2/4] COPY requirements.txt .
#5 CACHED
#9 [api build 3/9] {LONG}
{NOISE}#9 2.9 ERROR: No matching distribution found for nothere==1
#9 3.0 [notice] A new release of pip is available
#9 ERROR: process "/bin/sh -c {LONG}" did not complete successfully: exit code: 1
#10 [exchange 3/4] RUN true
#10 CANCELED
------
 > [api build 3/9] {LONG}:
2.9 ERROR: No matching distribution found for nothere==1
------
Dockerfile:7
--------------------
   7 | >>> RUN pip install
--------------------
target api: failed to solve: process "/bin/sh -c {LONG}" did not complete successfully: exit code: 1
"""
OLDER = """#9 [api build 3/9] RUN make
#9 0.413 make: *** No rule to make target 'x'.  Stop.
#9 ERROR: executor failed running [/bin/sh -c make]: exit code: 2
failed to solve: executor failed running [/bin/sh -c make]: exit code: 2
"""
COPY = """#6 [api stage-1 1/1] COPY nothere /x
#6 ERROR: "/nothere" not found: not found
failed to solve: failed to compute cache key: "/nothere" not found: not found
"""
BASE = """#3 [api internal] load metadata for docker.io/library/python:3.13-slim
#3 ERROR: failed to do request: Head "https://registry/v2/": dial tcp: i/o timeout
"""
CLASSIC = """Sending build context to Docker daemon     172B
Step 1/3 : FROM python:3.13-slim
 ---> ce38ae98d0b8
Step 2/3 : RUN make
 ---> Running in 7454b6ffe454
line 1 of noise
\x1b[91merror: the cause is here
\x1b[0mThe command '/bin/sh -c make' returned a non-zero code: 1
"""
CLASSIC_COPY = """Step 1/3 : FROM python:3.13-slim
 ---> ce38ae98d0b8
Step 2/3 : COPY nothere /x
COPY failed: file not found in build context: stat nothere: file does not exist
"""
BUILDAH = """STEP 1/2: FROM python:3.13-slim
STEP 2/2: RUN make
sh: make: not found
Error: building at STEP "RUN make": while running runtime: exit status 127
"""
PARSED = (
    "target api: failed to solve: dockerfile parse error on line 3: unknown instruction: RUNN\n"
)
SEEN = {
    "buildkit": (
        BUILDKIT,
        "api",
        "RUN pip install",
        "ERROR: No matching distribution found for no",
    ),
    "older buildkit": (OLDER, "api", "RUN make", "make: *** No rule to make target 'x'. Stop."),
    "a copy": (COPY, "api", "COPY nothere /x", '"/nothere" not found: not found'),
    "no base": (BASE, "api", "load metadata for docker.io", "failed to do request: Head"),
    "classic": (CLASSIC, "", "RUN make", "error: the cause is here"),
    "classic copy": (CLASSIC_COPY, "", "COPY nothere /x", "COPY failed: file not found"),
    "buildah": (BUILDAH, "", "RUN make", "sh: make: not found"),
    "no step": (PARSED, "api", "", "dockerfile parse error on line 3: unknown instruction: RUNN"),
}


@pytest.mark.parametrize(("text", "service", "step", "cause"), SEEN.values(), ids=SEEN)
def test_a_failed_build_names_service_step_and_cause(
    text: str, service: str, step: str, cause: str
) -> None:
    found = build_failure(text, ("api", "exchange"))
    assert found
    assert found.service == service
    assert found.step.startswith(step)
    assert found.cause.startswith(cause)
    assert len(found.step) <= STEP_LENGTH
    assert len(found.cause) <= CAUSE_LENGTH
    assert "\n" not in str(found)


def test_what_is_no_build_is_not_explained() -> None:
    assert build_failure("Cannot connect to the Docker daemon\n") is None
    assert build_failure("") is None


def test_the_image_that_was_not_built_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the first that is missing: that of the step."""
    text = BUILDKIT.replace("api", "exchange")
    monkeypatch.setattr(deployment, "run", lambda *_, **__: Result(17, text, ""))
    monkeypatch.setattr(
        building, "missing", lambda _: ["breakout-bot/api:x", "breakout-bot/exchange:x"]
    )
    monkeypatch.setattr(building, "release", lambda: Release("1", "r", "x"))
    one = Deployment("bot", (), tmp_path / ".env", tmp_path)
    with pytest.raises(Rejected, match=r"image of 1 \(x\) cannot be had: expected `RUN p") as told:
        building.provide(one, Release("1", "r", "x"))
    assert "of exchange to succeed, got: ERROR: No matching distribution" in str(told.value)
    assert "breakout-bot/api" not in str(told.value)
    assert len(str(told.value)) < 500


def test_a_base_image_that_cannot_be_made_says_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "run", lambda *_, **__: Result(1, CLASSIC, ""))
    with pytest.raises(
        MachineError, match=r"code 1\. expected `RUN make` to succeed, got: error: the"
    ):
        commands.run_checked("build redis", ["docker", "build", "."], 1.0)
