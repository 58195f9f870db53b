"""Figures: one table is what is drawn and what readers download."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from replib import estimate
from replib.chapter import ChapterError
from replib.figures import Bars, Cues, Heat, Histogram, Level, Lines, Points, draw, svg, table
from replib.press import extract
from replib.record import FIGURE_MIME

STEPS = np.arange(1, 41)


@pytest.fixture
def curves():
    """Two arms of three seeds."""
    rng = np.random.default_rng(0)
    runs = (
        (arm, seed, STEPS, rng.random(40) + k) for k, arm in enumerate(("plain", "decayed")) for seed in (100, 101, 102)
    )
    return table(("arm", "seed", "step", "accuracy"), runs)


def test_a_table_repeats_single_values_and_spreads_arrays_and_estimates():
    e = estimate.mean([1.0, 2.0, 3.0])
    made = table(("name", "x", "value", "low", "high"), [("a", [1, 2], [e, e]), ("b", 3, e)])
    assert list(made["name"]) == ["a", "a", "b"]
    assert list(made["x"]) == [1, 2, 3]
    assert list(made["value"]) == [2.0] * 3
    assert (made["low"] < 2).all()
    grid = table(("row", "column", "value"), [(np.arange(2)[:, None], np.arange(3)[None], np.arange(6).reshape(2, 3))])
    assert list(grid["row"] * 3 + grid["column"]) == list(grid["value"])


def test_a_table_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"2 columns \(a, b\) and 3 fields"):
        table(("a", "b"), [(1, 2, 3)])
    with pytest.raises(ValueError, match="do not fit each other"):
        table(("a", "b"), [([1, 2], [1, 2, 3])])


def test_panels_have_the_rows_of_their_value_and_its_name(curves):
    fig = draw(curves, Lines("step", "accuracy", by="seed"), panel="arm", xscale="log")
    assert [ax.get_title() for ax in fig.axes] == ["plain", "decayed"]
    for ax, arm in zip(fig.axes, ("plain", "decayed"), strict=True):
        drawn = [line.get_ydata() for line in ax.lines]
        expected = [own["accuracy"].to_numpy() for _, own in curves[curves["arm"] == arm].groupby("seed")]
        assert all(np.array_equal(a, b) for a, b in zip(drawn, expected, strict=True))
    assert [ax.get_xlabel() for ax in fig.axes] == ["step", "step"]
    assert [ax.get_ylabel() for ax in fig.axes] == ["accuracy", ""]
    assert not plt.get_fignums()


def test_replicates_are_thin_and_their_mean_thick(curves):
    (ax,) = draw(curves, Lines("step", "accuracy", by="arm", each="seed")).axes
    thick = [line for line in ax.lines if line.get_linewidth() > 1]
    assert len(ax.lines) == 8
    for line, (_, own) in zip(thick, curves.groupby("arm", sort=False), strict=True):
        np.testing.assert_allclose(line.get_ydata(), own.groupby("step")["accuracy"].mean())


def test_series_differ_in_two_ways_and_look_alike_in_all_panels():
    cues = Cues()
    looks = [(cues.color(k), cues.marker(k)) for k in range(24)]
    assert len(set(looks)) == 24
    assert (cues.color(3), cues.marker(3)) == looks[3]


def test_bars_and_points_draw_values_and_intervals():
    e = estimate.mean([1.0, 2.0, 3.0])
    made = table(("label", "series", "value", "low", "high"), [(x, s, e) for x in "xy" for s in ("in", "out")])
    (ax,) = draw(made, Bars("label", "value", by="series", interval=("low", "high"))).axes
    assert [p.get_height() for p in ax.patches] == [2.0] * 4
    assert [t.get_text() for t in ax.get_xticklabels()] == ["x", "y"]
    assert len({p.get_hatch() for p in ax.patches}) == 2
    ends = np.sort(ax.containers[0].get_segments()[0][:, 1]) if hasattr(ax.containers[0], "get_segments") else None
    assert ends is None or np.allclose(ends, (e.low, e.high))
    open_ = pd.DataFrame({"x": [1.0, 2.0], "y": [1.0, 2.0], "there": [True, False]})
    (ax,) = draw(open_, Points("x", "y", filled="there")).axes
    assert [line.get_markerfacecolor() for line in ax.lines][-1] == "none"
    assert [list(line.get_xdata()) for line in ax.lines] == [[1.0], [2.0]]


def test_a_map_has_its_values_at_their_places():
    made = table(("x", "y", "value"), [(x, y, 10 * x + y) for y in (3, 1) for x in (2, 5)])
    (ax,) = draw(made, Heat("x", "y", "value", text="g")).axes
    assert [t.get_text() for t in ax.texts] == ["23", "53", "21", "51"]
    numeric = draw(made, Heat("x", "y", "value", bar="value")).axes[0].collections[0]
    assert list(np.ravel(numeric.get_array())) == [21, 51, 23, 53]


def test_histograms_levels_and_functions():
    made = pd.DataFrame({"bin": [0.5, 1.5, 2.5], "count": [3, 1, 2]})
    seen = []
    layers = (
        Histogram("bin", "count"),
        Level(2, "half"),
        Level({"": (0.2, 0.4)}, axis="x"),
        lambda ax, rows, cues: seen.append(len(rows)),
    )
    fig = draw(made, *layers)
    np.testing.assert_allclose(fig.axes[0].patches[0].get_data().edges, [0, 1, 2, 3])
    assert seen == [3]
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["half"]


def test_few_values_of_a_logarithmic_axis_are_its_ticks():
    made = pd.DataFrame({"width": [32, 128, 2048], "error": [3.0, 2.0, 1.0]})
    (ax,) = draw(made, Lines("width", "error"), xscale="log", yscale="log").axes
    assert [t.get_text() for t in ax.get_xticklabels()] == ["32", "128", "2,048"]
    close = pd.DataFrame({"width": [10, 11, 100], "error": [3.0, 2.0, 1.0]})
    (ax,) = draw(close, Lines("width", "error"), xscale="log").axes
    assert [t.get_text() for t in ax.get_xticklabels()] == ["10", "", "100"]
    (ax,) = draw(close, Lines("width", "error"), xscale="log", xticks=[20]).axes
    assert list(ax.get_xticks()) == [20]


def test_a_layer_without_rows_in_a_panel_leaves_it_alone():
    made = pd.DataFrame({"panel": ["a", "b"], "name": ["x", None], "value": [1.0, 2.0], "t": [None, 3.0]})
    layers = (Bars("name", "value", where="panel == 'a'"), Points("t", "value", where="panel == 'b'"))
    first, second = draw(made, *layers, panel="panel", sharey=False).axes
    assert [t.get_text() for t in first.get_xticklabels()] == ["x"]
    assert len(second.get_xticks()) > 1


def test_panels_that_the_table_does_not_have(curves):
    with pytest.raises(ValueError, match="no row has the panel other; the table has: plain, decayed"):
        draw(curves, Lines("step", "accuracy"), panel="arm", panels={"other": {"yscale": "log"}})


def test_a_figure_is_inline_svg_in_the_pages_ink_and_the_same_bytes_twice(chapter, curves):
    def shown():
        return svg(draw(curves, Lines("step", "accuracy", by="arm", each="seed"), title="0.98765"), "f", "The finding.")

    html = shown()
    assert html == shown()
    assert 'role="img" aria-label="The finding."' in html
    assert "currentColor" in html
    assert "#012345" not in html
    assert "<style" not in html
    assert "0.98765" in html  # text is not rounded with the coordinates
    ids = [part.split('"')[0] for part in html.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


def test_readers_get_the_table_that_is_drawn_in_the_authors_order(chapter, curves):
    curves["accuracy"] = curves["accuracy"].where(curves["step"] > 1)  # a number that is none
    bundle = chapter.figure(
        curves, Lines("step", "accuracy", by="arm", each="seed"), xscale="log", caption="What.", alt="Finding."
    ).bundle
    assert "Figure 1." in bundle["text/html"]
    notebook = {"cells": [{"outputs": [{"data": bundle}]}]}
    (figure,) = extract.figures(notebook)
    lines = extract.figure_csv(figure).splitlines()
    assert lines[0] == "arm,seed,step,accuracy"
    assert lines[1] == "plain,100,1,"
    assert len(lines) == 1 + len(curves)
    assert figure["columns"]["accuracy"][1] == float(f"{curves['accuracy'][1]:.9g}")
    assert figure["explore"] == {"x": "step", "y": ("accuracy",), "by": "arm", "choose": "", "log": "x"}


def test_a_figure_without_numbers_along_x_is_not_offered_for_exploring(chapter):
    made = pd.DataFrame({"arm": ["a", "b"], "value": [1.0, 2.0]})
    bundle = chapter.figure(made, Bars("arm", "value"), caption="What.", alt="Finding.").bundle
    assert bundle[FIGURE_MIME]["explore"] is None


@pytest.mark.parametrize(("caption", "alt"), [("", "a"), ("c", " ")])
def test_a_figure_says_what_it_shows(chapter, curves, caption, alt):
    with pytest.raises(ChapterError, match="alternative text"):
        chapter.figure(curves, Lines("step", "accuracy"), caption=caption, alt=alt)


def test_columns_that_the_table_does_not_have_are_named(chapter, curves):
    with pytest.raises(ValueError, match="no column 'loss'; it has: arm, seed, step, accuracy"):
        draw(curves, Lines("step", "loss"))
    with pytest.raises(ValueError, match="no column 'kind'"):
        draw(curves, Lines("step", "accuracy"), panel="kind")
