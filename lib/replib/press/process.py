"""Processes that do not outlive the one that started them."""

import ctypes
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def dies_with_parent(signal_: signal.Signals) -> Callable[[], None] | None:
    """For ``preexec_fn``: this signal comes when the parent ends, however it ends. On Linux; None elsewhere."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal_))

    return arrange
