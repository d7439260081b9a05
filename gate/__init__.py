"""The engine: brings any compose stack up, asks it, runs its checks and says what they saw.

What the author of a check needs is here: `from gate import check, expect, fail, get, probe,
Evidence, Operator`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gate.checks import CheckFailed, check, expect, fail
    from gate.evidence import Evidence, Probe, get, probe
    from gate.operator import Operator

__all__ = [
    "CheckFailed",
    "Evidence",
    "Operator",
    "Probe",
    "check",
    "expect",
    "fail",
    "get",
    "probe",
]
_MODULES = {
    **dict.fromkeys(("CheckFailed", "check", "expect", "fail"), "gate.checks"),
    **dict.fromkeys(("Evidence", "Probe", "get", "probe"), "gate.evidence"),
    "Operator": "gate.operator",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for: what looks at a live target imports no operator."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(_MODULES[name]), name)
    return value
