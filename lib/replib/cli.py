"""``replib agree`` and ``replib new``."""

import argparse
import sys
from pathlib import Path

from replib.press import extract
from replib.press import layout as layouts
from replib.record import Record, RecordError, compare, likely_causes, write_atomically

TEMPLATE = """\
# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Title of the paper
#
# *Authors. Venue, year* {{footcite}}`{slug}`
#
# **The question.** What is asked, why it matters, and what was found here.

# %% tags=["parameters"]
profile = "quick"
seed = 0

# %%
from replib import estimate
from replib.chapter import begin
from replib.claims import above, below
from replib.randomness import numpy_generator

chapter = begin("{slug}", profile, seed)
seeds = chapter.seeds({{"smoke": 2, "quick": 8, "paper": 8}}[profile])

# %% [markdown]
# ## What the paper claims

# %%
chapter.control("noise", "A measurement of nothing finds nothing.", below(0.5))
chapter.claim("c1", "The claim, testable.", above(0.5), paper="its figure", source="Table 1", needs=("noise",))
chapter.declarations()

# %% [markdown]
# ## Method

# %%
measured = [1 + 0.1 * numpy_generator(s, "effect").standard_normal() for s in seeds]
nothing = [0.1 * numpy_generator(s, "noise").standard_normal() for s in seeds]
chapter.measure("c1", estimate.mean(measured))
chapter.measure("noise", estimate.mean(nothing))

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
chapter.verdicts()

# %%
chapter.report()

# %% [markdown]
# **What was easy, what was hard, and what the paper leaves out.**
#
# **Where this run differs.**
"""


def agree(path: Path, against: Path | None) -> int:
    """Compare a run with the published record; 0 if every quantity agrees."""
    ours = extract.load(path)
    if against is None:
        against = layouts.here().published(ours.slug, ours.profile)
    published = extract.load(against)
    rows = compare(published, ours)
    for row in rows:
        name = f"{row.claim} {row.quantity}".strip()
        detail = "" if row.state == "same bits" else f": published {row.ours}, this run {row.theirs}"
        print(f"{row.state:<17} {name}{detail}")
    if any(r.state in ("within tolerance", "differs") for r in rows):
        causes = other_code(path, published) + likely_causes(published, ours)
        print(f"\nlikely cause{'s, most likely first' * (len(causes) > 1)}:" if causes else "")
        for cause in causes or ["none known: text, library, versions, threads and processor are the same"]:
            print(f"  {cause}")
    differing = sum(r.state == "differs" for r in rows)
    print(f"\n{len(rows) - differing} of {len(rows)} agree with the published run of {published.slug}")
    return int(differing > 0)


def other_code(path: Path, published: Record) -> list[str]:
    """Whether an executed notebook's code, or this checkout's library, is another than what was published."""
    if path.suffix != ".ipynb" or published.provenance is None:
        return []
    try:
        layout = layouts.here()
        text = layout.chapter(published.slug)
    except layouts.BuildError:  # no checkout: nothing to compare with, nor the build's own dependencies
        return []
    import jupytext

    from replib.press import digest

    causes = []
    now = digest.describe(layout, published.slug, published.profile)
    made = published.provenance
    if extract.code(extract.read_notebook(path)) != extract.code(jupytext.read(text)):
        causes.append("the notebook's code is not the chapter's in this checkout")
    elif now["source_sha256"] != made.source_sha256:
        causes.append("the chapter's text in this checkout is not the published one")
    changed = sorted(
        m for m in now["modules"].keys() | made.modules.keys() if now["modules"].get(m) != made.modules.get(m)
    )
    if changed:
        causes.append(f"library modules of this checkout are not the published ones: {', '.join(changed)}")
    return causes


def new(slug: str, part: str) -> int:
    """Write the skeleton of a chapter, which runs as it is."""
    layout = layouts.here()
    for name, text in (("chapter", slug), ("part", part)):
        if not text.replace("_", "").isalnum() or not text.isascii() or text != text.lower() or not text[0].isalpha():
            raise layouts.BuildError(f"a {name}'s name has small letters, digits and _ only, got {text!r}")
    if "_" not in slug:
        raise layouts.BuildError(f"a chapter is called author2024_topic, got {slug!r}")
    if slug in layout.chapters:
        raise layouts.BuildError(f"there is already a chapter {slug} at {layout.chapters[slug]}")
    path = layout.root / "notebooks" / part / f"{slug}.py"
    write_atomically(path, TEMPLATE.format(slug=slug))
    print(f"wrote {path.relative_to(layout.root)}")
    print(f"add to _toc.yml:        - file: {part}/{slug}")
    print(f"add to references.bib:  an entry with the key {slug}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="replib", description="The book of replications.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("agree", help="compare a run with the published one")
    check.add_argument("run", type=Path, help="an executed notebook or a record")
    check.add_argument(
        "--with", dest="against", type=Path, help="the record to compare with (default: the published one)"
    )
    start = commands.add_parser("new", help="start a chapter")
    start.add_argument("chapter", help="author2024_topic")
    start.add_argument("part", help="the folder below notebooks/")
    options = parser.parse_args(arguments)
    try:
        if options.command == "agree":
            return agree(options.run, options.against)
        return new(options.chapter, options.part)
    except (RecordError, layouts.BuildError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
