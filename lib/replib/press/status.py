"""How a run ended."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Status:
    """How a run ended.

    Attributes:
        state: ``ok``, ``failed``, ``timed out`` or ``killed``.
        seconds: wall time of the whole process, imports and kernel start included.
        inputs: what was run, by name and hash, as it was at the start; see :mod:`replib.press.digest`.
        message: the last lines of the traceback, or what killed it.
    """

    slug: str
    profile: str
    state: str
    seconds: float
    inputs: dict
    message: str = ""


def read_status(path: Path) -> Status | None:
    """The status in a file; None where there is none that can be read."""
    try:
        return Status(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
