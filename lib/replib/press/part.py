"""The summary figures of a part: headline numbers drawn against their criteria, and delays on one time axis.

``book/parts.yml`` and ``book/delays.yml`` name the rows; all numbers come from the records of this build.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import yaml

from replib import render
from replib.onset import DELAY
from replib.press.catalogue import Chapter
from replib.press.layout import BuildError, Layout
from replib.record import ClaimRecord, QuantityRecord, Record

# pixels of a drawing, and how much of it lies beyond the outermost number on each side
WIDTH, HEIGHT, MARGIN = 180, 24, 0.12
# a positive range wider than this is drawn on a logarithmic axis
WIDE = 30


@dataclass(frozen=True)
class Row:
    """A judged number of a chapter and what it says in words."""

    chapter: str
    claim: str
    quantity: str
    says: str


def read(layout: Layout) -> dict[str, list[Row]]:
    """Part -> its rows, from ``book/parts.yml``.

    Raises:
        BuildError: a row names a chapter that does not exist.
    """
    listed = yaml.safe_load((layout.root / "book" / "parts.yml").read_text(encoding="utf-8"))
    found = {part: [Row(**row) for row in rows] for part, rows in listed.items()}
    unknown = {row.chapter for rows in found.values() for row in rows} - layout.chapters.keys()
    if unknown:
        raise BuildError(f"book/parts.yml names chapters that do not exist: {', '.join(sorted(unknown))}")
    return found


@dataclass(frozen=True)
class Delay:
    """A setting whose delay a claim or control of a chapter reports, as named by :func:`replib.onset.delays`."""

    chapter: str
    claim: str
    setting: str
    says: str

    def quantities(self, record: Record) -> list[QuantityRecord]:
        """When it memorises, when it generalises, and how many runs do."""
        return [find(self.claim, f"{self.setting}: {what}", self.chapter, record)[1] for what in DELAY]


def read_delays(layout: Layout) -> dict[str, list[Delay]]:
    """Part -> its delays, from ``book/delays.yml``."""
    listed = yaml.safe_load((layout.root / "book" / "delays.yml").read_text(encoding="utf-8"))
    return {part: [Delay(**row) for row in rows] for part, rows in listed.items()}


def delays(rows: Iterable[Delay], chapters: dict[str, Chapter]) -> str:
    """The settings as a table: two events of each on one logarithmic time axis."""
    found = []
    for row in rows:
        record = chapters[row.chapter].quick
        found.append((row, None if record is None else row.quantities(record)))
    last = max((q[1].value for _, q in found if q), default=10.0)
    body, e = "", render.escape
    for row, quantities in found:
        chapter = chapters[row.chapter]
        link = f'<a href="{chapter.page}">{e(chapter.authors)}</a>'
        body += f'<tr><th scope="row">{e(row.says)} <span class="detail">{link}</span></th>'
        if quantities is None:
            body += "<td>run failed</td></tr>"
            continue
        first, second, runs = quantities
        most = runs.value > runs.n / 2
        reached = f"{runs.value:g} of {runs.n} runs"
        late = f"{second.value:g}" if most else f"not by {second.value:g}"
        body += (
            f'<td data-label="Time, logarithmic">{interlude(first.value, second.value, last, most)}</td>'
            f'<td data-label="Memorises, generalises"><b>{first.value:g}, {e(late)}</b> '
            f'<span class="criterion">{e(reached)}</span></td></tr>'
        )
    columns = ("Setting", f"Steps from 1 to {last:g}, logarithmic", "Memorises, generalises")
    return render.table("summary", "When each setting memorises (open) and generalises (filled)", columns, body)


def interlude(first: float, second: float, last: float, reached: bool) -> str:
    """Two events on a logarithmic axis from 1 to ``last``: an open dot, and a filled one if it was reached."""

    def at(step: float) -> float:
        share = math.log(max(step, 1)) / math.log(max(last, 2))
        return round(6 + (WIDTH - 12) * min(share, 1), 1)

    middle = HEIGHT / 2
    label = f"memorises at {first:g}, " + (f"generalises at {second:g}" if reached else f"does not by {second:g}")
    end = f'<circle cx="{at(second)}" cy="{middle:g}" r="4.5"/>' if reached else ""
    return (
        f'<svg class="bullet" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{render.escape(label)}"><line x1="0" x2="{WIDTH}" y1="{middle:g}" y2="{middle:g}" class="axis"/>'
        f'<line x1="{at(first)}" x2="{at(second)}" y1="{middle:g}" y2="{middle:g}" '
        f'class="{"interval" if reached else "waiting"}"/>'
        f'<circle class="open" cx="{at(first)}" cy="{middle:g}" r="4.5"/>{end}</svg>'
    )


def summary(rows: Iterable[Row], chapters: dict[str, Chapter]) -> str:
    """The rows as a table with a drawing in each."""
    body, e = "", render.escape
    for row in rows:
        chapter = chapters[row.chapter]
        link = f'<a href="{chapter.page}">{e(chapter.authors)}</a>'
        if chapter.quick is None:
            body += f'<tr><th scope="row">{e(row.says)} <span class="detail">{link}</span></th><td>run failed</td></tr>'
            continue
        claim, quantity = find(row.claim, row.quantity, row.chapter, chapter.quick)
        to_claim = f"{chapter.page}#{render.anchor(chapter.quick, claim.id)}"
        body += (
            f'<tr><th scope="row">{e(row.says)} <span class="detail">{link}</span></th>'
            f'<td data-label="Against its criterion">{drawing(quantity)}</td>'
            f'<td data-label="Ours"><b>{e(render.interval(quantity))}</b> '
            f'<span class="criterion">{e(quantity.criterion)}</span> '
            f'<a href="{to_claim}">claim {e(claim.id)}: {render.badge(claim.verdict)}</a></td></tr>'
        )
    columns = ("What was asked", "Against its criterion", "Ours, the criterion, and the whole claim")
    return render.table("summary", "One number per question", columns, body)


def find(claim: str, quantity: str, chapter: str, record: Record) -> tuple[ClaimRecord, QuantityRecord]:
    """A claim or control, and a number of it, in a chapter's record.

    Raises:
        BuildError: there is no such number.
    """
    for candidate in (*record.claims, *record.controls):
        for number in candidate.quantities:
            if (candidate.id, number.name) == (claim, quantity):
                return candidate, number
    raise BuildError(f"book/parts.yml or delays.yml: {chapter} measures no {quantity!r} in {claim}")


def accepted(criterion: str) -> tuple[float, float]:
    """The range a criterion's text accepts: ``> 1, < 2`` is (1, 2)."""
    low, high = (re.search(rf"(?:^|, ){sign} (\S+?)(?:,|$)", criterion) for sign in "><")
    return float(low[1]) if low else -math.inf, float(high[1]) if high else math.inf


