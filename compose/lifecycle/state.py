"""What the steps of a command need to know of each other: typed, and kept in its journal.

The file keeps the names that it always had, so that a checkout of another version can resume it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

from compose.lifecycle.errors import Rejected
from compose.release import Release

OPTIONS_KEY = "wishes"
"""What the file calls the options of an update."""


@dataclass(frozen=True)
class UpdateOptions:
    """How careful an update is."""

    watch: float = 30.0
    """Seconds to watch the new colour after the switch, while the old one can still serve."""
    canary: float = 0.0
    """Percent of the API's requests to the new colour before the switch; 0 is no canary."""
    canary_seconds: float = 60.0
    keep_minutes: float = 0.0
    """How long the old containers are kept, stopped; a later command removes them then."""
    key_file: str | None = None
    """Key to encrypt the backup with."""
    backup: bool = True


@dataclass(kw_only=True)
class CommandState:
    """What every command of steps begins with."""

    command: ClassVar[str]
    id: str = ""
    """Name of its traces, such as the proxy's configuration."""


@dataclass(kw_only=True)
class ReleaseState(CommandState):
    """A command after which a release runs."""

    release: Release
    backup: str | None = None
    """Name of the archive that was made before."""
    verdict: str | None = None
    """Run id of the smoke run that let the release in."""
    new_schema: int = 0
    """Schema that the release's code works with; 0 until its containers are about to start."""
    stopped: bool = False
    """Whether the former bot was stopped because its data were changed."""


@dataclass(kw_only=True)
class DeployState(ReleaseState):
    """A deploy."""

    command: ClassVar[str] = "deploy"
    had_data: bool
    ran: bool | None = None
    """Whether there were containers before; None in a journal that does not say."""
    key_file: str | None = None


@dataclass(kw_only=True)
class UpdateState(ReleaseState):
    """An update."""

    command: ClassVar[str] = "update"
    old: dict[str, str]
    """Container id of each service of the old colour."""
    folder: str
    """The proxy's configuration that was served before."""
    options: UpdateOptions = field(default_factory=UpdateOptions)


@dataclass(frozen=True)
class SchemaChange:
    """What a rollback has to do about the data."""

    schema_differs: bool = False
    """Whether the data are of a newer schema than the earlier release knows."""
    schema: int = 0
    """Schema of the earlier release."""
    restore: str | None = None
    """Archive to take the data from; None for the newer release's own migration."""


@dataclass(kw_only=True)
class RollbackState(UpdateState):
    """A rollback."""

    command: ClassVar[str] = "rollback"
    schema_differs: bool = False
    schema: int = 0
    restore: str | None = None


@dataclass(kw_only=True)
class RestoreState(CommandState):
    """A restore."""

    command: ClassVar[str] = "restore"
    archive: str
    key_file: str | None = None
    down: bool = False
    """Whether there were no containers."""
    before: str | None = None
    """Archive of what was replaced."""


STATES: dict[str, type[CommandState]] = {
    state.command: state for state in (DeployState, UpdateState, RollbackState, RestoreState)
}


def to_json(state: CommandState) -> dict[str, Any]:
    """Give the state as the journal's file has it."""
    content = asdict(state)
    if "options" in content:
        content[OPTIONS_KEY] = content.pop("options")
    return content


def from_json(command: str, content: Mapping[str, Any]) -> CommandState:
    """Read the state of a command, whichever version wrote it. Raises `Rejected`."""
    values = dict(content)
    try:
        if OPTIONS_KEY in values:
            values["options"] = UpdateOptions(**_known(UpdateOptions, values[OPTIONS_KEY]))
        if "release" in values:
            values["release"] = Release(**values["release"])
        kind = STATES[command]
        state = kind(**_known(kind, values))
    except (KeyError, TypeError) as error:
        raise Rejected(
            f"expected a journal of {', '.join(STATES)} that this version can read, got one of"
            f" {command!r} ({error}): give the command again from the checkout that began it"
        ) from None
    _require_types(state)
    return state


def _require_types(state: Any) -> None:
    """Raises `TypeError` for a value that no version writes: the file is damaged."""
    for name, hint in get_type_hints(type(state)).items():
        if get_origin(hint) is ClassVar:
            continue
        value = getattr(state, name)
        kinds = tuple(get_origin(kind) or kind for kind in get_args(hint) or (hint,))
        kinds = (dict,) if get_origin(hint) is dict else kinds
        if not isinstance(value, (*kinds, int) if float in kinds else kinds):
            raise TypeError(f"{name} is {value!r}")
        if is_dataclass(value):
            _require_types(value)


def _known(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what only a later version writes."""
    names = {member.name for member in fields(kind)}
    return {name: value for name, value in values.items() if name in names}
