"""`python -m contracts [FILE|URL [--ca-file FILE]]` agrees on what is served there.

Without an argument a disposable stack of this work tree is brought up and asked.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from contracts.agreed import FILE, accept, read, whole
from gate import target as targets
from gate.errors import GateError, MachineError
from gate.machine.console import Parser, say
from gate.machine.interrupts import run_main
from gate.running import running_stack
from gate.target import Credentials, Target
from gate.wire import Wire, WireError


def served() -> dict[str, Any]:
    """The document that a stack of this work tree serves. Raises `MachineError`."""
    with running_stack() as stack:
        return whole(asyncio.run(_asked(stack.target(), stack.credentials)), "/api/openapi.json")


async def _asked(target: Target, credentials: Credentials) -> object:
    async with Wire(target, credentials, lambda _: None) as wire:
        try:
            return (await wire.http("/api/openapi.json")).json()
        except (WireError, ValueError) as error:
            raise MachineError(
                f"expected the document that the stack serves, got {error}"
            ) from None


def main(arguments: list[str]) -> int:
    """Agree, and say what changed; 4 for a document that cannot be used, 6 without a stack."""
    parser = Parser(prog="python -m contracts", description=__doc__)
    parser.add_argument("source", nargs="?", metavar="FILE|URL")
    parser.add_argument("--ca-file", type=Path, help="CA certificates for the URL")
    asked = parser.parse_args(arguments)
    try:
        place = targets.read(None, asked.ca_file)
        accepted = accept(read(asked.source, place) if asked.source is not None else served())
    except GateError as error:
        say(str(error))
        return error.exit_code
    for change in accepted.changes:
        say(f"{'BREAKING' if change.breaking else 'ok':8} {change.where}: {change.what}")
    say(f"{FILE.name}: version {accepted.version}, {len(accepted.changes)} changes")
    return 0


if __name__ == "__main__":
    sys.exit(run_main(lambda: main(sys.argv[1:])))