def drawing(quantity: QuantityRecord) -> str:
    """The interval as a line, the value as a dot, and the accepted range as a band."""
    low, high = accepted(quantity.criterion)
    numbers = [quantity.low, quantity.value, quantity.high, *(b for b in (low, high) if math.isfinite(b))]
    wide = min(numbers) > 0 and max(numbers) / min(numbers) > WIDE
    scale = math.log if wide else float
    start, end = scale(min(numbers)), scale(max(numbers))
    # numbers that are equal but for rounding stand in the middle
    room = MARGIN * (end - start) if end - start > 1e-9 * max(abs(start), abs(end)) else 1.0
    start, end = start - room, end + room

    def at(x: float) -> float:
        return round(WIDTH * (scale(x) - start) / (end - start), 1)

    left = at(low) if math.isfinite(low) else 0
    right = at(high) if math.isfinite(high) else WIDTH
    middle = HEIGHT / 2
    label = render.escape(f"{render.interval(quantity)}, accepted: {quantity.criterion}")
    return (
        f'<svg class="bullet" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{label}"><rect class="accepted" x="{left}" y="2" width="{round(right - left, 1)}" '
        f'height="{HEIGHT - 4}"/><line x1="0" x2="{WIDTH}" y1="{middle:g}" y2="{middle:g}" class="axis"/>'
        f'<line x1="{at(quantity.low)}" x2="{at(quantity.high)}" y1="{middle:g}" y2="{middle:g}" class="interval"/>'
        f'<circle cx="{at(quantity.value)}" cy="{middle:g}" r="4.5"/></svg>'
    )
