"""What a chapter's run asks of a cluster: memory, time and GPUs, from its published record."""

import math
from dataclasses import dataclass

from replib.press import outcome
from replib.press.execute import LIMITS
from replib.press.layout import Layout

# a chapter without a record, and what a record's figures are multiplied by: other machines, other libraries
DEFAULT_MIB = 4096
MEMORY_FACTOR, TIME_FACTOR = 1.5, 5
LEAST_MIB, LEAST_MINUTES = 1500, 5


@dataclass(frozen=True)
class Request:
    """What to ask for.

    Attributes:
        mib: memory.
        minutes: wall time.
        gpus: number of GPUs.
    """

    mib: int
    minutes: int
    gpus: int


def request(layout: Layout, slug: str, profile: str) -> Request:
    """The request for one run; smoke runs ask for what the quick one needs."""
    record = outcome.published(layout, slug, "paper" if profile == "paper" else "quick")
    if record is None:
        return Request(DEFAULT_MIB, math.ceil(LIMITS[profile] / 60), 0)
    return Request(
        mib=max(LEAST_MIB, math.ceil(MEMORY_FACTOR * record.cost.peak_mib)),
        minutes=max(LEAST_MINUTES, math.ceil(TIME_FACTOR * record.cost.wall_s / 60)),
        gpus=int(bool(record.environment.gpu)),
    )
