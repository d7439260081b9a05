"""`python -m compose.lifecycle COMMAND`: what compose/*.sh and `make deploy|update|…` call.

LIFECYCLE_OPTIONS are options for every command, quoted as in a shell: `--state "my state"`.
"""

import argparse
import math
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from compose.lifecycle import (
    adopt,
    alert,
    archives,
    backups,
    deploy,
    owner,
    preflight,
    recovery,
    releases,
    restore,
    rollback,
    status,
    update,
)
from compose.lifecycle.deployment import API, COLOURED, Deployment
from compose.lifecycle.errors import REFUSED, Rejected, report_and_continue
from compose.lifecycle.journal import Journal, deployment_lock, new_id
from compose.lifecycle.state import (
    CommandState,
    DeployState,
    RestoreState,
    RollbackState,
    UpdateOptions,
    UpdateState,
)
from compose.lifecycle.steps import Step, nothing, show_plan
from compose.release import HERE, Release, release
from gate.errors import BAD_INPUT, MACHINE, MachineError, TargetError, UsageError
from gate.machine.console import Parser, recorded, say, say_once, show
from gate.machine.interrupts import exit_code, run_main
from gate.machine.limits import machine_error
from gate.settings import exists
from gate.target import DEPLOYED_PROJECT, env_values
from reports.words import count, listed

Options = argparse.Namespace
OPTIONS = "LIFECYCLE_OPTIONS"
"""The variable that has options for every command."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit code: 0, 1 refused or put back, 4 bad input, 6 machine trouble."""
    parser = _parser()
    options, unknown = parser.parse_known_args(_words() if arguments is None else arguments)
    if unknown:  # argparse lets the parser of all commands say it, under its own name
        parser.prog = f"compose/{options.command}.sh"
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    deployment = described(options)
    code = _ended(deployment, options, lambda: _admit(deployment, options))
    if code:
        return code
    only_shows = options.command in SHOWING or options.dry_run
    folder = None if only_shows else deployment.state / "logs"
    with recorded(folder, f"{new_id()}-{options.command}", deployment.redacted) as log:
        code = _ended(deployment, options, lambda: COMMANDS[options.command](deployment, options))
        if code and log:
            say(f"  every line of it is in {log}")
    return code


def _words() -> list[str]:
    try:
        return [*sys.argv[1:], *shlex.split(os.environ.get(OPTIONS, ""))]
    except ValueError as error:
        return _parser().error(f"expected {OPTIONS} quoted as in a shell, got: {error}")


def _ended(deployment: Deployment, options: Options, work: Callable[[], None]) -> int:
    try:
        work()
    except (UsageError, TargetError) as error:
        say(f"{options.command}: {error}")
        return BAD_INPUT
    except Rejected as error:
        say(f"{options.command} of {deployment.project}: {error}")
        return REFUSED
    except (MachineError, OSError) as error:
        why = machine_error(error) if isinstance(error, OSError) else None
        say(f"{options.command} of {deployment.project} stopped. {why or error}")
        return MACHINE
    except KeyboardInterrupt as interrupted:
        how = str(interrupted) or "interrupted"
        left = None
        with suppress(Exception):  # such as a journal that nobody can read
            left = recovery.unfinished_command(deployment)
        say(f"{options.command} of {deployment.project}: {how}{f'; {left}' if left else ''}")
        return exit_code()
    return 0


def _admit(deployment: Deployment, options: Options) -> None:
    """Refuse what cannot be read, or belongs to another, before anything is touched."""
    if key_file := getattr(options, "key_file", None):
        archives.key_from(key_file)
    if options.env_file or exists(deployment.env_file):  # without compose/.env deploy says so
        env_values(deployment.env_file)
    if options.command == "adopt":
        owner.answering()
        return
    owner.require(deployment)
    if not options.dry_run:
        recovery.clear(deployment)


def described(options: Options) -> Deployment:
    """Give the deployment that the options name."""
    files = tuple(options.file) or (HERE / "compose.yaml",)
    state = options.state or HERE / "releases" / options.project
    return Deployment(options.project, files, options.env_file or HERE / ".env", state)


def wanted() -> Release:
    """Choose what to deploy: this tree, or what BOT_TAG, BOT_VERSION and BOT_REVISION name."""
    tag = os.environ.get("BOT_TAG")
    if not tag:
        chosen = release()
        if chosen.revision == "unknown":
            say_once(
                f"  ! {HERE.parent} is no git checkout: its revision is unknown, and what runs is"
                f" told by version {chosen.version} and tag {chosen.tag} alone"
            )
        return chosen
    version = os.environ.get("BOT_VERSION", "0.0.0")
    return Release(version, os.environ.get("BOT_REVISION", "unknown"), tag)


