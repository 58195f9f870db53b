"""All claims of all chapters in one file, ``claims.json``, and as a table."""

import json

from replib import render
from replib.build import outcome
from replib.build.layout import Layout
from replib.claims import Verdict
from replib.record import Record, write_atomically

SCHEMA_VERSION = 1


def claims(layout: Layout) -> list[dict]:
    """One entry per chapter, profile and claim; a chapter that failed has one entry without claim.

    quick comes from this build, paper from the committed records.
    """
    rows: list[dict] = []
    for slug in layout.chapters:
        quick = outcome.load(layout, slug, "quick")
        if quick.record is None:
            rows.append(
                _entry(layout, slug, "quick") | {"failure": quick.status.state, "message": quick.status.message}
            )
        else:
            rows += _rows(layout, quick.record)
        paper = outcome.published(layout, slug, "paper")
        if paper is not None:
            rows += _rows(layout, paper)
    return rows


def _entry(layout: Layout, slug: str, profile: str) -> dict:
    return {
        "chapter": slug,
        "part": layout.part(slug),
        "profile": profile,
        "page": f"{layout.part(slug)}/{slug}.html",
    }


def _rows(layout: Layout, record: Record) -> list[dict]:
    rows = []
    for claim in record.claims:
        rows.append(
            _entry(layout, record.slug, record.profile)
            | {
                "id": f"{record.slug}/{claim.id}",
                "claim": claim.id,
                "link": f"{layout.part(record.slug)}/{record.slug}.html#{render.anchor(record, claim.id)}",
                "statement": claim.statement,
                "paper": claim.paper,
                "source": claim.source,
                "verdict": str(claim.verdict),
                "reason": claim.reason,
                "quantities": [q.model_dump(mode="json") for q in claim.quantities],
                "verified": record.environment.date,
                "core_seconds": record.cost.cpu_s,
            }
        )
    return rows


def write(layout: Layout) -> None:
    """Write ``claims.json``."""
    payload = {"schema_version": SCHEMA_VERSION, "claims": claims(layout)}
    write_atomically(layout.ledger, json.dumps(payload, indent=1, ensure_ascii=False) + "\n")


def table(rows: list[dict]) -> str:
    """The ledger as an HTML table; the site's script makes it sortable and filterable."""
    columns = ("Chapter", "Claim", "Verdict", "Statement", "Paper", "Ours", "Part", "Profile")
    body = "".join(_table_row(row) for row in rows)
    return render.table("ledger", "All claims", columns, body, id_="ledger-table")


def _table_row(row: dict) -> str:
    e = render.escape
    if "failure" in row:
        failed = f'<span class="verdict verdict-failed">! {e(row["failure"])}</span>'
        cells = ("", failed, "the last run did not finish", "", "")
        link = row["page"]
    else:
        ours = "<br>".join(
            f"{e(q['name'] + ': ') if q['name'] else ''}{e(render.number(q['value']))}"
            for q in row["quantities"]
            if q["judged"]
        )
        cells = (
            f'<a href="{e(row["link"])}">{e(row["claim"])}</a>', render.badge(Verdict(row["verdict"])),
            e(row["statement"]), e(row["paper"]), ours,
        )  # fmt: skip
        link = row["page"]
    name = e(row["chapter"]).replace("_", "_<wbr>")  # a long name may break, or the table would not fit
    chapter = f'<a href="{e(link)}">{name}</a>'
    return "<tr>" + "".join(f"<td>{c}</td>" for c in (chapter, *cells, e(row["part"]), e(row["profile"]))) + "</tr>"
