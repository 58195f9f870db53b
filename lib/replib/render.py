"""A record as HTML and as plain lines. Every text of a record is escaped here, and only here.

The notebook and the site show the same pieces: the notebook when it reports, the site from the
stored record.
"""

import html
from collections.abc import Iterable, Sequence

from replib.claims import Claim, Verdict
from replib.record import ClaimRecord, QuantityRecord, Record

# a second cue beside colour
MARKS = {
    Verdict.REPLICATED: "✓",
    Verdict.NOT_REPLICATED: "✗",
    Verdict.INCONCLUSIVE: "?",
    Verdict.NOT_TESTED: "–",
}


def escape(text: object) -> str:
    """Text for HTML, quotes included."""
    return html.escape(str(text), quote=True)


def number(value: float) -> str:
    """Three significant digits, scientific outside 1e-3 .. 1e4; five decimals just below 1, where R² lives."""
    if value == 0:
        return "0"
    if 0.99 <= abs(value) < 1:
        return f"{value:.5f}"
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 else f"{value:.2e}"


def interval(quantity: QuantityRecord) -> str:
    """``value [low, high]``, or the value alone where it is exact."""
    if quantity.low == quantity.high:
        return number(quantity.value)
    return f"{number(quantity.value)} [{number(quantity.low)}, {number(quantity.high)}]"


