"""All chapters in reading order, with everything that pages say of them."""

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import yaml
from pybtex.database import BibliographyData, Entry, parse_file

from replib import claimsfile
from replib.claims import Claim, Verdict
from replib.press import outcome
from replib.press.digest import sha256
from replib.press.layout import BuildError, Layout
from replib.press.registration import History, Registration
from replib.press.status import Status
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
        result: how this build's quick run ended; None for a paper that is registered and not run.
        paper: the committed record of a run at the paper's sizes.
        source_sha256: of the text notebook as it is now.
        claims: what is claimed, profile -> claims; empty where the claims file cannot be read.
        registrations: (profile, claim) -> since when its criterion stands; None where that is not known.
        history_unknown: why it is not known.
    """

    slug: str
    part: str
    caption: str
    title: str
    reference: Entry
    result: outcome.Outcome | None
    paper: Record | None
    source_sha256: str
    claims: dict[str, dict[str, Claim]] = field(default_factory=dict)
    registrations: dict[tuple[str, str], Registration | None] = field(default_factory=dict)
    history_unknown: str = ""

    @property
    def quick(self) -> Record | None:
        """The record of this build's quick run; None if it failed or was not run."""
        return None if self.result is None else self.result.record

    @property
    def failed(self) -> bool:
        """Whether this build's quick run failed."""
        return self.result is not None and self.result.record is None

    @property
    def marked(self) -> list[str]:
        """Ids of claims whose criterion was not set before its record, or changed after a first one."""
        found = [claim for (_, claim), r in self.registrations.items() if r is not None and r.marked]
        return list(dict.fromkeys(found))

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
        """``[Re]``, ``[¬Re]`` if a claim stands as not replicated, ``[?Re]`` if none stands as either.

        ``[registered]`` before the first run.
        """
        if self.result is None:
            return "[registered]"
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
    missing = [slug for slug in (*layout.chapters, *layout.registered) if slug not in found]
    if missing:
        raise BuildError(f"references.bib has no entry with the key {', '.join(missing)}: add the paper there")
    return found


def read(layout: Layout) -> list[Chapter]:
    """All chapters in the order of the table of contents, registered papers among them.

    Raises:
        BuildError: a chapter is missing in the contents, or its paper in the bibliography.
    """
    toc = yaml.safe_load((layout.root / "_toc.yml").read_text(encoding="utf-8"))
    known = {*layout.chapters, *layout.registered}
    order = [(p["caption"], Path(c["file"]).name) for p in toc["parts"] for c in p["chapters"]]
    order = [(caption, slug) for caption, slug in order if slug in known]
    missing = known - {slug for _, slug in order}
    if missing:
        raise BuildError(f"_toc.yml does not list {', '.join(sorted(missing))}: add it to a part")
    references, history = _bibliography(layout), History(layout.root)
    return [_chapter(layout, history, caption, slug, references[slug]) for caption, slug in order]


def _chapter(layout: Layout, history: History, caption: str, slug: str, reference: Entry) -> Chapter:
    claims, fault = {}, ""
    try:
        found = claimsfile.read(layout.claims(slug))
        claims = {profile: found.claims(profile) for profile in ("quick", "paper")}
    except claimsfile.ClaimsError as error:
        fault = str(error)
    registrations = {
        (profile, claim.id): history.of(slug, profile, claim)
        for profile, made in claims.items()
        for claim in made.values()
    }
    shared = {
        "slug": slug, "part": layout.part(slug), "caption": caption, "reference": reference, "claims": claims,
        "registrations": registrations, "history_unknown": history.unknown,
    }  # fmt: skip
    if slug in layout.registered:
        result = outcome.Outcome(Status(slug, "quick", "claims not readable", 0.0, {}, fault), None) if fault else None
        name = re.sub(r"[{}]", "", reference.fields.get("title", slug))
        return Chapter(title=name, result=result, paper=None, source_sha256="", **shared)
    return Chapter(
        title=title(layout.chapter(slug)),
        result=outcome.load(layout, slug, "quick"),
        paper=outcome.published(layout, slug, "paper"),
        source_sha256=sha256(layout.chapter(slug)),
        **shared,
    )
