"""Bring-up: the run's own stack, from its images to its removal.

A stack that does not come up is evidence (`problems`); only what the machine cannot do raises
`MachineError`.
"""

from typing import TYPE_CHECKING

from gate.extensions import StackHook
from gate.model import model
from gate.options import Options
from gate.ready import WHOLE_STACK, Problem
from gate.recorder import Recorder
from gate.stages import STAGES
from gate.target import Credentials, Target

if TYPE_CHECKING:
    from gate.hooks import Release
    from gate.stack import Stack


class BringUp:
    """The disposable stack of one run; `stack` is None until there is one."""

    def __init__(self, options: Options, recorder: Recorder, run_id: str) -> None:
        self.stack: Stack | None = None
        self.target: Target = options.target
        self.credentials: Credentials = options.credentials
        self.problems: dict[str, Problem] = {}
        """What did not come up, by service."""
        self.drills: dict[str, int] = {}
        """Exit codes of health checks where no service runs, by service."""
        self._options = options
        self._recorder = recorder
        self._run_id = run_id
        self._hooks: list[StackHook] = []

    def find_release(self) -> "Release | None":
        """Return what is judged: the release of this tree; None for a target of somebody else."""
        if not self.target.managed:
            return None
        from gate.hooks import hooks  # a look at a live target needs nothing that its owner knows

        return hooks().release()

    def require_browser(self) -> None:
        """Raise `MachineError` where this machine has no browser for the checks of a page."""
        from gate.hooks import hooks

        hooks().require_browser()

    def clean(self) -> None:
        """Take away what ended runs left."""
        from gate import stack as stacks  # Testcontainers: a live run never imports it

        with self._recorder.phase("clean", "taking away what ended runs left"):
            stacks.clean_start()

    def bring_up(self, release: "Release") -> None:
        """Build, change as extensions ask for, start, wait until ready and looked at."""
        stages = [STAGES[name] for name in self._options.stages]
        with self._recorder.phase("set-up", "building images"):
            stack = self._make(release)
        self._plant_before(stack)
        with self._recorder.phase("bring-up", "bringing the stack up"):
            self._start(stack)
        nobody_looks = self.problems.keys() & {WHOLE_STACK, model().name("prometheus")}
        if any(stage.needs_first_look for stage in stages) and not nobody_looks:
            with self._recorder.phase("settle", "waiting for the first scrape and health checks"):
                stack.settle(self.target, set(self.problems))
        if any(stage.needs_drills for stage in stages) and not self.problems:
            words = "running every health check where no service runs"
            with self._recorder.phase("drills", words):
                self.drills = stack.health_drills()
        self._plant_now(stack)

    def _make(self, release: "Release") -> "Stack":
        """Make the stack, or find that of another run, and the images that it is started from."""
        from gate import stack as stacks

        options, other = self._options, self._options.on_stack
        self.stack = stacks.Stack(
            other or self._run_id,
            release,
            options.compose_files,
            options.keep_stack,
            stacks.attach(other) if other else None,
        )
        self.credentials = self.stack.credentials
        self._recorder.add_secrets(self.credentials.known)
        stacks.build(self.stack.compose, release)
        return self.stack

    def _start(self, stack: "Stack") -> None:
        problem = stack.up()
        self.target = stack.target()
        if problem is None:
            found = stack.ready(self.target)
        else:  # who kept the others from starting says more than compose does
            found = stack.broken(self.target) or [problem]
        self.problems = {one.service: one for one in found}
        self.target = stack.target()  # a container that was started again has other ports

    # What extensions do to the stack

    def _plant_before(self, stack: "Stack") -> None:
        made = [extension.hook(stack) for extension in self._options.extensions]
        self._hooks = [hook for hook in made if hook is not None]
        for hook in self._hooks:
            with self._recorder.phase(hook.phase, hook.words):
                hook.before()
            self._recorder.emit(hook.event())

    def _plant_now(self, stack: "Stack") -> None:
        for hook in self._hooks:
            if WHOLE_STACK not in self.problems:  # where compose gives up, old containers stay
                hook.shown()
            if self.problems:  # what acts on a running stack has none to act on
                return
            with self._recorder.phase(hook.phase, hook.words):
                found = hook.now()
            self.problems = {one.service: one for one in found}
            self.target = stack.target()
            self._recorder.emit(hook.event())

    # After the checks

    def take_down(self) -> None:
        """Keep the logs of a stack with findings, and take it away, whatever goes wrong."""
        if self.stack is None:
            return
        recorder = self._recorder
        if recorder.failed or self.problems:
            phase = recorder.phase("logs", "keeping the logs")
            with phase, recorder.report_and_continue("the logs were not kept"):
                for name, text in self.stack.last_words().items():
                    recorder.stream.attach(f"{name}.log", text)
        with recorder.phase("teardown", "taking the stack down"):
            for hook in self._hooks:
                with recorder.report_and_continue("the fault could not be taken back"):
                    hook.end()
            with recorder.report_and_continue("the stack was not taken down"):
                self.stack.remove()
