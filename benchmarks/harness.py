"""Ours and a peer, alternately, in one process on the same inputs.

A script defines ``cases()`` that yields :class:`Case`, and ends with ``main(name, __doc__, cases)``. It checks that
both computed the same before it yields a case. ``--write`` keeps the table for the book's status page.
"""

import argparse
import datetime
import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from replib import environment
from replib.record import write_atomically

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        what: the task and its size.
        peer: who else does it, with the version.
        ours, theirs: do it once; equal amounts of work, or ``work`` says how many of theirs one of ours is worth.
        same: how it was checked that both compute the same.
        why: where the peer wins, why.
        rounds: how often both are timed, after one round that is not counted.
    """

    what: str
    peer: str
    ours: Callable[[], object]
    theirs: Callable[[], object]
    same: str
    work: float = 1.0
    why: str = ""
    rounds: int = 7


def installed(package: str) -> str:
    """A package with its version."""
    return f"{package} {version(package)}"


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compared(case: Case) -> dict:
    """Median ratio of their time to ours, its range over rounds, and the median times."""
    pairs = []
    for k in range(case.rounds + 1):  # the first round warms up; who goes first changes from round to round
        first, second = (case.ours, case.theirs) if k % 2 else (case.theirs, case.ours)
        times = seconds(first), seconds(second)
        pairs.append(times if k % 2 else times[::-1])
    pairs = pairs[1:]
    ratios = [case.work * theirs / ours for ours, theirs in pairs]
    ours, theirs = (statistics.median(t) for t in zip(*pairs, strict=True))
    return {
        "what": case.what,
        "peer": case.peer,
        "ratio": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
        "ours_s": ours,
        "theirs_s": theirs * case.work,
        "same": case.same,
        "why": case.why,
    }


def main(script: str, description: str, cases: Callable[[], Iterable[Case]]) -> None:
    """Command line of a script: time its cases, print the table, and with ``--write`` keep it."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the table for the book's status page")
    write = parser.parse_args().write
    rows = []
    for case in cases():
        row = compared(case)
        rows.append(row)
        print(
            f"{row['what']} | {row['peer']} | {row['ratio']:.2f} ({row['low']:.2f} to {row['high']:.2f}) | "
            f"ours {row['ours_s']:.3g} s, theirs {row['theirs_s']:.3g} s",
            flush=True,
        )
    if write:
        keep(script, rows)


def keep(script: str, rows: list[dict]) -> None:
    """Write a script's rows where the status page reads them."""
    made = {"date": datetime.date.today().isoformat(), "cpu": environment.describe().cpu, "rows": rows}
    write_atomically(RESULTS / f"{script}.json", json.dumps(made, indent=1) + "\n")
