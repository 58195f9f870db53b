"""Fresh quick records against the published ones, and against the budget."""

import pytest
from replib.press import outcome
from replib.press.layout import Layout
from replib.record import compare, likely_causes

from tests.conftest import ROOT

LAYOUT = Layout(ROOT)


@pytest.fixture(params=LAYOUT.chapters)
def slug(request, committed):
    if outcome.published(LAYOUT, request.param, "quick") is None and not committed(request.param):
        pytest.skip(f"begun and not published: make accept CHAPTER={request.param}")
    return request.param


def same_elsewhere(row, published, fresh):
    """Whether runs on two kinds of processor, whose training drifts apart bit by bit, still say the same.

    Numbers: their intervals overlap. Verdicts: an open one may become decided or the other way round, no more.
    """
    if row.quantity == "verdict":
        return "inconclusive" in (row.ours, row.theirs) and "no such claim" not in (row.ours, row.theirs)
    of = [
        {(c.id, q.name): q for c in r.claims + r.controls for q in c.quantities}.get((row.claim, row.quantity))
        for r in (published, fresh)
    ]
    return None not in of and of[0].low <= of[1].high and of[1].low <= of[0].high


def test_a_fresh_run_agrees_with_the_published_record(slug):
    published, fresh = outcome.published(LAYOUT, slug, "quick"), outcome.load(LAYOUT, slug, "quick").record
    assert published is not None, f"publish a first record: make accept CHAPTER={slug}"
    rows = [row for row in compare(published, fresh) if row.state == "differs"]
    if published.environment.cpu_capability != fresh.environment.cpu_capability:
        rows = [row for row in rows if not same_elsewhere(row, published, fresh)]
    differing = [f"{r.claim} {r.quantity}: published {r.ours}, now {r.theirs}" for r in rows]
    assert not differing, "\n".join(differing + [f"possible cause: {c}" for c in likely_causes(published, fresh)])


def said(record):
    """What a record says beside its numbers."""
    return [
        (c.id, c.statement, c.paper, c.source, c.note, c.needs, c.criteria) for c in record.claims + record.controls
    ]


def test_the_published_record_says_what_the_chapter_says_now(slug):
    """Claims, criteria and notes to the letter; the numbers are compared above. Prose and form may change."""
    published, fresh = outcome.published(LAYOUT, slug, "quick"), outcome.load(LAYOUT, slug, "quick").record
    now, then = ({c[0]: c for c in said(r)} for r in (fresh, published))
    changed = [name for name in now.keys() | then.keys() if now.get(name) != then.get(name)]
    assert not changed, (
        f"{', '.join(changed)} changed since the record was published: look at the new verdicts, then "
        f"make accept CHAPTER={slug}"
    )


def test_the_published_cost_is_within_the_budget(slug):
    cost = outcome.published(LAYOUT, slug, "quick").cost
    assert cost.cpu_s <= 60
    assert cost.peak_mib <= 2048


def test_a_paper_record_has_the_same_claims(slug):
    paper, quick = outcome.published(LAYOUT, slug, "paper"), outcome.published(LAYOUT, slug, "quick")
    if paper is None:
        pytest.skip("no run at the paper's sizes yet")
    assert [c.id for c in paper.claims] == [c.id for c in quick.claims]
