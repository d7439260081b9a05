"""`python -m contracts [FILE|URL]` agrees on what is served there (`make contract-accept`).

Without an argument a disposable stack of this work tree is brought up and asked.
"""

import asyncio
import sys
from typing import Any

from compose import stack as stacks
from compose.machine.console import MachineError, say
from compose.release import release
from compose.stack import Stack
from compose.sweep import new_run_id
from compose.target import Credentials, Target
from compose.wire import Wire
from contracts.agreed import FILE, ContractError, accept, read


def served() -> dict[str, Any]:
    """The document that a stack of this work tree serves. Raises `MachineError`."""
    stacks.clean_start()
    with Stack(new_run_id(), release()) as stack:
        stacks.build(stack.compose, stack.release)
        problem = stack.up()
        problems = [problem] if problem else stack.ready(stack.target())
        if problems:
            raise MachineError(f"expected a healthy stack, got {problems[0].seen}")
        return asyncio.run(_asked(stack.target(), stack.credentials))


async def _asked(target: Target, credentials: Credentials) -> dict[str, Any]:
    async with Wire(target, credentials, lambda _: None) as wire:
        answer = await wire.http("/api/openapi.json")
    return dict(answer.json())


def main(arguments: list[str]) -> int:
    """Agree, and say what changed; 4 for a document that cannot be used."""
    try:
        accepted = accept(read(arguments[0]) if arguments else served())
    except (ContractError, MachineError) as error:
        say(str(error))
        return 4
    for change in accepted.changes:
        say(f"{'BREAKING' if change.breaking else 'ok':8} {change.where}: {change.what}")
    say(f"{FILE.name}: version {accepted.version}, {len(accepted.changes)} changes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
