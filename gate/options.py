"""The gate's options: read, checked and refused before anything is started."""

import argparse
import ast
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import translate
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gate import extensions
from gate import manifest as manifests
from gate import target as targets
from gate.errors import MACHINE, TargetError
from gate.extensions import Asked, Extension, Option
from gate.machine.limits import machine_error
from gate.stages import STAGES
from gate.target import Credentials, Target

ROOT = Path(__file__).parent.parent
Kind = TypeVar("Kind", bound=Extension)


@dataclass(frozen=True)
class Options:
    """What one run of the gate was asked to do."""

    target: Target
    credentials: Credentials
    stages: tuple[str, ...]
    version: str | None
    revision: str | None
    waivers: dict[str, str]
    keep_stack: bool
    report_dir: Path
    compose_files: tuple[Path, ...] = ()
    on_stack: str | None = None
    """The run whose disposable stack is judged, in place of a new one."""
    extensions: tuple[Extension, ...] = ()
    """What stages and fault planting were asked for."""

    def of(self, kind: type[Kind]) -> Kind:
        """Return the options of one extension."""
        return next((one for one in self.extensions if isinstance(one, kind)), kind())

    @property
    def gives(self) -> frozenset[str]:
        """What checks can count on because an option of an extension gave it."""
        return frozenset().union(*(one.gives for one in self.extensions))

    @property
    def expected_needs(self) -> frozenset[str]:
        """What is expected of the build: what was named; all, where a release of ours is judged."""
        named = {"expected-version": self.version, "expected-revision": self.revision}
        return frozenset(need for need, value in named.items() if value or self.target.managed)

    @property
    def more_seconds(self) -> dict[str, float]:
        """By which a stage may take longer than its budget, because it was asked for more."""
        return {name: value for one in self.extensions for name, value in one.more_seconds.items()}

    @property
    def changes_the_stack(self) -> bool:
        """Whether something is done to the run's stack that another stack would not have."""
        return any(one.changes_the_stack for one in self.extensions)

    @property
    def expects(self) -> Callable[[str], bool] | None:
        """Tells the checks that each stage begins and ends with; None without such a wish."""
        return next((one.expects for one in self.extensions if one.expects is not None), None)


OPTIONS = (
    Option(
        "--target",
        "localhost, https://HOST or FILE.toml; without it a disposable stack",
        takes_path=True,
    ),
    Option(
        "--ca-file", "CA certificates to verify the target with (or GATE_CA_FILE)", takes_path=True
    ),
    Option("--expect-version", "the version that must be running"),
    Option("--expect-revision", "the commit that must be running (at least 7 digits)"),
    Option("--report-dir", "folder for reports, in place of reports/", takes_path=True),
    Option(
        "--on-stack", "the disposable stack of this RUN_ID (--keep-stack), in place of a new one"
    ),
    Option(
        "--waive",
        "leave a required check out, by name and with a reason, shown in every report",
        may_repeat=True,
        shown_as="CHECK=REASON",
    ),
    Option(
        "--compose-file",
        "one more compose file on top of the disposable stack's",
        takes_path=True,
        may_repeat=True,
    ),
    Option("--keep-stack", "leave the disposable stack running", is_flag=True),
)


def declare(parser: pytest.Parser) -> None:
    """Declare the options of the engine and of its extensions."""
    group = parser.getgroup("gate", "deployment gate")
    for option in (*OPTIONS, *extensions.options()):
        shown = option.shown_as or option.name.rpartition("-")[2].upper()
        how: dict[str, Any] = {"action": _Once, "metavar": shown}
        if option.is_flag:
            how = {"action": "store_true"}
        elif option.may_repeat:
            how = {"action": "append", "default": [], "metavar": shown}
        group.addoption(option.name, help=option.help, **how)


