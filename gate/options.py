"""The gate's options: read, checked and refused before anything is started."""

import argparse
import ast
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gate import manifest as manifests
from gate import target as targets
from gate.stages import STAGES
from gate.target import Credentials, Target, TargetError
from gate.toml import FileError

if TYPE_CHECKING:
    from compose.earlier import Version
    from load.profile import Profile
    from load.samples import Run
    from tests.faults.fault import Fault

ROOT = Path(__file__).parent.parent


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
    fault: "Fault | None" = None
    """A defect to plant in the disposable stack."""
    until_caught: bool = False
    """Whether a stage ends once it has found the fault."""
    previous_contract: Mapping[str, Any] | None = None
    """The OpenAPI document that clients not yet updated were written for."""
    load_profile: "Profile | None" = None
    more_seconds: Mapping[str, float] = field(default_factory=dict)
    """By which a stage may take longer than its budget, because it was asked for more."""
    """What the load stage sends, in place of its own."""
    load_workers: int = 1
    baseline: "Version | Run | None" = None
    """What the load stage compares with: another version, side by side, or an earlier run."""

    @property
    def given(self) -> frozenset[str]:
        """What checks can count on because an option gave it."""
        options = {"previous-contract": self.previous_contract, "baseline": self.baseline}
        return frozenset(name for name, value in options.items() if value is not None)