# The commands


def deploy_(deployment: Deployment, options: Options) -> None:
    """Bring everything up, or up to date with a short interruption."""
    chosen = wanted()

    def read_state() -> DeployState:
        return DeployState(
            id=new_id(),
            release=chosen,
            had_data=deployment.has_volume("data"),
            ran=bool(deployment.containers(API)),
            key_file=options.key_file,
        )

    _carry_out(deployment, options, chosen, read_state)


def update_(deployment: Deployment, options: Options) -> None:
    """Switch to another release without downtime."""
    chosen = wanted()

    def read_state() -> UpdateState:
        if not all(deployment.containers(service) for service in COLOURED):
            gone = "its containers are gone: `compose/start.sh` makes them anew"
            raise Rejected(gone if releases.current(deployment) else deploy.NOTHING)
        return update.read_state(deployment, chosen, _update_options(options))

    _carry_out(deployment, options, chosen, read_state)


def rollback_(deployment: Deployment, options: Options) -> None:
    """Undo what was interrupted, or go back to an earlier release."""
    with deployment_lock(deployment.state, "rollback"):
        if _recover(deployment, options) and not options.release:
            return summary(deployment, "recovered")
    present, earlier = releases.current(deployment), _earlier(deployment, options)
    if present is None:
        raise Rejected("nothing was deployed here yet")
    archive = None
    if options.restore_data:
        newer = releases.backup_to_go_back_with(deployment, earlier) or present
        if not newer.backup:
            raise Rejected(f"there is no backup from before {newer.tag}")
        archive = backups.find(deployment, newer.backup)
        with restore.opened(deployment, archive, options.key_file):
            pass  # found out before anything is stopped
    change = rollback.plan_schema_change(present, earlier, archive)
    if archive and not change.schema_differs:
        raise UsageError(
            f"expected --restore-data with a release of an older schema, but {earlier.tag} has the"
            f" same: roll back without it, and `compose/restore.sh {archive.name}` puts data back"
        )

    def read_state() -> RollbackState:
        return rollback.read_state(deployment, earlier.release, _update_options(options), change)

    return _carry_out(deployment, options, earlier.release, read_state)


def backup_(deployment: Deployment, options: Options) -> None:
    """Back up, and with --verify prove that it can be restored."""
    if options.dry_run:
        backups.require_data(deployment)
        rows = {"backup": f"data, Redis and settings, into {backups.folder(deployment)}"}
        rows["prune"] = f"of {count(len(backups.listed(deployment)), 'backup')} what is not kept"
        rows |= {"verify": "restore it into a scratch stack, compare"} if options.verify else {}
        return _show_plan(deployment, options, rows)
    with deployment_lock(deployment.state, "backup"):
        update.purge_retained(deployment)
        path = backups.make(deployment, options.key_file)
        say(f"{path}: {path.stat().st_size} bytes")
        with report_and_continue("older backups were not removed"):
            backups.prune(deployment, path, options.keep)
    if options.verify:
        manifest = restore.verify(deployment, path, options.key_file)
        say(f"restored into a scratch stack and equal: rows {manifest['rows']}")
    return None


def restore_(deployment: Deployment, options: Options) -> None:
    """Put a backup's data in place of what is there."""
    archive = backups.find(deployment, options.archive)
    down = not deployment.containers()
    if down and releases.current(deployment) is None:
        raise Rejected("nothing was deployed here yet: `compose/deploy.sh` comes before a restore")
    for service in restore.SERVICES:
        if not down and not deployment.containers(service):
            raise Rejected(f"there is no container of {service}: `compose/start.sh` makes one")
    with restore.opened(deployment, archive, options.key_file) as (_, manifest):
        say(f"{archive.name}: made {manifest['made']}, rows {manifest['rows']}")
    state = RestoreState(id=new_id(), archive=str(archive), key_file=options.key_file, down=down)
    with deployment_lock(deployment.state, "restore"):
        _recover(deployment, options)
        if _planned(deployment, options, state):
            recovery.execute(deployment, state)
            _prune_of_commands(deployment)
            summary(deployment, f"restored from {archive.name}")


def status_(deployment: Deployment, _: Options) -> None:
    """Say what runs, what should, and what differs."""
    lines, drift = status.report(deployment)
    for line in [*lines, *owner.lines(deployment)]:
        show(line)
    for line in drift:
        show(f"  ! {line}")
    if drift:
        are = "is" if len(drift) == 1 else "are"
        raise Rejected(f"{count(len(drift), 'thing')} {are} not as expected")


