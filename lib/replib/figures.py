"""House style: figures as inline SVG that follows the page's text colour, so they read in dark and light."""

import html
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from replib.estimate import Estimate

# Okabe and Ito's palette: distinct to colour-blind readers, readable on white and on black
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P")
# stands for the page's text colour until the SVG is written
_INK = "#012345"

_STYLE = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "figure.figsize": (7.0, 3.2),
    "figure.constrained_layout.use": True,
    "axes.prop_cycle": matplotlib.cycler(color=PALETTE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "axes.formatter.useoffset": False,
    "legend.frameon": False,
    "hatch.color": "white",
    "boxplot.medianprops.color": PALETTE[0],
    "boxplot.medianprops.linewidth": 2.0,
    "svg.fonttype": "none",
    "svg.hashsalt": "replib",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
} | dict.fromkeys(
    (
        "boxplot.boxprops.color",
        "boxplot.whiskerprops.color",
        "boxplot.capprops.color",
        "text.color",
        "axes.edgecolor",
        "axes.labelcolor",
        "axes.titlecolor",
        "xtick.color",
        "ytick.color",
    ),
    _INK,
)


def use_style() -> None:
    """Make the house style matplotlib's default in this process."""
    matplotlib.rcParams.update(_STYLE)


@contextmanager
def figure(*, rows: int = 1, columns: int = 1, size: tuple[float, float] | None = None, **options: object) -> Iterator:
    """``with figure(columns=2) as (fig, axes)``: a figure in house style, closed at the end.

    ``axes`` is one Axes for a single panel and a flat list for several.
    """
    with matplotlib.rc_context(_STYLE):
        fig, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, **options)
        flat = list(axes.flat)
        try:
            yield fig, (flat[0] if len(flat) == 1 else flat)
        finally:
            plt.close(fig)


def fill(columns: Mapping[str, list], *entries: ArrayLike) -> None:
    """Append rows to a figure's data: one entry per column, each one value or a list; single values are repeated.

    Raises:
        ValueError: not one entry per column, or lists of different lengths; nothing is appended then.
    """
    try:
        rows = np.broadcast_arrays(*(np.atleast_1d(np.asarray(e)) for e in entries))
    except ValueError:
        raise ValueError(f"lists of different lengths: {[np.shape(e) for e in entries]}") from None
    if len(rows) != len(columns):
        raise ValueError(f"{len(columns)} columns ({', '.join(columns)}) and {len(rows)} entries")
    for column, entry in zip(columns.values(), rows, strict=True):
        column.extend(entry.tolist())


def bars(ax: Axes, groups: Mapping[str, Mapping[str, Estimate]]) -> dict[str, list]:
    """Grouped bars with 95 % intervals: series -> label -> estimate. Returns what is drawn, as columns.

    Series differ in colour and in hatching; all have the same labels.
    """
    columns: dict[str, list] = {"label": [], "series": [], "value": [], "low": [], "high": []}
    width = 0.8 / len(groups)
    for k, (series, estimates) in enumerate(groups.items()):
        drawn = list(estimates.values())
        value = np.array([e.value for e in drawn])
        reach = np.abs(np.array([[e.low for e in drawn], [e.high for e in drawn]]) - value)
        at = np.arange(len(drawn)) + width * (k - (len(groups) - 1) / 2)
        ax.bar(at, value, 0.95 * width, yerr=reach, label=series, color=PALETTE[k], hatch=("", "//", "..")[k % 3],
               ecolor="gray", capsize=3)  # fmt: skip
        ax.set_xticks(np.arange(len(drawn)), list(estimates))
        for label, e in estimates.items():
            fill(columns, label, series, e.value, e.low, e.high)
    return columns


def svg(fig: Figure, name: str, alt: str) -> str:
    """``fig`` as an inline SVG element with alternative text.

    Args:
        name: prefix of every id in it, unique on the page.
        alt: what a reader who cannot see the figure needs to know: the finding.
    """
    stream = io.StringIO()
    fig.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<style .*?</style>\s*", "", text, flags=re.DOTALL)  # would style the whole page
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    text = text.replace(_INK, "currentColor")
    # two decimals of a 72-dpi point are below what any screen shows
    text = re.sub(r'\b(?:d|x|y)="[^"]*"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m[0]), text)
    view_box = re.search(r'viewBox="[^"]*"', text)[0]
    width = fig.get_figwidth() * 96
    opening = (
        f'<svg role="img" aria-label="{html.escape(alt, quote=True)}" {view_box} '
        f'style="width:100%;max-width:{width:.0f}px;height:auto" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return re.sub(r"\n\s*", "\n", re.sub(r"<svg [^>]*>", lambda _: opening, text, count=1)).strip()