def add(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("gate", "deployment gate")
    for name, help_text in {
        "--target": "localhost, https://HOST or FILE.toml; without it a disposable stack",
        "--ca-file": "CA certificates to verify the target with (or GATE_CA_FILE)",
        "--expect-version": "the version that must be running",
        "--expect-revision": "the commit that must be running (at least 7 digits)",
        "--previous-contract": "FILE or URL of the contract that clients not yet updated know",
        "--report-dir": "folder for reports, in place of reports/",
        "--load-profile": "NAME or FILE of what the load stage sends, in place of `gate`",
        "--baseline": "VERSION (revision, tag, branch, tag of images) or folder of an earlier RUN"
        " that the load stage compares with",
        "--load-workers": "how many workers send the load stage's requests, in place of one",
        "--on-stack": "the disposable stack of this RUN_ID (--keep-stack), in place of a new one",
        "--fault": "FILE of a fault to plant in the disposable stack (tests/faults/README.md)",
    }.items():
        group.addoption(name, action=_Once, metavar=name.rpartition("-")[2].upper(), help=help_text)
    group.addoption(
        "--waive",
        action="append",
        default=[],
        metavar="CHECK=REASON",
        help="leave a required check out, by name and with a reason, shown in every report",
    )
    group.addoption(
        "--compose-file",
        action="append",
        default=[],
        metavar="FILE",
        help="one more compose file on top of the disposable stack's",
    )
    group.addoption("--keep-stack", action="store_true", help="leave the disposable stack running")
    group.addoption(
        "--until-caught",
        action="store_true",
        help="with --fault: begin and end with its checks",
    )


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
    ca_file = _text("--ca-file", option("--ca-file")) or os.environ.get("GATE_CA_FILE")
    target = targets.read(
        # A blank one is an unset variable of somebody's script, not a wish for a disposable stack.
        os.environ.get("GATE_TARGET") if word is None else word,
        Path(ca_file) if ca_file else None,
    )
    more = {"contract": _exploring_seconds()}
    stages = may_run(asked(option("markexpr")), target, bool(option("markexpr")))
    require_packages(stages, target)
    planted = fault(option("--fault"), target)
    known = option("--previous-contract")
    if known is None and planted is not None:
        known = planted.previous_contract
    profile = load_profile(option("--load-profile"))
    if "load" in stages:
        service_levels()
    if option("--keep-stack") and not target.ours:
        raise pytest.UsageError(
            f"expected --keep-stack with a disposable stack only, got --target {target.name}"
        )
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
        fault=planted,
        until_caught=until_caught(option("--until-caught"), option("--fault")),
        previous_contract=previous_contract(known),
        load_profile=profile,
        more_seconds=more | {"load": profile.seconds if profile else 0.0},
        load_workers=load_workers(option("--load-workers")),
        baseline=baseline(compared_with(option("--baseline"), planted, stages), target, profile),
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
    if (target.ours or stages != ("smoke",)) and find_spec("testcontainers") is None:
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
        (path / "runs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise pytest.UsageError(
            f"expected --report-dir to be a folder that can be written, got {path}:"
            f" {error.strerror}"
        ) from None
    if not os.access(path / "runs", os.W_OK):
        raise pytest.UsageError(f"expected --report-dir to be a writable folder, got {path}")
    return path


def compose_files(given: Iterable[str], target: Target) -> tuple[Path, ...]:
    """Compose files to put on top. Raises `pytest.UsageError` for what is no compose file."""
    paths = tuple(Path(word).absolute() for word in given)
    if paths and not target.ours:
        raise pytest.UsageError(
            f"expected --compose-file with a disposable stack only, got --target {target.name}"
        )
    for path in paths:
        _check_compose_file(path)
    return paths


def on_stack(value: str | None, target: Target) -> str | None:
    """The run whose stack is used. Raises `pytest.UsageError`."""
    if value is not None and not target.ours:
        raise pytest.UsageError(
            f"expected --on-stack with a disposable stack only, got --target {target.name}"
        )
    return _text("--on-stack", value)


def fault(value: str | None, target: Target) -> "Fault | None":
    """The fault to plant. Raises `pytest.UsageError` for a file that is none."""
    if value is None:
        return None
    if not target.ours:
        raise pytest.UsageError(
            f"expected --fault with a disposable stack only, got --target {target.name}"
        )
    from tests.faults import fault as faults  # only where one is planted
    from tests.faults import planters

    try:
        found = faults.load(Path(value).absolute())
        planters.change_sources(found)
        return found
    except faults.FaultError as error:
        raise pytest.UsageError(str(error)) from None


def until_caught(wanted: bool, fault_file: str | None) -> bool:
    """Whether stages end early. Raises `pytest.UsageError` without a fault to catch."""
    if wanted and fault_file is None:
        raise pytest.UsageError("expected --until-caught with --fault FILE, got no --fault")
    return wanted


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


def _exploring_seconds() -> float:
    """By which the contract stage takes longer than in the gate. Raises `pytest.UsageError`."""
    from contracts.budget import MINUTES, SEED, budget

    if not (os.environ.get(SEED) or os.environ.get(MINUTES)):
        return 0.0
    try:
        return budget().more_seconds
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


def previous_contract(source: str | None) -> Mapping[str, Any] | None:
    """The contract at a path or URL. Raises `pytest.UsageError` for what is none."""
    if source is None:
        return None
    from contracts.agreed import ContractError, read  # only where one is given

    try:
        return read(source)
    except ContractError as error:
        raise pytest.UsageError(f"--previous-contract: {error}") from None


def load_workers(word: str | None) -> int:
    """How many generator processes. Raises `pytest.UsageError`."""
    if word is not None and not re.fullmatch(r"[1-9]|[1-5]\d|6[0-4]", word):
        raise pytest.UsageError(
            f"expected --load-workers to be a number from 1 to 64, got {word!r}"
        )
    return int(word or 1)


def load_profile(word: str | None) -> "Profile | None":
    """A traffic model by name or path. Raises `pytest.UsageError` for what is none."""
    if word is None:
        return None
    from load import measures, profile, slo  # only where one is given

    try:
        chosen, ours = profile.load(word), profile.load("gate")
    except FileError as error:
        raise pytest.UsageError(f"--load-profile: {error}") from None
    if odd := set(chosen.names) ^ set(ours.names):
        raise pytest.UsageError(  # an operation more would be judged by no check of the stage
            f"--load-profile: expected the operations of the profile gate in {word}, but"
            f" {', '.join(sorted(odd))} is in one of the two only;"
            " `python -m load run` takes any"
        )
    if short := measures.too_short_for(chosen, slo.load()):
        raise pytest.UsageError(  # its checks could only say that they do not know
            f"--load-profile: expected {word} to last long enough for every service level, but it"
            f" is too short for {', '.join(short)}; `python -m load run` takes any"
        )
    return chosen


def service_levels() -> None:
    """Raises `pytest.UsageError` where load/slo.toml, which the load stage is made from, is bad."""
    from load import slo

    try:
        slo.load()
    except FileError as error:
        raise pytest.UsageError(str(error)) from None


def compared_with(word: str | None, planted: "Fault | None", stages: tuple[str, ...]) -> str | None:
    """The baseline's name: given, or that of the fault. Raises `pytest.UsageError`."""
    if word is not None and "load" not in stages:
        got = " or ".join(stages)
        raise pytest.UsageError(f"expected --baseline with the load stage, got -m {got!r}")
    if word is None and planted is not None and "load" in stages:
        return planted.baseline
    return word


def baseline(word: str | None, target: Target, chosen: "Profile | None") -> "Version | Run | None":
    """What to compare with. Raises `pytest.UsageError` for what can be none."""
    if word is None:
        return None
    from compose import earlier  # only where one is given
    from load import profile, samples, versus

    chosen = chosen or profile.load("gate")
    try:
        folder = samples.folder(Path(word))
        if folder is not None:
            found = samples.read(folder)
            versus.require(found, chosen)
            return found
        if not target.ours:
            raise pytest.UsageError(
                "expected --baseline VERSION with a disposable stack of this run, whose images"
                f" alone differ, got --target {target.name}"
            )
        chosen.comparing()
        return earlier.find(word)
    except (FileError, samples.RunError, earlier.VersionError) as error:
        raise pytest.UsageError(f"--baseline: {error}") from None


def _text(name: str, value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise pytest.UsageError(f"expected {name} to have a value, got a blank one")
    return value
