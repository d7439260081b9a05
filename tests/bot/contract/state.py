"""What the deployment held before this stage, and the way back to it."""

from dataclasses import dataclass
from typing import Any

from gate import Operator, expect
from tests.bot.api import Engine
from tests.bot.contract.engine import to_idle

Preset = dict[str, Any]


@dataclass(frozen=True)
class Before:
    """Presets by name, and the one in use."""

    presets: dict[str, Preset]
    active: str


def seen(operator: Operator) -> Before:
    """What the deployment holds now."""
    body = operator.json("/api/presets/")
    whole = isinstance(body, dict) and {"presets", "active"} <= body.keys()
    expect(whole, "the presets and the one in use from /api/presets/", body)
    return Before({one["name"]: one for one in body["presets"]}, body["active"])


def put_back(operator: Operator, before: Before) -> list[str]:
    """Lead engine and presets back; returns what had to be changed. Fails the check where it can't.

    The API cannot remove a preset, so presets that this stage made stay.
    """
    to_idle(operator)
    now = seen(operator)
    changed = [name for name, one in before.presets.items() if now.presets.get(name) != one]
    for name in changed:
        body = {key: value for key, value in before.presets[name].items() if key != "name"}
        Engine(operator).put_preset(name, body)
    if now.active != before.active:
        Engine(operator).command("start", preset=before.active)
        to_idle(operator)
        changed.append(f"{before.active} in use")
    return changed