def table(css: str, label: str, columns: Sequence[str], body: str, *, id_: str = "") -> str:
    """A table that scrolls sideways on a narrow screen, by keyboard too."""
    head = "".join(f'<th scope="col">{escape(c)}</th>' for c in columns)
    attributes = f' id="{escape(id_)}"' if id_ else ""
    return (
        f'<div class="table-scroll" tabindex="0" role="region" aria-label="{escape(label)}">'
        f'<table class="{escape(css)}"{attributes}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def badge(verdict: Verdict) -> str:
    """A verdict as a coloured, marked label."""
    css = str(verdict).replace(" ", "-")
    return f'<span class="verdict verdict-{css}"><span aria-hidden="true">{MARKS[verdict]}</span> {verdict}</span>'


def plain_verdicts(record: Record) -> str:
    """One line per claim and control, without digits that differ between machines."""
    rows = [(c.id, "judged by times: see the table" if c.timed else str(c.verdict)) for c in record.claims]
    rows += [(c.id, _held(c)) for c in record.controls]
    width = max(len(i) for i, _ in rows)
    return "\n".join(f"{i:<{width}}  {v}" for i, v in rows)


def plain_table(record: Record) -> str:
    """Verdicts with the judged numbers below them, for a terminal."""
    rows = []
    for claim in (*record.claims, *record.controls):
        verdict = f"{MARKS[claim.verdict]} {claim.verdict if claim in record.claims else _held(claim)}"
        rows.append(f"{claim.id}  {verdict}" + (f": {claim.reason}" if claim.reason else ""))
        rows += [
            f"    {MARKS[q.verdict]} {q.name or 'estimate'}: {interval(q)}, n = {q.n}; {q.criterion}"
            for q in claim.quantities
            if q.judged
        ]
    return "\n".join([f"{record.slug} ({record.profile}): {tally(record)}", *rows])


def _held(control: ClaimRecord) -> str:
    return {
        Verdict.REPLICATED: "control holds",
        Verdict.NOT_REPLICATED: "control fails",
        Verdict.INCONCLUSIVE: "control unclear",
        Verdict.NOT_TESTED: "control not run",
    }[control.verdict]


def _quantity(q: QuantityRecord) -> str:
    label = f'<span class="quantity">{escape(q.name)}</span> ' if q.name else ""
    cue = f'<span aria-label="{q.verdict}" title="{q.verdict}">{MARKS[q.verdict]}</span> ' if q.judged else ""
    return (
        f'<li title="{escape(q.method)}; n = {q.n}">{cue}{label}<b>{escape(interval(q))}</b> '
        f'<span class="criterion">{escape(q.criterion)}</span></li>'
    )


def _list(criteria: Iterable[tuple[str, object]]) -> str:
    return "".join(f'<li>{escape(n)} <span class="criterion">{escape(c)}</span></li>' for n, c in criteria)


def _row(claim: ClaimRecord, verdict: str, id_: str) -> str:
    details = "".join(
        f'<p class="detail"><b>{label}:</b> {escape(text)}</p>'
        for label, text in (("Note", claim.note), ("Why", claim.reason))
        if text
    )
    ours = "".join(_quantity(q) for q in claim.quantities) or _list(claim.criteria.items())
    paper = escape(claim.paper) + (f'<p class="detail">{escape(claim.source)}</p>' if claim.source else "")
    needs = f'<p class="detail">needs {escape(", ".join(claim.needs))}</p>' if claim.needs else ""
    link = f'<a href="#{escape(id_)}" title="link to this row">{escape(claim.id)}</a>'
    return (
        f'<tr id="{escape(id_)}"><th scope="row">{link}</th>'
        f"<td>{escape(claim.statement)}{details}</td><td>{paper}</td>"
        f"<td><ul>{ours}</ul></td><td>{verdict}{needs}</td></tr>"
    )


def anchor(record: Record, claim: str) -> str:
    """The stable id of a claim on its chapter's page; the quick run is the page's own."""
    return f"claim-{claim}" if record.profile == "quick" else f"{record.profile}-claim-{claim}"


def verdict_table(record: Record) -> str:
    """All claims with the paper's figure beside ours, then the controls."""
    claims = "".join(_row(c, badge(c.verdict), anchor(record, c.id)) for c in record.claims)
    controls = "".join(
        _row(c, f'<span class="control">{_held(c)}</span>', anchor(record, c.id)) for c in record.controls
    )
    if controls:
        claims += f'</tbody><tbody><tr class="section"><th colspan="5" scope="rowgroup">Controls</th></tr>{controls}'
    columns = ("Id", "Claim", "Paper", "Ours: estimate, 95 % interval, criterion", "Verdict")
    return table("verdicts", f"Verdicts, {record.profile}", columns, claims)


def declarations(claims: list[ClaimRecord], controls: list[ClaimRecord]) -> str:
    """What is claimed and by which criterion it will be judged, before anything is run."""
    body = "".join(
        f'<tr><th scope="row">{escape(c.id)}</th><td>{escape(c.statement)}</td><td>{escape(c.paper)}</td>'
        f"<td><ul>{_list(c.criteria.items())}</ul></td></tr>"
        for c in (*claims, *controls)
    )
    return table("verdicts", "Claims and criteria", ("Id", "Claim or control", "Paper", "Criterion"), body)


def registered(claims: Sequence[Claim]) -> str:
    """The claims of a paper that was not run yet, each with the address that its row will have."""
    body = "".join(
        f'<tr id="{escape(f"claim-{c.id}")}"><th scope="row">{escape(c.id)}</th><td>{escape(c.statement)}</td>'
        f"<td>{escape(c.paper)}</td><td><ul>"
        + "".join(
            f'<li>{escape(q.name)} <span class="criterion">{escape(q.criterion)}</span></li>' for q in c.quantities
        )
        + f"</ul></td><td>{escape(', '.join(c.needs))}</td></tr>"
        for c in claims
    )
    return table("verdicts", "Registered claims", ("Id", "Claim", "Paper", "Criterion", "Needs"), body)


def tally(record: Record) -> str:
    """``5 replicated, 1 not replicated`` with the verdicts that occur."""
    return ", ".join(f"{n} {v}" for v, n in record.counts().items() if n)


def figure(number_: int, svg: str, caption: str) -> str:
    """A numbered figure that scrolls sideways where it does not fit; the site fills the empty span with links."""
    return (
        f'<figure class="replib" id="figure-{number_}">'
        f'<div class="figure-scroll" tabindex="0" role="region" aria-label="Figure {number_}, drawing">{svg}</div>'
        f"<figcaption><b>Figure {number_}.</b> {escape(caption)} "
        f'<span data-figure="{number_}"></span></figcaption></figure>'
    )
