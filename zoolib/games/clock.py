"""One player's clock, as GTP has it (Farnebäck 2002, section 4.2): main time, then so many moves in each period."""

import math


class Clock:
    """Seconds `left`: for the next `stones` moves, or of the main time where that is 0."""

    def __init__(self, main: float = math.inf, period: float = 0, moves: int = 0):
        """main: seconds, and then `moves` moves in each `period` of seconds.

        period 0: the main time is all there is.  A period of no moves is how GTP says that there is no limit.
        """
        self.left = math.inf if period and not moves else float(main)
        self.period, self.moves = period, moves if period else 0
        self.stones = 0
        self._overtime()

    def _overtime(self) -> None:
        """The first period begins where the main time is used up; what went beyond it counts."""
        if self.left <= 0 and self.moves and not self.stones:
            self.left, self.stones = self.left + self.period, self.moves

    def share(self, expected: float) -> float:
        """Seconds for a move, when `expected` more are to be played (at least 1)."""
        if self.stones:
            return self.left / self.stones
        return max(self.left / expected, self.period / self.moves if self.moves else 0)

    def spend(self, seconds: float) -> None:
        """A move has taken so long.  One in which a period begins is the first of that period."""
        self.left -= seconds
        self._overtime()
        if self.stones == 1:
            self.left, self.stones = (self.period, self.moves) if self.moves else (math.inf, 0)
        elif self.stones:
            self.stones -= 1
        self.left = max(0.0, self.left)

    def set(self, left: float, stones: int) -> None:
        """What the referee says is left; stones is 0 in the main time."""
        self.left, self.stones = float(left), stones
        self._overtime()
