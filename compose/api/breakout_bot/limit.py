"""How often the engine may be controlled: a bucket that fills at a steady rate."""

import math
import time

from starlette.exceptions import HTTPException

BURST_SECONDS = 5.0


class RateLimit:
    """One bucket for the deployment: whoever has the key is one operator."""

    def __init__(self, per_second: float) -> None:
        self._rate = per_second
        self._most = per_second * BURST_SECONDS
        self._left = self._most
        self._at = time.monotonic()
        self.refused = 0

    def take(self) -> None:
        """Take one token, or raise 429 with the seconds until there is one."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            self.refused += 1
            wait = math.ceil((1 - self._left) / self._rate)
            sentence = (
                f"more than {self._rate:g} control operations a second; emergency-stop is free"
            )
            raise HTTPException(429, sentence, {"Retry-After": str(wait)})
        self._left -= 1