def start_(deployment: Deployment, options: Options) -> None:
    """Start what was stopped, recover what was broken off, make anew what was pruned."""
    with deployment_lock(deployment.state, "start"):
        unfinished = recovery.unfinished_command(deployment)
        lacking = [] if unfinished else deploy.to_make_anew(deployment)
        if options.dry_run:
            rows = dict.fromkeys(lacking, "made anew: its container is gone")
            for container in recovery.to_start(deployment):
                rows[container.service] = f"started, now {container.state}"
            rows |= {"recover": unfinished} if unfinished else {}
            return _show_plan(deployment, options, rows)
        deployment.open_files()
        if lacking:
            say(f"    {listed(lacking)}: made anew, for the container is gone")
            deploy.make_anew(deployment, new_id())
        deploy.start(recovery.to_start(deployment))
        recovery.recover(deployment)
        owner.claim(deployment)
    summary(deployment, "started")
    return None


def stop_(deployment: Deployment, options: Options) -> None:
    """Stop everything; data stay."""
    if options.dry_run:
        running = [one for one in deployment.containers() if one.state == "running"]
        rows = {one.service: "stopped" for one in running}
        return _show_plan(deployment, options, rows or {"nothing": "runs"})
    with deployment_lock(deployment.state, "stop"):
        deploy.stop(deployment)
    say(f"{deployment.project}: stopped; data and containers stay, `compose/start.sh` starts them")
    return None


def adopt_(deployment: Deployment, options: Options) -> None:
    """Take over what another folder deployed, on purpose; changes nothing that runs."""
    adopt.adopt(deployment, options.dry_run)


def preflight_(deployment: Deployment, options: Options) -> None:
    """Say what speaks against a deploy, and change nothing."""
    _preflight(deployment, options, wanted())
    say(f"{deployment.project}: nothing speaks against it")


# Their parts


def _carry_out(
    deployment: Deployment,
    options: Options,
    chosen: Release,
    read_state: Callable[[], CommandState],
) -> None:
    """Recover what an earlier command left, then carry this one out from what is there now."""
    with deployment_lock(deployment.state, options.command):
        _recover(deployment, options)
        state = read_state()
        _preflight(deployment, options, chosen)
        if not _planned(deployment, options, state):
            return
        owner.claim(deployment)
        try:
            recovery.execute(deployment, state)
        except (Exception, KeyboardInterrupt) as error:
            alert.send(deployment, f"{state.command} to {chosen.version} ({chosen.tag}): {error}")
            raise
        finally:
            _prune_of_commands(deployment)  # one that fails makes one, too
    summary(deployment, f"{chosen.version} ({chosen.revision[:12]}) runs")


def _prune_of_commands(deployment: Deployment) -> None:
    with report_and_continue("older backups of commands were not removed"):
        backups.prune_of_commands(deployment)


def _recover(deployment: Deployment, options: Options) -> bool:
    if options.dry_run:
        return False
    update.purge_retained(deployment)
    return recovery.recover(deployment)


def _preflight(deployment: Deployment, options: Options, chosen: Release) -> None:
    allowed = frozenset(options.allow)
    if options.command == "rollback":
        allowed |= preflight.NOT_OF_A_ROLLBACK
    findings = preflight.findings(deployment, chosen, allowed)
    for finding in findings:
        say(f"  ! expected {finding.expected}; {finding.todo} (--allow {finding.check} allows it)")
    if findings:
        raise Rejected(f"{count(len(findings), 'finding')} of the preflight; nothing was changed")


def _planned(deployment: Deployment, options: Options, state: CommandState) -> bool:
    journal = Journal(Path(os.devnull), state)
    show_plan(f"{state.command} of {deployment.project}", recovery.steps_of(deployment, journal))
    return not options.dry_run


def _show_plan(deployment: Deployment, options: Options, rows: Mapping[str, str]) -> None:
    """Say what a command without a journal would do."""
    steps = [Step(name, description, nothing) for name, description in rows.items()]
    show_plan(f"{options.command} of {deployment.project}", steps)


def _update_options(options: Options) -> UpdateOptions:
    return UpdateOptions(
        watch=options.watch,
        canary=options.canary,
        canary_seconds=options.seconds,
        keep_minutes=options.keep_previous,
        key_file=options.key_file,
    )


def _earlier(deployment: Deployment, options: Options) -> releases.Manifest:
    tags = releases.history(deployment)
    if not options.release and len(tags) < 2:
        raise Rejected("there is no earlier release to go back to")
    return releases.load(deployment, options.release or tags[-2])


def summary(deployment: Deployment, outcome: str) -> None:
    """Say where everything is and what comes next."""
    say(f"{deployment.project}: {outcome}")
    with report_and_continue("where it is cannot be told"):
        where = deploy.seen_by(deployment)
        say(f"  page {where.url}/   API {where.url}/api/health   metrics {where.url}/prometheus/")
        if where.ca_file:
            say(f"  clients verify with {where.ca_file}")
    say("  next: `compose/status.sh` shows what runs, `compose/rollback.sh` goes back")


