"""The summary figure of a part: one headline number per row, drawn against its criterion.

``book/parts.yml`` names the rows; all numbers come from the records of this build.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import yaml

from replib import render
from replib.build.catalogue import Chapter
from replib.build.layout import BuildError, Layout
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


def summary(rows: Iterable[Row], chapters: dict[str, Chapter]) -> str:
    """The rows as a table with a drawing in each."""
    body, e = "", render.escape
    for row in rows:
        chapter = chapters[row.chapter]
        link = f'<a href="{chapter.page}">{e(chapter.authors)}</a>'
        if chapter.quick is None:
            body += f'<tr><th scope="row">{e(row.says)} <span class="detail">{link}</span></th><td>run failed</td></tr>'
            continue
        claim, quantity = find(row, chapter.quick)
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


def find(row: Row, record: Record) -> tuple[ClaimRecord, QuantityRecord]:
    """A row's claim and number in its chapter's record.

    Raises:
        BuildError: there is no such number.
    """
    for claim in record.claims:
        for quantity in claim.quantities:
            if (claim.id, quantity.name) == (row.claim, row.quantity):
                return claim, quantity
    raise BuildError(f"book/parts.yml: {row.chapter} measures no {row.quantity!r} in claim {row.claim}")


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
