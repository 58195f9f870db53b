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


def test_a_fresh_run_agrees_with_the_published_record(slug):
    published, fresh = outcome.published(LAYOUT, slug, "quick"), outcome.load(LAYOUT, slug, "quick").record
    assert published is not None, f"publish a first record: make accept CHAPTER={slug}"
    rows = [row for row in compare(published, fresh) if row.state == "differs"]
    if published.environment.cpu_capability != fresh.environment.cpu_capability:
        # another kind of processor: numbers within their tolerances may lie on the other side of a bound
        numbers = {row.claim for row in rows if row.quantity != "verdict"}
        rows = [row for row in rows if row.claim in numbers]
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
