"""House style: figures as inline SVG that follows the page's text colour, so they read in dark and light."""

import html
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

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


def table(columns: Sequence[str], entries: Iterable[tuple]) -> pd.DataFrame:
    """A tidy table from entries such as ``("ReLU", steps, accuracy)``, one field a column; single values are repeated.

    Args:
        columns: names, in the order in which readers get them.
        entries: fields are single values or arrays that broadcast against each other; an estimate, or a list of
            estimates, stands for three columns: value, low and high.

    Raises:
        ValueError: fields that do not fit the columns, or each other.
    """
    filled: dict[str, list] = {name: [] for name in columns}
    for entry in entries:
        fields: list[np.ndarray] = []
        for value in entry:
            many = isinstance(value, list | tuple) and value and all(isinstance(v, Estimate) for v in value)
            if isinstance(value, Estimate):
                fields += [np.asarray(v) for v in (value.value, value.low, value.high)]
            elif many:
                fields += [np.array([getattr(v, end) for v in value]) for end in ("value", "low", "high")]
            else:
                fields.append(np.asarray(value))
        if len(fields) != len(filled):
            raise ValueError(f"{len(filled)} columns ({', '.join(columns)}) and {len(fields)} fields")
        try:
            rows = np.broadcast_arrays(*(np.atleast_1d(f) for f in fields))
        except ValueError:
            raise ValueError(f"fields of shapes that do not fit each other: {[f.shape for f in fields]}") from None
        for column, field in zip(filled.values(), rows, strict=True):
            column.extend(field.ravel().tolist())
    return pd.DataFrame(filled)


