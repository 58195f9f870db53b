"""What a chapter's notebook talks to.

::

    chapter = begin("xu2021_extrapolation", profile, seed)
    chapter.measure("c1", quadratic=estimate.mean(r_squared))
    chapter.verdicts()
    chapter.report()

Claims are declared in the chapter's claims file, see :mod:`replib.claimsfile`. Each is measured once or declared not
tested, and whatever breaks that rule is an error that names the claim.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol

import pandas as pd
import torch

from replib import environment, figures, render
from replib.claims import Claim, final_verdict
from replib.claimsfile import ClaimsFile, find, member_name, read
from replib.estimate import Estimate
from replib.figures import Layer
from replib.record import (
    FIGURE_MIME,
    PROFILES,
    RECORD_MIME,
    ClaimRecord,
    DataRecord,
    QuantityRecord,
    Record,
)

# judged seeds start here: the specifications were piloted on smaller ones
FIRST_SEED = 100


class ChapterError(ValueError):
    """A chapter that misuses its claims; the message names the claim and the remedy."""


class DataSet(Protocol):
    """A verified data set at hand, such as :func:`replib.data.registry.fetch` gives."""

    name: str
    paths: dict[str, Path]
    sha256: str
    bytes: int
    downloaded: int


@dataclass(frozen=True)
class Explore:
    """How the site offers a figure's data for exploring, by names of its columns; read off its first curves or points.

    Attributes:
        x: the horizontal axis.
        y: what is drawn against it.
        by: one curve for each value of this column.
        choose: a reader picks one value of this column.
        log: axes that are logarithmic at first, such as ``"xy"``.
    """

    x: str
    y: tuple[str, ...]
    by: str = ""
    choose: str = ""
    log: str = ""


@dataclass(frozen=True)
class Output:
    """What a cell shows, in several forms."""

    bundle: dict[str, object]

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        return self.bundle


class Chapter:
    """One run of one chapter. Made by :func:`begin`."""

    def __init__(self, slug: str, profile: str, seed: int, declared: ClaimsFile) -> None:
        self.slug, self.profile, self.seed = slug, profile, seed
        self._claims: dict[str, Claim] = declared.claims(profile)
        self._controls: dict[str, Claim] = declared.controls(profile)
        self._seeds: set[int] = set()
        self._figures = 0
        self._data: list[DataRecord] = []
        self._downloaded = 0
        self._clock = environment.Clock()

    @property
    def full(self) -> bool:
        """Whether this run has the paper's own sizes."""
        return self.profile == "paper"

    @property
    def device(self) -> torch.device:
        """A GPU in the paper profile, if one is there; the processor otherwise."""
        return torch.device("cuda" if self.full and torch.cuda.is_available() else "cpu")

    def sizes(self, quick: Mapping, smoke: Mapping, paper: Mapping) -> SimpleNamespace:
        """The sizes of this run: those of ``quick``, with what the run's own profile says otherwise.

        Args:
            quick: name -> a size, or a mapping of sizes.
            smoke, paper: what is other there; mappings are merged, anything else is replaced.

        Raises:
            ChapterError: smoke or paper names a group that quick does not have.
        """
        other = {"smoke": smoke, "quick": {}, "paper": paper}[self.profile]
        unknown = sorted((smoke.keys() | paper.keys()) - quick.keys())
        if unknown:
            raise ChapterError(
                f"sizes that quick does not have: {', '.join(unknown)}; give them there too, None for none"
            )
        merged = {
            name: size | other.get(name, {}) if isinstance(size, Mapping) and isinstance(other.get(name, {}), Mapping)
            else other.get(name, size)
            for name, size in quick.items()
        }  # fmt: skip
        return SimpleNamespace(**merged)

    def seeds(self, count: int) -> list[int]:
        """``count`` seeds for replicates; the notebook's ``seed`` parameter moves them all."""
        if count < 1:
            raise ChapterError(f"a chapter needs at least one seed, got {count}")
        chosen = [FIRST_SEED + 1000 * self.seed + i for i in range(count)]
        self._seeds.update(chosen)
        return chosen

    def data(self, fetched: DataSet) -> dict[str, Path]:
        """The files of a data set that was fetched, by name; the record says that the run read them."""
        self._data.append(DataRecord(name=fetched.name, sha256=fetched.sha256, bytes=fetched.bytes))
        self._downloaded += fetched.downloaded
        return fetched.paths

    def _open(self, id: str) -> Claim:
        claim = self._claims.get(id) or self._controls.get(id)
        if claim is None:
            known = ", ".join([*self._claims, *self._controls]) or "none"
            raise ChapterError(f"claim {id!r} was never declared; declared are: {known}")
        if claim.reason:
            raise ChapterError(
                f"claim {id!r} is not tested in {self.profile} ({claim.reason}): take out the measurement or the reason"
            )
        if claim.settled:
            raise ChapterError(f"claim {id!r} is measured twice: measure it once, with all its quantities")
        return claim

    def measure(
        self, id: str, estimate: Estimate | None = None, /, **estimates: Estimate | Mapping[object, Estimate]
    ) -> None:
        """Give the estimates of a claim or control: one, or one per declared quantity, by its id.

        Args:
            estimates: quantity -> estimate, or for a family quantity -> {member: estimate}.

        Raises:
            ChapterError: unknown or already measured claim, quantities other than declared, or an
                estimate that is not a finite number.
        """
        claim = self._open(id)
        given: dict[tuple[str, str], Estimate] = {} if estimate is None else {("", ""): estimate}
        for name, value in estimates.items():
            members = {"": value} if isinstance(value, Estimate) else {member_name(k): v for k, v in value.items()}
            given |= {(name, member): v for member, v in members.items()}
        declared = {(q.id, q.member): q for q in claim.quantities}
        if given.keys() != declared.keys():
            missing, unknown = (
                ", ".join(sorted(f"{name}[{member}]" if member else name for name, member in keys)) or "none"
                for keys in (declared.keys() - given.keys(), given.keys() - declared.keys())
            )
            raise ChapterError(
                f"claim {id!r}: declared and not measured: {missing}; measured and not declared: {unknown}"
            )
        for key, value in given.items():
            if not value.finite:
                name = declared[key].name
                raise ChapterError(
                    f"claim {id!r}{f', {name}' if name else ''}: the estimate is not a finite number "
                    f"(values per seed: {list(value.values)}). A seed diverged: find out why; none may be dropped."
                )
        # in declared order, whatever the order of measuring
        claim.estimates = {quantity: given[key] for key, quantity in declared.items()}

    def not_tested(self, id: str, reason: str) -> None:
        """Say that this profile cannot test a claim, and why."""
        if not reason.strip():
            raise ChapterError(f"claim {id!r} is not tested: say why")
        self._open(id).reason = reason

    def claims(self) -> Output:
        """All claims and controls with the criteria they will be judged by."""
        claims, controls = (
            [_claim_record(c, self._controls) for c in t.values()] for t in (self._claims, self._controls)
        )
        lines = [f"{c.id}: {c.statement}" for c in (*claims, *controls)]
        return Output({"text/html": render.declarations(claims, controls), "text/plain": "\n".join(lines)})

    def figure(
        self, data: pd.DataFrame, *layers: Layer, caption: str, alt: str, panel: str = "", **options: object
    ) -> Output:
        """Draw a table in house style and attach it for download.

        Args:
            data: a tidy table; readers get it as CSV, its columns in this order.
            layers: what is drawn from it, such as :class:`replib.figures.Lines`.
            caption: what is drawn, and what it shows.
            alt: the finding, for a reader who cannot see it.
            panel, options: small multiples and axes, as :func:`replib.figures.draw` takes them.
        """
        if not caption.strip() or not alt.strip():
            raise ChapterError("a figure needs a caption and an alternative text that states the finding")
        columns = {str(name): _plain(column) for name, column in data.items()}
        explore = _explore(data, layers, panel, options)
        self._figures += 1
        svg = figures.svg(figures.draw(data, *layers, panel=panel, **options), f"{self.slug}-{self._figures}", alt)
        return Output(
            {
                "text/html": render.figure(self._figures, svg, caption),
                "text/plain": f"Figure {self._figures}. {alt}",
                FIGURE_MIME: {
                    "number": self._figures, "caption": caption, "alt": alt,
                    # pairs: writers of notebooks sort the keys of a mapping
                    "columns": [[name, column] for name, column in columns.items()],
                    "explore": None if explore is None else asdict(explore),
                },
            }
        )  # fmt: skip

    def record(self) -> Record:
        """The run so far as a record.

        Raises:
            ChapterError: a claim was declared and never measured.
        """
        for claim in (*self._claims.values(), *self._controls.values()):
            if not claim.settled:
                raise ChapterError(
                    f"claim {claim.id!r} was declared and never measured: measure it, or say not_tested with the reason"
                )
        return Record(
            slug=self.slug,
            profile=self.profile,
            seed=self.seed,
            seeds=sorted(self._seeds),
            claims=[_claim_record(c, self._controls) for c in self._claims.values()],
            controls=[_claim_record(c, self._controls) for c in self._controls.values()],
            data=self._data,
            cost=self._clock.cost(round(self._downloaded / 2**20, 1)),
            environment=environment.describe(),
        )

    def verdicts(self) -> None:
        """Print one plain line per claim and control: the same on every machine where the verdicts are."""
        print(render.plain_verdicts(self.record()))

    def report(self) -> Output:
        """The verdict table, with the record attached for the build."""
        record = self.record()
        return Output(
            {
                "text/html": render.verdict_table(record),
                "text/plain": render.plain_verdicts(record),
                RECORD_MIME: record.model_dump(mode="json"),
            }
        )