COMMANDS: dict[str, Callable[[Deployment, Options], None]] = {
    "deploy": deploy_,
    "update": update_,
    "rollback": rollback_,
    "backup": backup_,
    "restore": restore_,
    "status": status_,
    "start": start_,
    "stop": stop_,
    "preflight": preflight_,
    "adopt": adopt_,
}
PLANNED = ("deploy", "update", "rollback", "restore")
"""Commands of steps, along a journal."""
SHOWING = ("status", "preflight")
"""Commands that change nothing: they leave no log."""
PREFLIGHTED = ("deploy", "update", "rollback", "preflight")


def _parser() -> argparse.ArgumentParser:
    common = Parser(add_help=False)
    common.add_argument(
        "--project", type=_project, default=DEPLOYED_PROJECT, help="compose project"
    )
    common.add_argument(
        "--file", type=_path, action="append", default=[], help="compose file, repeatable"
    )
    common.add_argument("--env-file", type=_file, help="settings, in place of compose/.env")
    common.add_argument(
        "--dry-run", action="store_true", help="show what would be done, change nothing"
    )
    common.add_argument("--state", type=_path, help="folder of journals, manifests and backups")
    parser = Parser(prog="python -m compose.lifecycle", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        script = f"compose/{name}.sh"
        command_parser = commands.add_parser(
            name,
            prog=script if (HERE.parent / script).is_file() else None,
            help=command.__doc__,
            description=command.__doc__,
            parents=[common],
        )
        _options_of(command_parser, name)
    return parser


def _options_of(command_parser: argparse.ArgumentParser, name: str) -> None:
    """Add only what the command heeds: a `stop --dry-run` that stops is worse than a refusal."""
    if name in (*PLANNED, "backup"):
        command_parser.add_argument(
            "--key-file",
            type=lambda word: str(_path(word)),
            help="key to encrypt or open backups with",
        )
    if name in PREFLIGHTED:
        checks = [check.__name__ for check in preflight.CHECKS]
        command_parser.add_argument(
            "--allow", action="append", default=[], choices=checks, help="go on despite a finding"
        )
    amount, percent = partial(_between, 0, 999_999), partial(_between, 0, 50)
    if name in ("update", "rollback"):
        command_parser.add_argument("--watch", type=amount, default=30.0, metavar="SECONDS")
        command_parser.add_argument("--canary", type=percent, default=0.0, metavar="PERCENT")
        command_parser.add_argument(
            "--for", dest="seconds", type=amount, default=60.0, metavar="SECONDS"
        )
        command_parser.add_argument("--keep-previous", type=amount, default=0.0, metavar="MINUTES")
    if name == "rollback":
        command_parser.add_argument(
            "release", nargs="?", help="tag of a kept release; else the one before"
        )
        command_parser.add_argument(
            "--restore-data", action="store_true", help="data of the backup before it"
        )
    if name == "backup":
        command_parser.add_argument(
            "--verify", action="store_true", help="restore it into a scratch stack"
        )
        command_parser.add_argument(
            "--keep",
            type=_count,
            metavar="N",
            help="keep only the last N of each kind; else 14, of 14 days and of 8 weeks, and of"
            " what commands made 7, of 7 days and of 4 weeks",
        )
    if name == "restore":
        command_parser.add_argument("archive", help="name or path of a backup")


def _path(word: str) -> Path:
    """Make a path whole: it is written down, and read by commands that are given elsewhere."""
    if not word.strip():  # an unset variable of somebody's script, not a wish for the default
        raise argparse.ArgumentTypeError("expected a path, got a blank one")
    try:
        return Path(word).resolve()
    except (OSError, RuntimeError) as error:  # such as a current folder that is gone
        raise argparse.ArgumentTypeError(f"expected a path, got {word!r}: {error}") from None


def _file(word: str) -> Path:
    """Make a path whole under its own name, for sentences about it: it may be a link."""
    return _path(str(Path(word).parent)) / Path(word).name if Path(word).name else _path(word)


def _project(word: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", word):
        raise argparse.ArgumentTypeError(
            "expected a compose project of small letters, digits, `-` and `_` that begins with a"
            f" letter or digit, got {word!r}"
        )
    return word


def _count(word: str) -> int:
    if not (word.isdecimal() and int(word)):
        raise argparse.ArgumentTypeError(f"expected a number from 1, got {word!r}")
    return int(word)


def _between(low: float, high: float, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"expected a number from {low} to {high}, got {word!r}")
    return value


if __name__ == "__main__":
    sys.exit(run_main(main))
