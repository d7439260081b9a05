"""The exchange's clock: the wall's, or one that runs faster, or one that is wrong for a drill."""

import time


class Clock:
    """Tells the exchange's time in seconds since 1970."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.offset_seconds = 0.0
        self._began = time.monotonic()
        self._wall = time.time()

    @property
    def elapsed(self) -> float:
        """Exchange seconds since the start; an offset does not count."""
        return (time.monotonic() - self._began) * self.scale

    def now(self) -> float:
        """Tell the time; in real time it follows the wall clock, also when that is set right."""
        wall = time.time() if self.scale == 1 else self._wall + self.elapsed
        return wall + self.offset_seconds
