"""All claims of all chapters: as ``claims.json``, as a picture, and as a table."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from itertools import groupby

from replib import render
from replib.claims import Claim, Verdict
from replib.press import catalogue
from replib.press.catalogue import Chapter
from replib.press.layout import Layout
from replib.record import ClaimRecord, Record, write_atomically

SCHEMA_VERSION = 1
# numbers of a claim in a row of the table; the chapter has them all
SHOWN = 3


def claims(chapters: Iterable[Chapter]) -> list[dict]:
    """One entry per chapter, profile and claim; a chapter that failed has one entry without claim.

    A claim that is registered and not run has the verdict ``registered, not run``.

    quick comes from this build, paper from the committed records.
    """
    rows: list[dict] = []
    for chapter in chapters:
        if chapter.failed:
            status = chapter.result.status
            rows.append(_entry(chapter, "quick") | {"failure": status.state, "message": status.message})
        elif chapter.quick is None:
            rows += [_registered(chapter, claim) for claim in chapter.claims["quick"].values()]
        else:
            rows += _rows(chapter, chapter.quick)
        if chapter.paper is not None:
            rows += _rows(chapter, chapter.paper)
    return rows


def _entry(chapter: Chapter, profile: str) -> dict:
    return {
        "chapter": chapter.slug,
        "title": chapter.title,
        "year": chapter.year,
        "part": chapter.part,
        "profile": profile,
        "page": chapter.page,
    }


# stands where a verdict will stand
REGISTERED = "registered, not run"


def _registered(chapter: Chapter, claim: Claim) -> dict:
    return _entry(chapter, "quick") | {
        "id": f"{chapter.slug}/{claim.id}",
        "claim": claim.id,
        "link": f"{chapter.page}#claim-{claim.id}",
        "statement": claim.statement,
        "paper": claim.paper,
        "source": claim.source,
        "verdict": REGISTERED,
        "reason": "",
        "quantities": [],
        "verified": "",
        "core_seconds": None,
        "registration": _registration(chapter, "quick", claim.id),
    }


def _registration(chapter: Chapter, profile: str, claim: str) -> dict | None:
    """Since when the criterion stands and what it was before; None where the history is not known."""
    found = chapter.registrations.get((profile, claim))
    return None if found is None else asdict(found) | {"marked": found.marked}


def _rows(chapter: Chapter, record: Record) -> list[dict]:
    rows = []
    for claim in record.claims:
        rows.append(
            _entry(chapter, record.profile)
            | {
                "id": f"{record.slug}/{claim.id}",
                "claim": claim.id,
                "link": f"{chapter.page}#{render.anchor(record, claim.id)}",
                "statement": claim.statement,
                "paper": claim.paper,
                "source": claim.source,
                "verdict": str(claim.verdict),
                "reason": claim.reason,
                "quantities": [q.model_dump(mode="json") for q in claim.quantities],
                "verified": record.environment.date,
                "core_seconds": record.cost.cpu_s,
                "registration": _registration(chapter, record.profile, claim.id),
            }
        )
    return rows


def write(layout: Layout) -> None:
    """Write ``claims.json``."""
    payload = {"schema_version": SCHEMA_VERSION, "claims": claims(catalogue.read(layout))}
    write_atomically(layout.ledger, json.dumps(payload, indent=1, ensure_ascii=False) + "\n")


def counts(standing: Counter[Verdict]) -> str:
    """The number of claims per verdict, as a list."""
    items = "".join(f"<li>{render.badge(v)} <b>{standing[v]}</b></li>" for v in Verdict if standing[v])
    return f'<ul class="counts" aria-label="Claims by verdict">{items}</ul>'


def tiles(record: Record, page: str) -> str:
    """One small linked square per claim, its verdict as colour and mark."""
    squares = "".join(
        f'<li><a class="tile verdict-{_css(c.verdict)}" href="{page}#{render.escape(render.anchor(record, c.id))}" '
        f'data-claim="{render.escape(f"{record.slug}/{c.id}")}" '
        f'title="{render.escape(f"{c.id}, {c.verdict}: {c.statement}")}" '
        f'aria-label="{render.escape(f"{c.id} {c.verdict}")}">{render.MARKS[c.verdict]}</a></li>'
        for c in record.claims
    )
    return f'<ul class="tiles">{squares}</ul>'


def _css(verdict: Verdict) -> str:
    return str(verdict).replace(" ", "-")


def glance(chapters: list[Chapter]) -> str:
    """The book in one picture: a row per chapter, a square per claim, quick beside the paper's sizes."""
    body = ""
    for caption, members in groupby(chapters, key=lambda c: c.caption):
        part = list(members)
        total = sum((c.standing for c in part), Counter())
        numbers = ", ".join(f"{total[v]} {v}" for v in Verdict if total[v]) or "no verdict"
        body += (
            f'<tr class="section"><th colspan="3" scope="rowgroup">{render.escape(caption)} '
            f'<span class="detail">{numbers}</span></th></tr>'
        )
        body += "".join(_glance_row(c) for c in part)
    key = " ".join(f"<li>{render.badge(v)}</li>" for v in Verdict)
    columns = ("Paper", "Quick", "At the paper's sizes")
    return (
        render.table("glance", "All chapters by claims", columns, body)
        + f'<ul class="key" aria-label="What the squares mean">{key}</ul>'
    )


