"""A new chapter: a notebook that runs, its claims, its entries in the contents and the bibliography."""

import re

from replib.claimsfile import SLUG, SLUG_RULE
from replib.press.layout import BuildError, Layout
from replib.record import write_atomically

NOTEBOOK = """\
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
# # The title of the paper
#
# *{author}. Venue, {year}* {{footcite}}`{slug}`
#
# **The question.** What is asked, and why it matters.
#
# **What was found here.** Written after the run; it must agree with the record.

# %% tags=["parameters"]
profile = "quick"
seed = 0

# %% tags=["hide-input"]
import numpy as np
from replib import estimate
from replib.chapter import begin
from replib.figures import Points, table
from replib.randomness import numpy_generator

chapter = begin("{slug}", profile, seed)
sizes = chapter.sizes(quick={{"seeds": 8}}, smoke={{"seeds": 3}}, paper={{"seeds": 20}})
seeds = chapter.seeds(sizes.seeds)

# %% [markdown]
# ## What the paper claims

# %% tags=["hide-input"]
chapter.claims()

# %% [markdown]
# ## Method
#
# A short explanation with the mathematics, then code that reads like it.

# %%
effect = np.array([1 + 0.1 * numpy_generator(s, "effect").standard_normal() for s in seeds])
nothing = np.array([0.1 * numpy_generator(s, "noise").standard_normal() for s in seeds])
chapter.measure("c1", effect=estimate.mean(effect))
chapter.measure("noise", estimate.mean(nothing))

# %% tags=["hide-input"]
chapter.figure(
    table(("what", "seed", "value"), [("effect", seeds, effect), ("noise", seeds, nothing)]),
    Points("seed", "value", by="what"),
    caption="The effect and the noise, one mark per seed.",
    alt="All marks of the effect lie near 1, those of the noise near 0.",
)

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

CLAIMS = """\
# What the paper claims, and what must be seen for it to count. Commit this file before the run that is judged.

[[control]]
id = "noise"
statement = "A measurement of nothing finds nothing."
criterion = "< 0.5"

[[claim]]
id = "c1"
statement = "The claim in our words, so that a run can fail it."
paper = "the paper's figure, or that it gives none"
source = "Table 1"
needs = ["noise"]
quantities = [
    { id = "effect", name = "size of the effect", criterion = "> 0.5" },
]
"""

ENTRY = """
@misc{{{slug},
  author = {{{author}, Ann and Second, Bob}},
  title  = {{The Title of the Paper}},
  year   = {{{year}}},
  note   = {{arXiv:0000.00000}}
}}
"""

PART = """\
---
description: "{caption}: papers of this part, run again claim by claim."
---
# {caption}

What the papers of this part ask, and how they hang together.
"""


def named(slug: str) -> dict[str, str]:
    """What a slug says of its paper: ``author2024_topic``."""
    match = re.match(r"([a-z]+)(\d{4})?", slug)
    return {"slug": slug, "author": match[1].capitalize(), "year": match[2] or "2024"}


def create(layout: Layout, slug: str, part: str) -> list[str]:
    """Write a chapter that runs as it is; returns what was done, a line each.

    Raises:
        BuildError: a missing or bad name, or one that is taken; nothing is written then.
    """
    parts = ", ".join(sorted({layout.part(s) for s in (*layout.chapters, *layout.registered)}))
    usage = f"type  make new CHAPTER=author2024_topic PART=part  (parts so far: {parts or 'none'}; a new one is made)"
    if not slug or not part:
        raise BuildError(f"a new chapter needs a name and a part: {usage}")
    if not SLUG.fullmatch(slug):
        raise BuildError(f"{slug!r} is no name for a chapter: {SLUG_RULE}. So {usage}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", part):
        raise BuildError(f"{part!r} is no name for a part: small letters, digits and _, a letter first. So {usage}")
    if slug in layout.chapters or slug in layout.registered:
        raise BuildError(
            f"there is already a chapter {slug} at {layout.claims(slug).with_suffix('')}.*: take another name"
        )
    contents, bibliography = layout.root / "_toc.yml", layout.root / "references.bib"
    toc, bib = (path.read_text(encoding="utf-8") for path in (contents, bibliography))
    caption, page = part.replace("_", " ").capitalize(), layout.root / "book" / f"{part}.md"
    last = list(re.finditer(rf"^( *)- file: {part}(/\w+)?\n", toc, re.MULTILINE))
    done = []
    if last:
        toc = toc[: last[-1].end()] + f"{last[-1][1]}- file: {part}/{slug}\n" + toc[last[-1].end() :]
    else:
        at = re.search(r"^( *)- caption:", toc, re.MULTILINE)
        at = at[1] if at else "  "
        lines = (f"- caption: {caption}", "  chapters:", f"    - file: {part}", f"    - file: {part}/{slug}")
        toc = "\n".join([toc.rstrip(), *(at + line for line in lines), ""])
        if not page.exists():
            write_atomically(page, PART.format(caption=caption))
            done.append(f"wrote book/{part}.md, the page of the new part {caption!r}")
    folder = layout.root / "notebooks" / part
    write_atomically(folder / f"{slug}.toml", CLAIMS)
    write_atomically(folder / f"{slug}.py", NOTEBOOK.format(**named(slug)))
    done += [
        f"wrote notebooks/{part}/{slug}.toml, its claims",
        f"wrote notebooks/{part}/{slug}.py, which runs as it is",
    ]
    write_atomically(contents, toc)
    done.append(f"added {part}/{slug} to _toc.yml")
    if not re.search(rf"@\w+\{{\s*{slug}\s*,", bib):
        write_atomically(bibliography, bib.rstrip("\n") + "\n" + ENTRY.format(**named(slug)))
        done.append(f"added an entry {slug} to references.bib: fill in authors, title and year")
    return done
