"""All chapters in reading order, with everything that pages say of them."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml
from pybtex.database import BibliographyData, Entry, parse_file

from replib.claims import Verdict
from replib.press import outcome
from replib.press.digest import sha256
from replib.press.layout import BuildError, Layout
from replib.record import ClaimRecord, Record

_DECIDED = (Verdict.REPLICATED, Verdict.NOT_REPLICATED)


@dataclass(frozen=True)
class Chapter:
    """A chapter of the book.

    Attributes:
        slug: its name.
        part: the folder it lies in.
        caption: the part's name in the table of contents.
        title: the paper's title.
        reference: the paper in the bibliography.
        result: how this build's quick run ended.
        paper: the committed record of a run at the paper's sizes.
        source_sha256: of the text notebook as it is now.
    """

    slug: str
    part: str
    caption: str
    title: str
    reference: Entry
    result: outcome.Outcome
    paper: Record | None
    source_sha256: str

    @property
    def quick(self) -> Record | None:
        """The record of this build's quick run; None if it failed."""
        return self.result.record

    @property
    def page(self) -> str:
        """The address of its page, from the root of the site."""
        return f"{self.part}/{self.slug}.html"

    @property
    def year(self) -> str:
        """When the paper appeared."""
        return self.reference.fields.get("year", "")

    @property
    def authors(self) -> str:
        """``Xu et al. 2021``."""
        names = [" ".join(p.last_names) for p in self.reference.persons.get("author", [])]
        who = names[0] + " et al." if len(names) > 2 else " and ".join(names)
        return f"{who} {self.year}"

    @property
    def bibtex(self) -> str:
        """The paper's BibTeX entry."""
        return BibliographyData({self.slug: self.reference}).to_string("bibtex").strip()

    def pairs(self) -> list[tuple[ClaimRecord, ClaimRecord | None]]:
        """Each claim of the quick run with the same claim at the paper's sizes."""
        mates = {} if self.paper is None else {c.id: c for c in self.paper.claims}
        return [] if self.quick is None else [(c, mates.get(c.id)) for c in self.quick.claims]

    @cached_property
    def standing(self) -> Counter[Verdict]:
        """How many claims stand at each verdict; see :func:`standing`."""
        return Counter(standing(quick, paper) for quick, paper in self.pairs())

    @property
    def mark(self) -> str:
        """``[Re]``, ``[¬Re]`` if a claim stands as not replicated, ``[?Re]`` if none stands as either."""
        if self.standing[Verdict.NOT_REPLICATED]:
            return "[¬Re]"
        return "[Re]" if self.standing[Verdict.REPLICATED] else "[?Re]"

    @property
    def paper_is_older(self) -> bool:
        """Whether the chapter's text changed since it was run at the paper's sizes."""
        made = None if self.paper is None else self.paper.provenance
        return made is not None and made.source_sha256 != self.source_sha256


def standing(quick: ClaimRecord, paper: ClaimRecord | None) -> Verdict:
    """Where a claim stands after all runs: at the paper's sizes if that run decided it, else as quick has it."""
    if paper is not None and paper.verdict in _DECIDED:
        return paper.verdict
    if quick.verdict is Verdict.NOT_TESTED and paper is not None:
        return paper.verdict
    return quick.verdict


def title(path: Path) -> str:
    """The first heading of a chapter.

    Raises:
        BuildError: there is none.
    """
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# # "):
            return line[4:].strip()
    raise BuildError(f"{path} has no title: begin its first text cell with '# # Title'")


def _bibliography(layout: Layout) -> dict[str, Entry]:
    found = dict(parse_file(str(layout.root / "references.bib")).entries)
    missing = [slug for slug in layout.chapters if slug not in found]
    if missing:
        raise BuildError(f"references.bib has no entry with the key {', '.join(missing)}: add the paper there")
    return found


def read(layout: Layout) -> list[Chapter]:
    """All chapters in the order of the table of contents.

    Raises:
        BuildError: a chapter is missing in the contents, or its paper in the bibliography.
    """
    toc = yaml.safe_load((layout.root / "_toc.yml").read_text(encoding="utf-8"))
    order = [(p["caption"], Path(c["file"]).name) for p in toc["parts"] for c in p["chapters"]]
    order = [(caption, slug) for caption, slug in order if slug in layout.chapters]
    missing = layout.chapters.keys() - {slug for _, slug in order}
    if missing:
        raise BuildError(f"_toc.yml does not list {', '.join(sorted(missing))}: add it to a part")
    references = _bibliography(layout)
    return [
        Chapter(
            slug=slug,
            part=layout.part(slug),
            caption=caption,
            title=title(layout.chapter(slug)),
            reference=references[slug],
            result=outcome.load(layout, slug, "quick"),
            paper=outcome.published(layout, slug, "paper"),
            source_sha256=sha256(layout.chapter(slug)),
        )
        for caption, slug in order
    ]
