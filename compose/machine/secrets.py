"""`python -m compose.machine.secrets`: compose/.env with random secrets, never overwritten."""

import os
import secrets
import sys
from pathlib import Path

from gate.errors import BAD_INPUT, MACHINE
from gate.machine.console import say

FOLDER = Path(__file__).parents[1]
SECRET_ENDINGS = ("KEY", "PASSWORD")
SECRET_BYTES = 32


def main() -> int:
    """Write compose/.env when there is none."""
    example, target = FOLDER / ".env.example", FOLDER / ".env"
    if not example.is_file():
        say(f"Expected {example} to fill in, but there is none. Restore it from the repository.")
        return MACHINE
    try:
        written = write(example, target)
    except OSError as error:
        say(f"expected to write {target}, but: {error.strerror}")
        return MACHINE
    if not written and not target.exists():
        say(f"expected {target} to be a file or not there, got a link that leads nowhere")
        return BAD_INPUT
    say(
        f"{target}: written, with new secrets; only its owner can read it"
        if written
        else f"{target} is there already and stays as it is"
    )
    return 0


def write(example: Path, target: Path) -> bool:
    """Fill in the example's blank secrets; False when the target exists."""
    text = "".join(map(filled, example.read_text().splitlines(keepends=True)))
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w") as file:
        file.write(text)
    return True


def filled(line: str) -> str:
    """Give a line its secret when it is a secret's and blank: letters and digits only."""
    name, separator, value = line.partition("=")
    blank = separator and not value.strip() and name.isidentifier()
    if not (blank and name.endswith(SECRET_ENDINGS)):
        return line
    return f"{name}={secrets.token_hex(SECRET_BYTES)}\n"


if __name__ == "__main__":
    sys.exit(main())