def _plain(column: Iterable) -> list:
    """A column as JSON values; numbers keep 9 significant digits, enough to redraw the figure; None for no number."""
    values = column.tolist() if hasattr(column, "tolist") else list(column)
    return [(float(f"{v:.9g}") if math.isfinite(v) else None) if isinstance(v, float) else v for v in values]


def _explore(data: pd.DataFrame, layers: Sequence[Layer], panel: str, options: Mapping) -> Explore | None:
    """The first curves or points of a figure as an interactive drawing; None where its x axis has no numbers."""
    first = next((layer for layer in layers if isinstance(layer, figures.Lines | figures.Points)), None)
    if first is None or not pd.api.types.is_numeric_dtype(data[first.x]):
        return None
    log = "".join(axis for axis in "xy" if options.get(f"{axis}scale") == "log")
    return Explore(first.x, (first.y,) if isinstance(first.y, str) else tuple(first.y), first.by, panel, log)


def _claim_record(claim: Claim, controls: Mapping[str, Claim]) -> ClaimRecord:
    verdict, reason = final_verdict(claim, controls)
    return ClaimRecord(
        id=claim.id,
        statement=claim.statement,
        paper=claim.paper,
        source=claim.source,
        note=claim.note,
        needs=list(claim.needs),
        criteria={q.name: str(q.criterion) for q in claim.quantities},
        quantities=[
            QuantityRecord(
                name=quantity.name,
                criterion=str(quantity.criterion),
                judged=quantity.criterion.judges,
                value=e.value,
                low=e.low,
                high=e.high,
                n=e.n,
                method=e.method,
                values=list(e.values),
                tolerance=e.tolerance,
                timed=e.timed,
                verdict=quantity.criterion.judge(e),
            )
            for quantity, e in claim.estimates.items()
        ],
        verdict=verdict,
        reason=reason,
    )


def begin(slug: str, profile: str, seed: int) -> Chapter:
    """Start a chapter: check its parameters, pin the threads, make torch deterministic, start the clock.

    Args:
        profile: ``smoke``, ``quick`` or ``paper``.
        seed: 0 for the published run; another one moves every seed of the chapter.

    Raises:
        ChapterError: unknown profile, or a seed that is not a whole number of at least 0.
        RuntimeError: more than one thread is active.
    """
    if profile not in PROFILES:
        raise ChapterError(f"unknown profile {profile!r}: use one of {', '.join(PROFILES)}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ChapterError(f"the seed must be a whole number of at least 0, got {seed!r}")
    # some CUDA matrix products are deterministic only with this workspace; read when CUDA starts
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    declared = read(find(slug))
    environment.pin_threads()
    torch.use_deterministic_algorithms(True)
    # every operation writes all of its output: filling fresh memory first would only cost time
    torch.utils.deterministic.fill_uninitialized_memory = False
    return Chapter(slug, profile, seed, declared)