class Cues:
    """Which colour, marker, dash and hatching a series has: the same in all panels, in order of appearance."""

    def __init__(self) -> None:
        self._order: dict[object, int] = {}
        self.handles: dict[str, Artist] = {}

    def number(self, series: object) -> int:
        """The series' place in the order."""
        return self._order.setdefault(series, len(self._order))

    def color(self, series: object) -> str:
        """Its colour."""
        return PALETTE[self.number(series) % len(PALETTE)]

    def marker(self, series: object) -> str:
        """Its marker, another one where colours begin anew."""
        k = self.number(series)
        return MARKERS[(k + k // len(PALETTE)) % len(MARKERS)]

    def label(self, name: str, artist: Artist) -> None:
        """Name a series in the legend, once."""
        self.handles.setdefault(name, artist)


Layer = Callable[[Axes, pd.DataFrame, Cues], None]


def _chosen(rows: pd.DataFrame, where: str) -> pd.DataFrame:
    return rows.query(where) if where else rows


def _series(rows: pd.DataFrame, by: str) -> Iterator[tuple[object, pd.DataFrame]]:
    yield from rows.groupby(by, sort=False) if by else [("", rows)]


def _reach(rows: pd.DataFrame, y: str, interval: tuple[str, str]) -> tuple[pd.Series, pd.Series]:
    low, high = (rows[end] for end in interval)
    return rows[y] - low, high - rows[y]


def _named(by: str, y: tuple[str, ...], series: object, column: str) -> str:
    return ", ".join(part for part in (str(series) if by else "", column if len(y) > 1 else "") if part)


@dataclass(frozen=True)
class Lines:
    """Curves of ``y`` against ``x``, one for each value of the column ``by``.

    Attributes:
        y: a column, or several: the first is drawn solid, the others dashed and dotted.
        each: a column of replicates, drawn thin, with their ``middle`` (``mean`` or ``median``) drawn thick.
        band: columns of the lower and the upper end of an interval.
        gray: values of ``by`` that are guides (a target, a limit, a slope): gray and dotted, without marks.
        where: which rows, in the language of :meth:`pandas.DataFrame.query`.
    """

    x: str
    y: str | Sequence[str]
    _: KW_ONLY
    by: str = ""
    each: str = ""
    middle: str = "mean"
    band: tuple[str, str] | None = None
    gray: Sequence[object] = ()
    where: str = ""

    def __call__(self, ax: Axes, rows: pd.DataFrame, cues: Cues) -> None:
        columns = (self.y,) if isinstance(self.y, str) else tuple(self.y)
        for series, own in _series(_chosen(rows, self.where), self.by):
            guide = series in self.gray
            color = "gray" if guide else cues.color(series)
            for k, column in enumerate(columns):
                dash = (":", "--", "-.")[list(self.gray).index(series) % 3] if guide else ("-", "--", ":", "-.")[k % 4]
                if self.each:
                    for _, run in own.groupby(self.each, sort=False):
                        ax.plot(run[self.x], run[column], color=color, ls=dash, lw=0.7, alpha=0.35)
                    drawn = own.groupby(self.x, sort=True)[column].agg(self.middle)
                    x, y = drawn.index.to_numpy(), drawn.to_numpy()
                else:
                    x, y = own[self.x].to_numpy(), own[column].to_numpy()
                # the second cue: every point of a short line, a few of a long one, at other places for each series
                every = 1 if len(x) <= 12 else (0.04 * (cues.number(series) % 4 if not guide else 0), 0.16)
                marker = "" if guide else cues.marker(series)
                (line,) = ax.plot(x, y, color=color, ls=dash, lw=1.2 if guide else 1.7, marker=marker, ms=4,
                                  markevery=every)  # fmt: skip
                if name := _named(self.by, columns, series, column):
                    cues.label(name, line)
            if self.band:
                low, high = (own[end] for end in self.band)
                ax.fill_between(own[self.x], low, high, color=color, alpha=0.2, lw=0)


@dataclass(frozen=True)
class Points:
    """Marks at ``x`` (numbers, or names that are set side by side) and ``y``, a colour and marker for each ``by``.

    Attributes:
        interval: columns of the lower and the upper end.
        filled: a column of truth values; marks where it is false are left open.
        spread: how far series stand apart along x.
        size: of a mark, in points.
    """

    x: str
    y: str
    _: KW_ONLY
    by: str = ""
    interval: tuple[str, str] | None = None
    filled: str = ""
    spread: float = 0.0
    size: float = 5.0
    where: str = ""

    def __call__(self, ax: Axes, rows: pd.DataFrame, cues: Cues) -> None:
        rows = _chosen(rows, self.where)
        if rows.empty:  # a panel of other layers
            return
        names = [series for series, _ in _series(rows, self.by)]
        places = None
        if not pd.api.types.is_numeric_dtype(rows[self.x]):
            places = {label: k for k, label in enumerate(rows[self.x].unique())}
            ax.set_xticks(range(len(places)), list(places))
        for k, (series, own) in enumerate(_series(rows, self.by)):
            x = own[self.x].map(places) if places else own[self.x]
            x = x + self.spread * (k - (len(names) - 1) / 2)
            style = {"color": cues.color(series), "marker": cues.marker(series), "ls": "", "ms": self.size}
            if self.interval:
                ax.errorbar(x, own[self.y], _reach(own, self.y, self.interval), capsize=3, lw=1, **style)
            there = own[self.filled].astype(bool) if self.filled else np.ones(len(own), bool)
            (drawn,) = ax.plot(x[there], own[self.y][there], alpha=0.8, mew=0, **style)
            ax.plot(x[~there], own[self.y][~there], mfc="none", **style)
            if self.by:
                cues.label(str(series), drawn)


@dataclass(frozen=True)
class Bars:
    """Bars with intervals at the values of ``x``, side by side and hatched for each ``by``."""

    x: str
    y: str
    _: KW_ONLY
    by: str = ""
    interval: tuple[str, str] | None = None
    where: str = ""

    def __call__(self, ax: Axes, rows: pd.DataFrame, cues: Cues) -> None:
        rows = _chosen(rows, self.where)
        if rows.empty:
            return
        labels = list(rows[self.x].unique())
        groups = list(_series(rows, self.by))
        width = 0.8 / max(1, len(groups))
        for k, (series, own) in enumerate(groups):
            at = own[self.x].map(labels.index) + width * (k - (len(groups) - 1) / 2)
            reach = _reach(own, self.y, self.interval) if self.interval else None
            drawn = ax.bar(at, own[self.y], 0.95 * width, yerr=reach, color=cues.color(series),
                           hatch=("", "//", "..", "xx")[cues.number(series) % 4], ecolor="gray", capsize=3)  # fmt: skip
            if self.by:
                cues.label(str(series), drawn)
        ax.set_xticks(range(len(labels)), [str(label) for label in labels])


@dataclass(frozen=True)
class Histogram:
    """Counts ``y`` in bins of equal width around ``x``; one series is filled, several are outlines with own dashes."""

    x: str
    y: str
    _: KW_ONLY
    by: str = ""
    where: str = ""

    def __call__(self, ax: Axes, rows: pd.DataFrame, cues: Cues) -> None:
        groups = list(_series(_chosen(rows, self.where), self.by))
        for series, own in groups:
            middle, k = own[self.x].to_numpy(), cues.number(series)
            half = np.diff(middle).min() / 2 if len(middle) > 1 else 0.5
            edges = np.append(middle - half, middle[-1] + half)
            alone = len(groups) == 1
            drawn = ax.stairs(own[self.y], edges, fill=alone, color=cues.color(series), lw=1.5,
                              ls=("-", "--", ":", "-.")[k % 4])  # fmt: skip
            if self.by:
                cues.label(str(series), drawn)


@dataclass(frozen=True)
class Heat:
    """A map of ``value`` over ``x`` and ``y``.

    Attributes:
        text: a format such as ``.2g``, to write each value into its cell.
        low, high: values of the first and the last colour.
        colors: a colour map, or the colours of classes in rising order.
        bar: the label of a colour bar; none where it is empty.
    """

    x: str
    y: str
    value: str
    _: KW_ONLY
    text: str = ""
    low: float | None = None
    high: float | None = None
    colors: str | tuple[str, ...] = "cividis"
    bar: str = ""
    where: str = ""

    def __call__(self, ax: Axes, rows: pd.DataFrame, cues: Cues) -> None:
        rows = _chosen(rows, self.where)
        grid = rows.pivot_table(index=self.y, columns=self.x, values=self.value, sort=False)
        matrix = grid.to_numpy(float)
        colors = self.colors if isinstance(self.colors, str) else ListedColormap(self.colors)
        numeric = all(pd.api.types.is_numeric_dtype(axis) for axis in (grid.index, grid.columns)) and not self.text
        if numeric:
            grid = grid.sort_index().sort_index(axis=1)
            matrix = grid.to_numpy(float)
            image = ax.pcolormesh(grid.columns, grid.index, matrix, vmin=self.low, vmax=self.high, cmap=colors,
                                  shading="nearest", rasterized=matrix.size > 400)  # fmt: skip
        else:
            image = ax.imshow(matrix, vmin=self.low, vmax=self.high, cmap=colors, aspect="auto")
            ax.set_xticks(range(matrix.shape[1]), [f"{v:g}" if isinstance(v, float) else v for v in grid.columns])
            ax.set_yticks(range(matrix.shape[0]), [f"{v:g}" if isinstance(v, float) else v for v in grid.index])
            for (i, j), v in np.ndenumerate(matrix if self.text else np.empty((0, 0))):
                # dark on the bright half of the colours
                ink = "black" if image.norm(v) > 0.5 else "white"
                ax.text(j, i, format(v, self.text), ha="center", va="center", color=ink)
        if self.bar:
            ax.figure.colorbar(image, ax=ax, label=self.bar, shrink=0.9)


@dataclass(frozen=True)
class Level:
    """A gray line across a panel at a value of ``axis``, or a shaded strip between two; by panel if a mapping."""

    value: float | tuple[float, float] | Mapping
    label: str = ""
    _: KW_ONLY
    axis: str = "y"
    dash: str = ":"

    def __call__(self, ax: Axes, rows: pd.DataFrame, cues: Cues) -> None:
        value = self.value
        if isinstance(value, Mapping):
            panel = ax.get_label()
            value = next((v for k, v in value.items() if str(k) == panel), None)
        if value is None:
            return
        if isinstance(value, tuple):
            drawn = (ax.axhspan if self.axis == "y" else ax.axvspan)(*value, color="gray", alpha=0.2, lw=0)
        else:
            drawn = (ax.axhline if self.axis == "y" else ax.axvline)(value, color="gray", ls=self.dash, lw=1.2)
        if self.label:
            cues.label(self.label, drawn)


def draw(
    data: pd.DataFrame, *layers: Layer, panel: str = "", panels: Mapping[object, Mapping] | None = None,
    columns: int = 4, size: tuple[float, float] | None = None, sharey: bool | None = None, **options: object,
) -> Figure:  # fmt: skip
    """A figure in house style: layers drawn from the rows of a table, small multiples by the column ``panel``.

    Args:
        layers: such as :func:`lines`, or any function of axes, the panel's rows and the cues.
        panel: each value of this column has a panel of its own, in order of appearance, with the value as title.
        panels: matplotlib's settings of single panels, such as ``{"loss": {"yscale": "log"}}``.
        columns: panels in a row, at most.
        size: in inches.
        sharey: whether all panels have one vertical axis; by default if none has settings for it.
        options: matplotlib's settings of all panels. Axes are named after the first layer's columns by default.

    Raises:
        ValueError: a column or a panel that the table does not have.
    """
    panels = panels or {}
    for name in filter(None, (panel, *(n for layer in layers for n in _columns(layer)))):
        if name not in data:
            raise ValueError(f"the figure's table has no column {name!r}; it has: {', '.join(map(str, data))}")
    groups = {str(k): rows for k, rows in data.groupby(panel, sort=False)} if panel else {"": data}
    unknown = sorted({str(k) for k in panels} - groups.keys())
    if unknown:
        raise ValueError(f"no row has the panel {', '.join(unknown)}; the table has: {', '.join(groups)}")
    own = {str(k): dict(v) for k, v in panels.items()}
    if sharey is None:
        sharey = not any({"ylabel", "yscale", "ylim"} & v.keys() for v in own.values())
    across = min(columns, len(groups))
    down = -(-len(groups) // across)
    size = size or (min(11.0, 2.2 + 3.4 * across) if across > 1 else 7.0, 3.4 * down)
    first = next((layer for layer in layers if hasattr(layer, "x")), None)
    names = {} if first is None else {"xlabel": first.x, "ylabel": first.y if isinstance(first.y, str) else first.y[0]}
    cues = Cues()
    with matplotlib.rc_context(_STYLE):
        fig, grid = plt.subplots(down, across, figsize=size, squeeze=False, sharey=sharey)
        plt.close(fig)  # shown once, by the chapter
        for k, (ax, (name, rows)) in enumerate(zip(grid.flat, groups.items(), strict=False)):
            ax.set_label(name)
            for layer in layers:
                layer(ax, rows, cues)
            settings = names | options | own.get(name, {})
            if sharey and k % across and "ylabel" not in own.get(name, {}):
                settings.pop("ylabel", None)
            ax.set(**({"title": name} if panel else {}) | settings)
            if settings.get("xscale") == "log" and "xticks" not in settings and first is not None and first.x in rows:
                _few_ticks(ax, rows[first.x])
        for ax in list(grid.flat)[len(groups) :]:
            ax.set_axis_off()
        if cues.handles:
            per_row = max(1, int(size[0] * 13 / (6 + max(map(len, cues.handles)))))
            fig.legend(cues.handles.values(), cues.handles.keys(), loc="outside lower center", fontsize="small",
                       ncols=min(per_row, len(cues.handles)))  # fmt: skip
    return fig


def _columns(layer: Layer) -> Iterator[str]:
    """The columns that a layer names."""
    for attribute in ("x", "y", "by", "each", "band", "interval", "filled", "value"):
        named = None if isinstance(layer, Level) else getattr(layer, attribute, None)
        if named is not None:
            yield from (named,) if isinstance(named, str) else named


# a logarithmic axis with no more values than this is marked at them
_FEW = 8


def _few_ticks(ax: Axes, x: pd.Series) -> None:
    values = sorted(set(x.dropna()))
    if pd.api.types.is_numeric_dtype(x) and 1 < len(values) <= _FEW and values[0] > 0:
        texts, last = [], 0.0
        for v in values:  # a label that would run into the one before it is left out
            near = last > 0 and np.log(v / last) < np.log(values[-1] / values[0]) / _FEW
            texts.append("" if near else f"{v:,g}" if v < 1e6 else f"{v:.0e}")
            last = last if near else v
        ax.set_xticks(values, texts)
        ax.set_xticks([], minor=True)


def svg(fig: Figure, name: str, alt: str) -> str:
    """``fig`` as an inline SVG element with alternative text.

    Args:
        name: prefix of every id in it, unique on the page.
        alt: what a reader who cannot see the figure needs to know: the finding.
    """
    stream = io.StringIO()
    with matplotlib.rc_context(_STYLE):  # the salt of ids among it
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
