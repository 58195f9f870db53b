"""The summary figure of a part."""

import re
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from replib import estimate, onset
from replib.claims import Criterion, Verdict
from replib.press import outcome, part
from replib.press.layout import BuildError, Layout
from replib.press.part import Delay, Row
from replib.record import QuantityRecord

from tests.conftest import CLAIMS, ROOT, start

REAL = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-9)


def quantity(value, low, high, criterion):
    return QuantityRecord(
        name="",
        criterion=str(criterion),
        judged=True,
        value=value,
        low=low,
        high=high,
        n=5,
        method="made up",
        values=[],
        tolerance=0,
        verdict=Verdict.INCONCLUSIVE,
    )


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        ("> 3, interval above 1.5", (3, float("inf"))),
        ("< -0.4, interval below 0", (-float("inf"), -0.4)),
        ("in (-0.6, -0.4)", (-0.6, -0.4)),
        ("< 1e-9", (-float("inf"), 1e-9)),
    ],
)
def test_the_accepted_range_is_read_from_the_criterions_text(criterion, expected):
    assert part.accepted(str(Criterion.parse(criterion))) == expected


@settings(max_examples=500)
@example([-131073.0, -131072.99999999988, -131072.99999999988], -131073.0, False)
@given(st.lists(REAL, min_size=3, max_size=3), REAL, st.booleans())
def test_a_drawing_keeps_order_and_stays_inside(numbers, bound, upper):
    (low, value, high), bound = sorted(numbers), float(f"{bound:g}")  # a criterion's text has six digits
    criterion = Criterion.parse(f"{'<' if upper else '>'} {bound!r}")
    svg = ElementTree.fromstring(part.drawing(quantity(value, low, high, criterion)))
    band, _, interval = svg[0], svg[1], svg[2]
    x1, x2, dot = float(interval.get("x1")), float(interval.get("x2")), float(svg[3].get("cx"))
    left, right = float(band.get("x")), float(band.get("x")) + float(band.get("width"))
    assert 0 <= x1 <= dot <= x2 <= part.WIDTH
    assert 0 <= left <= right <= part.WIDTH + 0.1
    # where the criterion holds by more than a pixel, the dot lies in the band
    edge = right if upper else left
    if abs(dot - edge) > 1:
        assert (left < dot < right) == (value < bound if upper else value > bound)


def test_rows_name_judged_numbers_of_the_book(record):
    chapters = {"a": SimpleNamespace(quick=record, page="part/a.html", authors="A & B")}
    claim = record.claims[0]
    html = part.summary([Row("a", claim.id, claim.quantities[0].name, "What <b>?")], chapters)
    assert "What &lt;b&gt;?" in html
    assert re.search(rf'href="part/a.html#[^"]*{claim.id}"', html)
    with pytest.raises(BuildError, match="measures no 'nothing'"):
        part.summary([Row("a", claim.id, "nothing", "?")], chapters)


def test_unknown_chapters_are_refused(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "parts.yml").write_text("p:\n  - {chapter: nobody, claim: c1, quantity: q, says: x}\n")
    with pytest.raises(BuildError, match=r"parts.yml names chapters that do not exist: nobody"):
        part.read(Layout(tmp_path))


def test_every_row_of_this_book_is_judged():
    layout = Layout(ROOT)
    for rows in part.read(layout).values():
        for row in rows:
            record = outcome.published(layout, row.chapter, "quick")
            assert part.find(row.claim, row.quantity, row.chapter, record)[1].judged, row


def test_every_delay_of_this_book_is_measured_and_in_order():
    layout = Layout(ROOT)
    for rows in part.read_delays(layout).values():
        for row in rows:
            record = outcome.published(layout, row.chapter, "quick")
            first, second, runs = row.quantities(record)
            assert first.value <= second.value, row
            assert 0 <= runs.value <= runs.n, row


@given(st.floats(0, 1e5), st.floats(0, 1e5), st.floats(1, 1e5), st.booleans())
def test_a_delay_is_drawn_in_order_and_inside(first, later, beyond, reached):
    second = first + later
    svg = ElementTree.fromstring(part.interlude(first, second, second + beyond, reached))
    dots = [float(c.get("cx")) for c in svg.findall("circle")]
    assert len(dots) == 1 + reached
    assert dots == sorted(dots)
    assert all(0 <= x <= part.WIDTH for x in dots)
    assert svg[1].get("class") == ("interval" if reached else "waiting")


DELAYED = """
[[claim]]
id = "d"
statement = "a delay"
paper = "none"
quantities = [
    { id = "memorises", each = ["quick", "slow"], name = "{}: memorises at step", criterion = "reported" },
    { id = "generalises", each = ["quick", "slow"], name = "{}: generalises at step", criterion = "reported" },
    { id = "runs", each = ["quick", "slow"], name = "{}: runs that generalise", criterion = "reported" },
    { id = "value", name = "value", criterion = "> 1" },
]
"""


def test_delays_say_which_runs_never_generalise(deterministic):
    early = onset.onset([0, 40, 900], [[0, 0, 0], [1, 1, 1], [1, 1, 1]], 0.95)
    late = onset.onset([0, 40, 900], [[0, 0, 0], [0, 0, 0], [1, 0, 0]], 0.95)
    settings = {"quick": early, "slow": late}
    chapter = start(CLAIMS + DELAYED)
    chapter.measure("guard", estimate.mean([0.1, 0.2, 0.3]))
    chapter.measure("c1", estimate.mean([2.0, 3.0, 4.0]))
    measured = onset.delays({setting: (early, end) for setting, end in settings.items()})
    chapter.measure("d", value=estimate.mean([2.0, 3.0, 4.0]), **measured)
    chapters = {"a": SimpleNamespace(quick=chapter.record(), page="part/a.html", authors="A & B")}
    html = part.delays([Delay("a", "d", "quick", "A <setting>"), Delay("a", "d", "slow", "Another")], chapters)
    assert "A &lt;setting&gt;" in html
    assert "<b>40, 40</b>" in html
    assert "3 of 3 runs" in html
    assert "<b>40, not by 900</b>" in html
    assert "1 of 3 runs" in html
    failed = {"a": SimpleNamespace(quick=None, page="part/a.html", authors="A")}
    assert "run failed" in part.delays([Delay("a", "d", "quick", "x")], failed)
    with pytest.raises(BuildError, match="measures no 'nothing: memorises at step'"):
        part.delays([Delay("a", "d", "nothing", "x")], chapters)
