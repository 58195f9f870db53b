"""Multiple-firing events: bursts of recurrent spikes, found while a network runs.

An E spike is recurrent if an E kick acted on its neuron in the same step, so that the drive alone did not cause it. Let
c be the number of recurrent spikes within the last window. An event begins when c reaches a threshold, and ends once c
has been at most half of it for some time.
"""

import numpy as np


def within_window(counts: np.ndarray, window: int) -> np.ndarray:
    """Sum over the last ``window`` steps, the present one included: (T, B) -> (T, B)."""
    total = np.cumsum(counts, 0)
    total[window:] -= total[:-window].copy()
    return total


def otsu_threshold(counts: np.ndarray) -> tuple[int, float]:
    """Otsu's (1979) split of sqrt(counts) into two classes.

    Of all splits the one with the largest variance between the classes. Its share of the total variance is 2 / pi for a
    normal variable, however it is split best.

    Args:
        counts: non-negative whole numbers, at least two different ones.

    Returns:
        The smallest count of the upper class, and the share of variance between the classes.

    Raises:
        ValueError: all counts are alike.
    """
    number = np.bincount(np.ravel(counts)).astype(float)
    if (number > 0).sum() < 2:
        raise ValueError("a split into two classes needs at least two different counts")
    share, x = number / number.sum(), np.sqrt(np.arange(len(number)))
    low, moment, mean = np.cumsum(share)[:-1], np.cumsum(share * x)[:-1], share @ x
    both = (low > 0) & (low < 1)
    between = np.zeros_like(low)
    between[both] = (mean * low - moment)[both] ** 2 / (low * (1 - low))[both]
    # of equal splits, which differ by counts that never occur, the highest threshold
    best = len(between) - 1 - int(np.argmax(between[::-1] >= between.max() * (1 - 1e-12)))
    return best + 1, between.max() / (share @ x**2 - mean**2)


class EventDetector:
    """Events in B replicas at once, fed one step at a time.

    Args:
        replicas: B.
        threshold: an event begins when c is at least this, and ends when c has been at most half of it for long enough.
        window: steps over which c counts.
        quiet: steps for which c must stay low.
        recent: (B, window) recurrent spikes of the last steps, oldest first, of replicas in which an event has just
            begun; without it no event is under way and the windows are empty.

    Attributes:
        inside: (B,) whether an event is under way.
        size: (B, 2) spikes of E and I since the step after the onset, of the present event or the last.
        duration: (B,) its steps so far.
    """

    def __init__(
        self, replicas: int, threshold: float, window: int, quiet: int, recent: np.ndarray | None = None
    ) -> None:
        if not threshold > 0 or min(window, quiet) < 1:
            raise ValueError(f"threshold, window and quiet time must be positive, got {threshold}, {window}, {quiet}")
        self.threshold, self.quiet, self._at = threshold, quiet, 0
        self._window = np.zeros((replicas, window), dtype=int) if recent is None else recent.copy()
        self.inside = np.full(replicas, recent is not None)
        self._low, self.duration = np.zeros(replicas, dtype=int), np.zeros(replicas, dtype=int)
        self.size = np.zeros((replicas, 2), dtype=int)

    @property
    def recent(self) -> np.ndarray:
        """(B, window) recurrent spikes of the last steps, oldest first."""
        return np.roll(self._window, -self._at, 1)

    def update(self, e: np.ndarray, i: np.ndarray, recurrent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take one step's counts, (B,) each; returns the replicas where an event begins, and where one has ended.

        After an end detection starts anew, with an empty window.
        """
        self._window[:, self._at] = recurrent
        self._at = (self._at + 1) % self._window.shape[1]
        c = self._window.sum(1)
        self.size[:, 0] += e * self.inside
        self.size[:, 1] += i * self.inside
        self.duration += self.inside
        self._low = (self._low + 1) * (self.inside & (c <= self.threshold / 2))
        ended = self.inside & (self._low >= self.quiet)
        begins = ~self.inside & (c >= self.threshold)
        self.inside |= begins
        self.size[begins], self.duration[begins] = 0, 0
        self.restart(ended)
        return np.flatnonzero(begins), np.flatnonzero(ended)

    def restart(self, replicas: np.ndarray) -> None:
        """Forget the event under way in some replicas, and their windows."""
        self._window[replicas], self.inside[replicas] = 0, False

    def keep(self, replicas: np.ndarray) -> None:
        """Go on with some replicas only: indices or a mask."""
        for name in ("_window", "inside", "_low", "duration", "size"):
            setattr(self, name, getattr(self, name)[replicas])