class _Once(argparse.Action):
    """Refuses an option that is given twice: silently taking one of two targets is dangerous."""

    def __call__(self, _parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        given = getattr(namespace, self.dest, None)
        if given not in (None, values):
            raise pytest.UsageError(f"expected {option} once, got {given!r} and {values!r}")
        setattr(namespace, self.dest, values)


def read(config: pytest.Config) -> Options:
    """The options of this run. Raises `pytest.UsageError` (exit code 4) for bad ones."""
    try:
        return _read(config)
    except TargetError as error:
        given = "GATE_TARGET" if config.getoption("--target") is None else "--target"
        raise pytest.UsageError(str(error).replace("--target", given)) from None


def _read(config: pytest.Config) -> Options:
    option = config.getoption
    word = option("--target")
    ca_file = _text("--ca-file", option("--ca-file"))
    target = targets.read(
        # A blank one is an unset variable of somebody's script, not a wish for a disposable stack.
        os.environ.get("GATE_TARGET") if word is None else word,
        Path(ca_file) if ca_file else None,
    )
    stages = may_run(asked(option("markexpr")), target, bool(option("markexpr")))
    require_packages(stages, target)
    brought = extensions.read(Asked(target, stages, option))
    if option("--keep-stack"):
        require_own_stack("--keep-stack", target)
    return Options(
        target=target,
        credentials=targets.credentials(target),
        stages=stages,
        version=_text("--expect-version", option("--expect-version")),
        revision=revision(option("--expect-revision")),
        waivers=waivers(option("--waive"), stages),
        keep_stack=option("--keep-stack"),
        report_dir=report_dir(option("--report-dir")),
        compose_files=compose_files(option("--compose-file"), target),
        on_stack=on_stack(option("--on-stack"), target),
        extensions=brought,
    )


def asked(expression: str) -> tuple[str, ...]:
    """The stages that a `-m` expression asks for; all without one."""
    if not expression:
        return tuple(STAGES)
    try:
        tree = ast.parse(expression, mode="eval").body
    except SyntaxError:
        raise pytest.UsageError(_stages_wanted(expression)) from None
    stages = tuple(stage for stage in STAGES if _holds(tree, stage, expression))
    if not stages:
        raise pytest.UsageError(_stages_wanted(expression))
    return stages


def may_run(stages: tuple[str, ...], target: Target, named: bool) -> tuple[str, ...]:
    """The stages that may run on the target. Raises `pytest.UsageError` for one that was named."""
    refused = [stage for stage in stages if target.live and STAGES[stage].changes]
    if refused and named:
        raise pytest.UsageError(
            f"expected a disposable stack for {' and '.join(refused)}, which change what they"
            f" judge, got the live target {target.name}"
        )
    return tuple(stage for stage in stages if stage not in refused)


def require_packages(stages: tuple[str, ...], target: Target) -> None:
    """Raise `pytest.UsageError` where .venv has only what compose/*.sh needs, and more is asked."""
    if (target.managed or stages != ("smoke",)) and find_spec("testcontainers") is None:
        raise pytest.UsageError(
            "expected the gate's packages in .venv, got those of a production host, which suffice"
            " for the smoke stage on a live target only; run `make venv-gate`"
        )


def _holds(node: ast.expr, stage: str, expression: str) -> bool:
    match node:
        case ast.Name(id=name) if name in STAGES:
            return name == stage
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _holds(operand, stage, expression)
        case ast.BoolOp(op=op, values=values):
            join = all if isinstance(op, ast.And) else any
            return join([_holds(value, stage, expression) for value in values])
    raise pytest.UsageError(_stages_wanted(expression))


def _stages_wanted(expression: str) -> str:
    return f"expected -m to name stages ({', '.join(STAGES)}), got {expression!r}"


def waivers(given: Iterable[str], stages: Iterable[str]) -> dict[str, str]:
    """Waived checks with their reasons; `*` in a name stands for several checks.

    Raises `pytest.UsageError` for a name that is no check and for a missing reason.
    """
    manifest = manifests.load()
    known = [check for stage in stages for check in manifest[stage]]
    waived = {}
    for word in given:
        name, _, reason = word.partition("=")
        if not reason.strip():
            raise pytest.UsageError(f"expected --waive CHECK=REASON, got {word!r}")
        pattern = re.compile(translate(name.strip().replace("[", "[[]")))
        matching = [check for check in known if pattern.match(check)]
        if not matching:
            raise pytest.UsageError(
                f"expected --waive to name a check of tests/manifest.toml, got {name.strip()!r}"
            )
        waived.update(dict.fromkeys(matching, reason.strip()))
    return waived


def revision(value: str | None) -> str | None:
    """A commit's name. Raises `pytest.UsageError`."""
    if value is not None and not re.fullmatch(r"[0-9a-f]{7,64}(-dirty)?", value):
        raise pytest.UsageError(
            f"expected --expect-revision to be 7 or more digits of a commit, got {value!r}"
        )
    return value


def report_dir(value: str | None) -> Path:
    """The folder for reports, made if need be. Raises `pytest.UsageError`."""
    named = _text("--report-dir", value)
    path = Path(named).absolute() if named else ROOT / "reports"
    try:
        _make_folder(path / "runs")
    except OSError as error:
        if lacking := machine_error(error, f"--report-dir {path}"):
            pytest.exit(str(lacking), MACHINE)
        raise pytest.UsageError(
            f"expected --report-dir to be a folder that can be written, got {path}:"
            f" {error.strerror}"
        ) from None
    if not os.access(path / "runs", os.W_OK):
        raise pytest.UsageError(f"expected --report-dir to be a writable folder, got {path}")
    return path


def _make_folder(path: Path) -> None:
    """Make a folder; root's, in somebody's checkout, is theirs: their next run writes there too."""
    missing = [one for one in (path, *path.parents) if not one.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for one in reversed(missing if os.geteuid() == 0 else ()):
        owner = one.parent.stat()
        os.chown(one, owner.st_uid, owner.st_gid)


def require_own_stack(option: str, target: Target) -> None:
    """Raise `pytest.UsageError` where an option needs a stack that the run brings up itself."""
    if not target.managed:
        raise pytest.UsageError(
            f"expected {option} with a disposable stack only, got --target {target.name}"
        )


def compose_files(given: Iterable[str], target: Target) -> tuple[Path, ...]:
    """Compose files to put on top. Raises `pytest.UsageError` for what is no compose file."""
    paths = tuple(Path(word).absolute() for word in given)
    if paths:
        require_own_stack("--compose-file", target)
    for path in paths:
        _check_compose_file(path)
    return paths


def on_stack(value: str | None, target: Target) -> str | None:
    """The run whose stack is used. Raises `pytest.UsageError`."""
    if value is not None:
        require_own_stack("--on-stack", target)
    return _text("--on-stack", value)


def _check_compose_file(path: Path) -> None:
    import yaml  # only where such a file is given

    try:
        # Composed, not constructed: compose's own tags (`!override`) mean nothing here.
        tree = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise pytest.UsageError(
            f"expected --compose-file to be a readable file, got {path}: {error.strerror}"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise pytest.UsageError(f"expected YAML in {path}, got: {reason}") from None
    keys = [key.value for key, _ in tree.value] if isinstance(tree, yaml.MappingNode) else []
    if "services" not in keys:
        raise pytest.UsageError(
            f"expected {path} to have `services:`, got {', '.join(keys) or 'no keys'}"
        )


def _text(name: str, value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise pytest.UsageError(f"expected {name} to have a value, got a blank one")
    return value