def _glance_row(chapter: Chapter) -> str:
    e = render.escape
    if chapter.failed:
        quick = '<span class="verdict verdict-failed">! run failed</span>'
    elif chapter.quick is None:
        quick = f'<span class="detail">{len(chapter.claims["quick"])} claims {REGISTERED}</span>'
    else:
        quick = tiles(chapter.quick, chapter.page)
    paper = '<span class="detail">not run</span>' if chapter.paper is None else tiles(chapter.paper, chapter.page)
    return (
        f'<tr><th scope="row"><a href="{chapter.page}">{e(chapter.title)}</a> '
        f'<span class="detail">{e(chapter.authors)} {e(chapter.mark)}</span></th>'
        f'<td data-label="Quick">{quick}</td><td data-label="At the paper\'s sizes">{paper}</td></tr>'
    )


# core-seconds of the quick run
COSTS = (15, 30, 60)


def filters(chapters: list[Chapter]) -> str:
    """What narrows the picture and the table; shown where scripts run."""
    verdicts = [str(v) for v in Verdict] + ["failed"] * any(c.failed for c in chapters)
    verdicts += [REGISTERED] * any(c.result is None for c in chapters)
    choices = {
        "verdict": [(v, v) for v in verdicts],
        "run": [("quick", "quick"), ("paper", "at the paper's sizes")],
        "part": [(c, c) for c in dict.fromkeys(c.caption for c in chapters)],
        "year": [(y, y) for y in sorted({c.year for c in chapters})],
        "cost": [(str(c), f"up to {c} core-seconds") for c in COSTS],
    }
    boxes = ""
    for name, options in choices.items():
        items = "".join(f'<option value="{render.escape(v)}">{render.escape(t)}</option>' for v, t in options)
        items = f'<option value="">all</option>{items}'
        boxes += f'<label>{name.capitalize()}<select name="{name}">{items}</select></label>'
    boxes += '<label>Search<input type="search" name="search"></label><button type="reset">Clear</button>'
    total = sum(len(c.pairs()) or (1 if c.failed else len(c.claims["quick"])) for c in chapters)
    return (
        f'<form class="filters" id="ledger-filters" role="search" aria-label="Claims">{boxes}'
        f"<output>{total} of {total} claims</output></form>"
    )


_COLUMNS = (
    "Paper", "Claim", "Statement", "The paper's figure", "Quick", "At the paper's sizes", "Part", "Core-seconds",
)  # fmt: skip


def table(chapters: list[Chapter]) -> str:
    """Every claim with both runs side by side; the site's script makes it sortable and filterable."""
    body = "".join(_failed_row(c) if c.failed else _claim_rows(c) for c in chapters)
    return render.table("ledger", "All claims", _COLUMNS, body, id_="ledger-table")


def _claim_rows(chapter: Chapter) -> str:
    e, rows = render.escape, ""
    if chapter.quick is None:
        waiting = f'<span class="detail">{REGISTERED}</span>'
        for claim in chapter.claims["quick"].values():
            rows += _claim_row(chapter, claim, f"claim-{claim.id}", (waiting, ""), "", (REGISTERED, ""))
        return rows
    cost = f"{chapter.quick.cost.cpu_s:.0f}"
    for quick, paper in chapter.pairs():
        larger = '<span class="detail">not run</span>' if paper is None else _run(paper)
        verdicts = (str(quick.verdict), str(paper.verdict) if paper else "")
        at = e(render.anchor(chapter.quick, quick.id))
        rows += _claim_row(chapter, quick, at, (_run(quick), larger), cost, verdicts)
    return rows


def _claim_row(
    chapter: Chapter, claim: Claim | ClaimRecord, at: str, runs: tuple[str, str], cost: str,
    verdicts: tuple[str, str],
) -> str:  # fmt: skip
    e = render.escape
    mark = ""
    if claim.id in chapter.marked:
        mark = f' <a href="{chapter.page}#criteria" title="its criterion was not set before the run, or changed">*</a>'
    cells = (
        f'<a href="{chapter.page}">{e(chapter.authors)}</a>',
        f'<a href="{chapter.page}#{at}">{e(claim.id)}</a>{mark}',
        e(claim.statement), e(claim.paper), *runs, e(chapter.caption), cost,
    )  # fmt: skip
    return (
        f'<tr data-claim="{e(f"{chapter.slug}/{claim.id}")}" data-quick="{verdicts[0]}" '
        f'data-paper="{verdicts[1]}" data-cost="{cost}" '
        f"{_places(chapter)}>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"
    )


def _run(claim: ClaimRecord) -> str:
    """A verdict with the first judged numbers below it."""
    judged = [q for q in claim.quantities if q.judged]
    lines = [f"{q.name}: {render.number(q.value)}" if q.name else render.number(q.value) for q in judged[:SHOWN]]
    if len(judged) > SHOWN:
        lines.append(f"and {len(judged) - SHOWN} more")
    numbers = "<br>".join(map(render.escape, lines))
    return render.badge(claim.verdict) + (f'<p class="detail">{numbers}</p>' if numbers else "")


def _failed_row(chapter: Chapter) -> str:
    e = render.escape
    failed = f'<span class="verdict verdict-failed">! {e(chapter.result.status.state)}</span>'
    cells = (
        f'<a href="{chapter.page}">{e(chapter.authors)}</a>', "", "the last run did not finish", "", failed, "",
        e(chapter.caption), "",
    )  # fmt: skip
    return (
        f'<tr data-claim="" data-quick="failed" data-paper="" data-cost="" {_places(chapter)}>'
        + "".join(f"<td>{c}</td>" for c in cells)
        + "</tr>"
    )


def _places(chapter: Chapter) -> str:
    """What rows are filtered by, beside verdicts and cost."""
    e = render.escape
    return f'data-year="{e(chapter.year)}" data-part="{e(chapter.caption)}" data-search="{e(chapter.title)}"'
