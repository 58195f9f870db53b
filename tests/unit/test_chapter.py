"""What a notebook may and may not do, and what it shows."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from replib import environment, estimate, figures, render
from replib.chapter import ChapterError, begin
from replib.claims import Verdict, above
from replib.record import FIGURE_MIME, RECORD_MIME, Record

GOOD = estimate.mean([2.0, 3.0, 4.0])


@pytest.mark.parametrize("profile", ["fast", "", "Quick", None])
def test_unknown_profile(profile):
    with pytest.raises(ChapterError, match="use one of smoke, quick, paper"):
        begin("author2024_topic", profile, 0)


@pytest.mark.parametrize("seed", [-1, 1.5, "0", None, True])
def test_bad_seed(seed):
    with pytest.raises(ChapterError, match="whole number of at least 0"):
        begin("author2024_topic", "quick", seed)


def test_begin_pins_threads_and_asks_for_determinism(deterministic):
    torch.set_num_threads(2)
    begin("author2024_topic", "smoke", 0)
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    assert environment.active_threads() == 1


def test_more_threads_can_be_asked_for_and_are_recorded(monkeypatch, deterministic):
    monkeypatch.setenv("REPLIB_THREADS", "2")
    begin("author2024_topic", "smoke", 0)
    assert torch.get_num_threads() == 2
    monkeypatch.setenv("REPLIB_THREADS", "many")
    with pytest.raises(ValueError, match="unset it"):
        begin("author2024_topic", "smoke", 0)


def test_threads_that_cannot_be_limited_are_an_error(monkeypatch):
    monkeypatch.setattr(environment, "active_threads", lambda: 4)
    with pytest.raises(RuntimeError, match="OMP_NUM_THREADS=1"):
        environment.pin_threads()


def test_seeds_start_at_100_and_the_parameter_moves_them_all(deterministic):
    assert begin("author2024_topic", "quick", 0).seeds(3) == [100, 101, 102]
    assert begin("author2024_topic", "quick", 2).seeds(2) == [2100, 2101]
    with pytest.raises(ChapterError, match="at least one seed"):
        begin("author2024_topic", "quick", 0).seeds(0)


def test_measured_and_never_declared(chapter):
    with pytest.raises(ChapterError, match=r"'c9' was never declared; declared are: c1, guard"):
        chapter.measure("c9", GOOD)


def test_declared_and_never_measured(chapter):
    chapter.measure("c1", GOOD)
    with pytest.raises(ChapterError, match="'guard' was declared and never measured"):
        chapter.report()


def test_measured_twice(chapter):
    chapter.measure("c1", GOOD)
    with pytest.raises(ChapterError, match="'c1' is measured twice"):
        chapter.measure("c1", GOOD)
    with pytest.raises(ChapterError, match="'c1' is measured twice"):
        chapter.not_tested("c1", "changed my mind")


def test_declared_twice(chapter):
    with pytest.raises(ChapterError, match="declared twice"):
        chapter.control("c1", "again", above(0))


def test_other_quantities_than_declared(chapter):
    chapter.claim("c3", "several", {"a": above(1), "b": above(2)}, paper="1")
    with pytest.raises(ChapterError, match=r"declares the quantities \['a', 'b'\], measured were \['a'\]"):
        chapter.measure("c3", a=GOOD)


def test_a_number_that_is_none(chapter):
    with pytest.raises(ChapterError, match=r"'c1'.*not a finite number.*nan.*none may be dropped"):
        chapter.measure("c1", estimate.mean([1.0, np.nan, 2.0]))


def test_not_tested_needs_a_reason(chapter):
    with pytest.raises(ChapterError, match="say why"):
        chapter.not_tested("c1", " ")


def test_a_claim_that_needs_an_unknown_control(chapter):
    chapter.claim("c3", "x", above(1), paper="1", needs=("ghost",))
    for name in ("c1", "guard", "c3"):
        chapter.measure(name, GOOD)
    with pytest.raises(ChapterError, match="not declared: ghost"):
        chapter.record()


def test_a_chapter_without_claims(deterministic):
    with pytest.raises(ChapterError, match="declares no claim"):
        begin("author2024_topic", "quick", 0).record()


def test_record_holds_what_was_measured(record):
    assert [(c.id, c.verdict) for c in record.claims] == [("c1", Verdict.REPLICATED), ("c2", Verdict.NOT_TESTED)]
    assert record.seeds == [100, 101, 102]
    assert record.claims[0].quantities[0].values == [2.0, 3.0, 4.0]
    assert record.environment.threads == 1
    assert record.cost.peak_mib > 10


def test_a_failed_control_reaches_the_record(chapter):
    chapter.measure("c1", GOOD)
    chapter.measure("guard", GOOD)
    claim = chapter.record().claims[0]
    assert claim.verdict is Verdict.INCONCLUSIVE
    assert "guard" in claim.reason


def test_report_carries_the_record(chapter):
    chapter.measure("c1", GOOD)
    chapter.measure("guard", estimate.mean([0.1, 0.2]))
    bundle = chapter.report()._repr_mimebundle_()
    assert Record.model_validate(bundle[RECORD_MIME]).slug == "author2024_topic"
    assert bundle["text/plain"] == "c1     replicated\nguard  control holds"


def test_plain_lines_hold_no_digits_of_the_measurement(chapter, capsys):
    chapter.measure("c1", GOOD)
    chapter.measure("guard", estimate.mean([0.1, 0.2]))
    chapter.verdicts()
    assert capsys.readouterr().out.splitlines() == ["c1     replicated", "guard  control holds"]


def test_texts_are_escaped_everywhere(deterministic):
    nasty = '<script>alert("x")</script>&'
    started = begin("author2024_topic", "quick", 0)
    started.control("guard", nasty, {nasty: above(0)}, note=nasty)
    started.claim("c1", nasty, {nasty: above(0)}, paper=nasty, source=nasty, note=nasty, needs=("guard",))
    started.claim("c2", nasty, {nasty: above(0)}, paper=nasty)
    declared = started.declarations().bundle["text/html"]
    started.measure("guard", **{nasty: GOOD})
    started.measure("c1", **{nasty: GOOD})
    started.not_tested("c2", nasty)
    record = started.record()
    with figures.figure() as (fig, ax):
        ax.set_title(nasty)
        shown = started.figure(fig, nasty, nasty, {nasty: [1.0]}).bundle["text/html"]
    for html in (declared, render.verdict_table(record), shown):
        assert "<script" not in html
    assert "&lt;script&gt;" in render.verdict_table(record)


def test_figure_is_inline_svg_with_text_alternative_and_data(chapter):
    with figures.figure(columns=2) as (fig, axes):
        axes[0].plot([1, 2], [3, 4.123456])
        axes[1].set_title("0.98765")
        bundle = chapter.figure(fig, "What is drawn.", "The finding.", {"x": np.array([1.0, 2.0]), "y": [3, 4]}).bundle
    html = bundle["text/html"]
    assert 'role="img" aria-label="The finding."' in html
    assert "Figure 1." in html
    assert "currentColor" in html
    assert "#012345" not in html
    assert "0.98765" in html  # text is not rounded with the coordinates
    assert "<style" not in html
    assert bundle[FIGURE_MIME]["columns"] == {"x": [1.0, 2.0], "y": [3, 4]}
    ids = [part.split('"')[0] for part in html.split(' id="')[1:]]
    assert len(ids) == len(set(ids))
    assert not plt.get_fignums()


def test_figures_are_the_same_bytes_twice(chapter):
    def draw():
        with figures.figure() as (fig, ax):
            figures.grouped_bars(ax, {"a": {"x": GOOD, "y": GOOD}, "b": {"x": GOOD, "y": GOOD}})
            return figures.svg(fig, "f", "alt")

    assert draw() == draw()


def test_fill_repeats_single_values_and_refuses_what_does_not_fit():
    columns = {"name": [], "x": [], "y": []}
    figures.fill(columns, "a", [1, 2], np.array([0.5, 0.25]))
    figures.fill(columns, "b", 3, 4.0)
    assert columns == {"name": ["a", "a", "b"], "x": [1, 2, 3], "y": [0.5, 0.25, 4.0]}
    assert [type(v) for v in (columns["name"][0], columns["x"][0], columns["y"][0])] == [str, int, float]
    before = {name: list(column) for name, column in columns.items()}
    with pytest.raises(ValueError, match="different lengths"):
        figures.fill(columns, "c", [1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="3 columns"):
        figures.fill(columns, "c", 1)
    assert columns == before


def test_bars_return_what_they_draw():
    with figures.figure() as (_, ax):
        columns = figures.grouped_bars(ax, {"inside": {"x": GOOD, "y": GOOD}, "outside": {"x": GOOD, "y": GOOD}})
        heights = [p.get_height() for p in ax.patches]
    assert columns["value"] == pytest.approx(heights)
    assert columns["series"] == ["inside"] * 2 + ["outside"] * 2


@pytest.mark.parametrize(("caption", "alt", "data"), [("", "a", {"x": [1]}), ("c", " ", {"x": [1]})])
def test_a_figure_says_what_it_shows(chapter, caption, alt, data):
    with figures.figure() as (fig, _), pytest.raises(ChapterError, match="alternative text"):
        chapter.figure(fig, caption, alt, data)


@pytest.mark.parametrize("data", [{}, {"x": [1], "y": [1, 2]}])
def test_a_figures_columns_have_one_length(chapter, data):
    with figures.figure() as (fig, _), pytest.raises(ChapterError, match="one length"):
        chapter.figure(fig, "c", "a", data)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1.2345, "1.23"), (2e-15, "2.00e-15"), (123456.0, "1.23e+05"), (-0.5, "-0.5"), (0.99987, "0.99987")],
)
def test_numbers_for_people(value, text):
    assert render.number(value) == text


def test_explore_names_columns_of_the_data(chapter):
    from replib.chapter import Explore

    def drawn(**names):
        with figures.figure() as (fig, _):
            return chapter.figure(fig, "What.", "Finding.", {"x": [1.0], "y": [2.0]}, explore=Explore(**names)).bundle

    assert drawn(x="x", y=("y",), log="y")[FIGURE_MIME]["explore"] == {
        "x": "x", "y": ("y",), "by": "", "choose": "", "log": "y",
    }  # fmt: skip
    with pytest.raises(ChapterError, match="columns that the figure's data lack: width"):
        drawn(x="x", y=("y",), by="width")
