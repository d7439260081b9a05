"""Programs started from here heed signals, although this one was started with `nohup` or `&`."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from compose.machine.interrupts import NUMBERS


@contextmanager
def heeded_by_children() -> Iterator[None]:
    """Ignore by a handler what is ignored: a program inherits the one, and not the other."""
    ignored = [one for one in NUMBERS if signal.getsignal(one) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
