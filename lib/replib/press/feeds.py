"""What other programs read: all quantities as CSV, and a badge per chapter."""

import csv
import io
import json

from replib.claims import Verdict
from replib.record import Record
from replib.render import escape

# one row per quantity; a claim without any has one row with empty ones
COLUMNS = (
    "id", "chapter", "title", "year", "part", "profile", "claim", "statement", "paper", "source", "verdict", "reason",
    "verified", "core_seconds", "link",
    "quantity", "criterion", "judged", "value", "low", "high", "n", "quantity_verdict",
)  # fmt: skip
_RENAMED = {"quantity": "name", "quantity_verdict": "verdict"}
_OF_QUANTITY = COLUMNS[COLUMNS.index("quantity") :]


def claims_csv(rows: list[dict]) -> str:
    """The entries of ``claims.json`` as CSV; chapters whose run failed have no rows.

    Args:
        rows: as :func:`replib.press.ledger.claims` makes them.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        if "failure" in row:
            continue
        for quantity in row["quantities"] or [{}]:
            writer.writerow(row | {k: quantity.get(_RENAMED.get(k, k), "") for k in _OF_QUANTITY})
    return stream.getvalue()


def claims_index(rows: list[dict]) -> str:
    """What the search page looks claims up in: a script, since a page opened from a folder may not fetch data."""
    found = [
        [row["link"], row["claim"], row["title"], row["statement"], row["verdict"]]
        for row in rows
        if "failure" not in row and row["profile"] == "quick"
    ]
    return f"window.replibClaims = {json.dumps(found, ensure_ascii=False, separators=(',', ':'))};\n"


# width of a character at 11 px, generously
_CHARACTER = 6.6


def badge(record: Record) -> str:
    """An SVG that says how many of a chapter's tested claims replicated."""
    counts = record.counts()
    tested = sum(n for v, n in counts.items() if v is not Verdict.NOT_TESTED)
    good = counts.get(Verdict.REPLICATED, 0)
    left, right = "replication", f"{good} of {tested} claims"
    color = "#1f7a4d" if good == tested else "#b3261e" if counts.get(Verdict.NOT_REPLICATED, 0) else "#8a6100"
    a, b = (round(len(t) * _CHARACTER + 12) for t in (left, right))
    label = escape(f"{left}: {right} replicated")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{a + b}" height="20" role="img" aria-label="{label}">'
        f"<title>{label}</title>"
        f'<rect width="{a}" height="20" fill="#444"/><rect x="{a}" width="{b}" height="20" fill="{color}"/>'
        f'<g fill="#fff" font-family="Verdana, DejaVu Sans, sans-serif" font-size="11" text-anchor="middle">'
        f'<text x="{a / 2:g}" y="14">{escape(left)}</text>'
        f'<text x="{a + b / 2:g}" y="14">{escape(right)}</text></g></svg>\n'
    )
