"""The page of a chapter: its executed notebook, with a card before it and what a reader may do with it after it."""

import re
import subprocess
from dataclasses import dataclass
from html import unescape

import yaml

from replib import render
from replib.press import extract, registration
from replib.press.catalogue import Chapter
from replib.press.layout import BuildError, Layout
from replib.press.mathml import mathml
from replib.record import FIGURE_MIME, RECORD_MIME, Record

NOTEBOOK_BRANCH = "notebooks"


@dataclass(frozen=True)
class Story:
    """A way to read several chapters.

    Attributes:
        title: the question they answer together.
        steps: slug and what the chapter adds, in order.
    """

    title: str
    steps: tuple[tuple[str, str], ...]


def stories(layout: Layout) -> list[Story]:
    """The stories of ``book/stories.yml``.

    Raises:
        BuildError: a step names no chapter of the book.
    """
    listed = yaml.safe_load((layout.root / "book" / "stories.yml").read_text(encoding="utf-8"))
    found = [Story(s["title"], tuple((step["chapter"], step["says"]) for step in s["steps"])) for s in listed]
    unknown = {slug for story in found for slug, _ in story.steps} - layout.chapters.keys()
    if unknown:
        raise BuildError(f"book/stories.yml names chapters that do not exist: {', '.join(sorted(unknown))}")
    return found


def markdown(text: str) -> dict:
    """A text cell."""
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def block(html: str) -> str:
    """HTML as one block of Markdown: a blank line would end it."""
    return re.sub(r"\n\s*\n", "\n", html)


@dataclass(frozen=True)
class Book:
    """What the pages of one build share.

    Attributes:
        chapters: slug -> chapter.
        stories: ways to read several.
        repository: owner/name where the site is published, '' for none.
    """

    layout: Layout
    chapters: dict[str, Chapter]
    stories: list[Story]
    repository: str


def assemble(book: Book, chapter: Chapter, notebook: dict, downloads: dict[str, str]) -> dict:
    """The notebook that Sphinx turns into the chapter's page.

    Args:
        notebook: as executed; it is taken apart.
        downloads: label -> file name, for the files offered beside the page.
    """
    record = chapter.quick
    cells = [c for c in notebook["cells"] if extract.INJECTED_TAG not in c["metadata"].get("tags", [])]
    for cell in cells:
        cell["metadata"].pop("papermill", None)
        for output in cell.get("outputs", []):
            _fill(output, chapter.slug)
    first = "".join(cells[0]["source"])
    cells[0]["source"] = first.replace(f"# {chapter.title}", f"# {chapter.mark} {chapter.title}", 1)
    cells.insert(1, markdown(block(card(chapter, book.repository))))
    if chapter.paper is not None:
        cells.append(markdown("## At the paper's own sizes"))
        cells.append(markdown(block(_paper_run(chapter))))
        cells.append(markdown(block(render.verdict_table(chapter.paper))))
    cells.append(markdown(_foot(book, chapter, downloads)))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    metadata = {k: v for k, v in notebook["metadata"].items() if k in ("kernelspec", "language_info")}
    metadata["description"] = (
        f"{chapter.mark} {chapter.title} ({chapter.authors}), run again claim by claim: {render.tally(record)}."
    )
    return notebook | {"cells": cells, "metadata": metadata}


def figure_file(slug: str, number: int, kind: str) -> str:
    """The name of a figure's data, ``csv`` for readers and ``js`` for exploring."""
    return f"{slug}-figure-{number}.{kind}"


def _fill(output: dict, slug: str) -> None:
    """Take out what is offered as files; link each figure to its data."""
    data = output.get("data", {})
    data.pop(RECORD_MIME, None)
    figure = data.pop(FIGURE_MIME, None)
    if figure is None:
        return
    number = figure["number"]
    links = f'<a href="../downloads/{figure_file(slug, number, "csv")}" download>Data (CSV)</a>'
    if figure["explore"]:
        links += (
            f' <button type="button" class="explore" hidden aria-expanded="false" '
            f'data-explore="{figure_file(slug, number, "js")}">Explore figure {number}</button>'
        )
    drawing, _, caption = "".join(data["text/html"]).rpartition("<figcaption>")
    caption = re.sub(r"\$([^$]+)\$", lambda m: mathml(unescape(m[1])), caption)
    html = f"{drawing}<figcaption>{caption}"
    data["text/html"] = html.replace(f'<span data-figure="{number}"></span>', links)


_OLDER = '<span class="verdict verdict-inconclusive">! results older than the code</span>'


def card(chapter: Chapter, repository: str) -> str:
    """The box at a chapter's head: verdicts, what a run costs, seeds, data, last verified, and what one can do."""
    record, e = chapter.quick, render.escape
    links = " ".join(
        f'<a href="#{e(render.anchor(record, c.id))}">{e(c.id)} {render.badge(c.verdict)}</a>' for c in record.claims
    )
    facts = {"To run as here": cost(record)}
    if chapter.paper is not None:
        facts["To run at the paper's sizes"] = cost(chapter.paper)
    facts |= {
        "Seeds": _ranges(record.seeds),
        "Data": ", ".join(d.name for d in record.data) or "generated",
        "Last verified": record.environment.date,
        "Processor": f"{record.environment.gpu or record.environment.cpu}, {record.environment.threads} thread",
    }
    rows = "".join(f"<div><dt>{e(k)}</dt><dd>{e(v)}</dd></div>" for k, v in facts.items())
    rows = "".join(f"<div><dt>{e(k)}</dt><dd>{e(v)}</dd></div>" for k, v in facts.items())
    rows += f'<div><dt>Criteria</dt><dd><a href="#criteria">{e(_when(chapter))}</a></dd></div>'
    larger = ""
    if chapter.paper is not None:
        older = f" {_OLDER}" * chapter.paper_is_older
        tally = e(render.tally(chapter.paper))
        larger = f'<p><a href="#at-the-paper-s-own-sizes">At the paper\'s sizes</a>: {tally}{older}</p>'
    actions = launch(chapter, repository) | {
        "Run it": "#run-it-yourself",
        "Download the notebook": f"../downloads/{chapter.slug}.ipynb",
        "Cite": "#cite",
        "History": "#history",
    }
    buttons = "".join(
        f'<li><a href="{e(url)}"{" download" * url.endswith(".ipynb") * url.startswith("../")}>{e(label)}</a></li>'
        for label, url in actions.items()
    )
    return (
        f'<section class="card-run" aria-label="Result at a glance">'
        f'<p class="tally">{e(render.tally(record))}</p>'
        f'<p class="claims">{links}</p>{larger}<dl>{rows}</dl><ul class="actions">{buttons}</ul></section>'
    )


def _when(chapter: Chapter) -> str:
    """Since when the criteria stand, in a few words."""
    if chapter.history_unknown:
        return "of an unknown date"
    dates = sorted({r.date for r in chapter.registrations.values() if r and r.date})
    span = " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else "not committed yet"
    late = len(chapter.marked)
    return f"of {span}" + f"; {late} not set before the run, or changed" * bool(late)


def _change(change: registration.Change) -> str:
    e = render.escape
    old, new = (e("; ".join(lines)) or "nothing" for lines in (change.old, change.new))
    when = "! after a record existed" if change.after_record else "before any record"
    return (
        f"<li><time>{e(change.date or 'not committed')}</time> <code>{e(change.commit)}</code> {when}: "
        f"<del>{old}</del> became <ins>{new}</ins></li>"
    )


def criteria(chapter: Chapter) -> str:
    """When each claim's criterion was set, in which commit, and what it replaced."""
    if chapter.history_unknown:
        return f"When the criteria were set is not known here: {chapter.history_unknown}."
    e, rows = render.escape, ""
    for profile, record in (("quick", chapter.quick), ("paper", chapter.paper)):
        if profile == "paper" and record is None:
            continue
        for claim in chapter.claims.get(profile, {}):
            found = chapter.registrations[profile, claim]
            state = "set before its run"
            if not found.commit:
                state = "! not committed yet"
            elif record is None:
                state = "registered, not run"
            elif found.before_record is None:
                state = "set; its run is not published yet"
            elif not found.before_record:
                state = "! first seen with a record, not before it"
            changes = "".join(map(_change, found.changes))
            if changes:
                late = sum(c.after_record for c in found.changes)
                said = (
                    f"{len(found.changes)} change{'s' * (len(found.changes) > 1)}"
                    + f", {late} after a record" * bool(late)
                )
                changes = f"<details><summary>{said}</summary><ul>{changes}</ul></details>"
            rows += (
                f'<tr><th scope="row">{e(claim)}</th><td>{profile}</td>'
                f"<td>{e(registration.summary(found, record))}</td>"
                f"<td>{e(state)} <code>{e(found.commit)}</code>{changes}</td></tr>"
            )
    return render.table("registration", "When the criteria were set", ("Claim", "Profile", "When", "State"), rows)


def registered(chapter: Chapter) -> str:
    """The page of a paper that is registered and not run yet, as Markdown."""
    claims = list(chapter.claims["quick"].values())
    return (
        f"# [registered] {chapter.title}\n\n*{chapter.authors}* {{footcite}}`{chapter.slug}`\n\n"
        '<section class="card-run" aria-label="State"><p class="tally">Registered, not run.</p>'
        f"<p>What will be judged, and by which criterion, stands here before anything was run.</p></section>\n\n"
        f"{block(render.registered(claims))}\n\n"
        '<h2 id="criteria">When the criteria were set</h2>\n\n'
        f"{block(criteria(chapter))}\n\n## References\n\n```{{footbibliography}}\n```\n"
    )


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, as a person would say it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def cost(record: Record) -> str:
    """Time, memory, download and device of a run, in words."""
    used = record.cost
    size = sum(d.bytes for d in record.data) / 2**20
    time = f"{duration(max(used.cpu_s, 1))} on one core"
    if record.environment.gpu:
        time = f"{duration(used.wall_s)} with a GPU ({record.environment.gpu})"
    memory = f"{used.peak_mib:.0f} MiB" if used.peak_mib < 2000 else f"{used.peak_mib / 1024:.1f} GiB"
    download = f"{size:.0f} MiB of data" if size else "no download"
    return f"{time}, {memory} of memory, {download}" + ("" if record.environment.gpu else ", no GPU")


def launch(chapter: Chapter, repository: str) -> dict[str, str]:
    """Where the published notebook can be opened in a browser; nothing without a repository."""
    if not repository:
        return {}
    path = f"{chapter.part}/{chapter.slug}.ipynb"
    return {
        "Open in Colab": f"https://colab.research.google.com/github/{repository}/blob/{NOTEBOOK_BRANCH}/{path}",
        "Open in Binder": f"https://mybinder.org/v2/gh/{repository}/{NOTEBOOK_BRANCH}?urlpath=lab/tree/{path}",
    }


def _ranges(numbers: list[int]) -> str:
    """100, 101, 102, 107 -> 100-102, 107."""
    runs: list[list[int]] = []
    for n in sorted(numbers):
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}–{r[-1]}" for r in runs) or "none"


def _paper_run(chapter: Chapter) -> str:
    record, e = chapter.paper, render.escape
    older = ""
    if chapter.paper_is_older:
        older = (
            f'<p>{_OLDER} The chapter\'s text changed after this run; the <a href="#history">history</a> says how.</p>'
        )
    env = record.environment
    return (
        f'<section class="card-run" aria-label="Result at the paper\'s sizes">'
        f'<p class="tally">{e(render.tally(record))}</p>{older}'
        f"<p>{e(cost(record))}; {e(env.gpu or env.cpu)}; run on {e(env.date)}.</p></section>"
    )


def commands(layout: Layout, slug: str) -> dict[str, str]:
    """The commands that reproduce a chapter, as a reader would type them in a checkout."""
    convert = f".venv/bin/jupytext --to ipynb -o {slug}.ipynb {layout.chapter(slug).relative_to(layout.root)}"
    return {
        "The published run": f"make chapter CHAPTER={slug}",
        "At the paper's sizes": f"make paper CHAPTER={slug}",
        "In Jupyter": f"{convert}\n.venv/bin/jupyter lab {slug}.ipynb",
        "With papermill": f"{convert}\n"
        f"OMP_NUM_THREADS=1 .venv/bin/papermill {slug}.ipynb {slug}.executed.ipynb -p profile quick -p seed 0",
        "Compare a run with this page": f".venv/bin/replib agree {slug}.executed.ipynb",
    }


def citation(chapter: Chapter, repository: str = "") -> str:
    """BibTeX of this chapter: the book at the commit that was run."""
    record = chapter.quick
    made = record.provenance
    fields = {
        "author": "{The replication authors}",
        "title": f"{{{chapter.mark} {chapter.title}}}",
        "booktitle": "{The book of replications}",
        "year": f"{{{record.environment.date[:4]}}}",
        "note": f"{{Chapter {chapter.slug}, verified {record.environment.date}"
        + (f", commit {made.commit.rstrip('+')[:12]}" if made and made.commit else "")
        + "}",
    }
    if repository:
        owner, _, name = repository.partition("/")
        fields["url"] = f"{{https://{owner}.github.io/{name}/{chapter.page}}}"
    body = ",\n".join(f"  {k:<9} = {v}" for k, v in fields.items())
    return f"@incollection{{replication_{chapter.slug},\n{body}\n}}"


def history(layout: Layout, slug: str) -> list[tuple[str, str, str]]:
    """Commits that changed a chapter or its records, newest first: date, short hash, subject; empty outside git."""
    paths = [
        layout.chapter(slug),
        layout.claims(slug),
        layout.published(slug, "quick"),
        layout.published(slug, "paper"),
    ]
    command = ["git", "log", "--format=%as%x09%h%x09%s", "--", *(str(p.relative_to(layout.root)) for p in paths)]
    try:
        done = subprocess.run(command, cwd=layout.root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [tuple(line.split("\t", 2)) for line in done.stdout.splitlines()]


def _history(layout: Layout, slug: str) -> str:
    commits = history(layout, slug)
    if not commits:
        return "This copy of the book has no version history."
    items = "".join(
        f"<li><time>{render.escape(date)}</time> {render.escape(subject)} <code>{render.escape(commit)}</code></li>"
        for date, commit, subject in commits
    )
    summary = f"{len(commits)} change{'s' * (len(commits) > 1)}, the last on {commits[0][0]}"
    return f'<details class="history"><summary>{summary}</summary><ul>{items}</ul></details>'


def _read_on(book: Book, chapter: Chapter) -> str:
    """Before and next in each story the chapter is part of."""
    lines = []
    for story in book.stories:
        slugs = [slug for slug, _ in story.steps]
        if chapter.slug not in slugs:
            continue
        at = slugs.index(chapter.slug)
        lines.append(f"**{story.title}**\n")
        for label, k in (("Before", at - 1), ("Next", at + 1)):
            if 0 <= k < len(slugs):
                other, says = book.chapters[slugs[k]], story.steps[k][1]
                lines.append(f"- {label}: [{other.title}](../{other.part}/{other.slug}). {says}")
        lines.append("")
    return "\n".join(lines)


def _foot(book: Book, chapter: Chapter, downloads: dict[str, str]) -> str:
    record = chapter.quick
    text = ""
    if further := _read_on(book, chapter):
        text += f"## Read on\n\n{further}\n"
    text += "## Run it yourself\n\n"
    text += f"The published run: {cost(record)}, imports aside. In a checkout, after `make setup`:\n\n"
    for label, command in commands(book.layout, chapter.slug).items():
        text += f"{label}:\n\n```bash\n{command}\n```\n\n"
    text += "**Downloads.** "
    text += ", ".join(f'<a href="../downloads/{n}" download>{render.escape(t)}</a>' for t, n in downloads.items())
    text += f"\n\n## Cite\n\nThe paper:\n\n```bibtex\n{chapter.bibtex}\n```\n\nThis chapter:\n\n"
    text += f"```bibtex\n{citation(chapter, book.repository)}\n```\n\n"
    text += f'## Provenance\n\n<dl class="provenance">{_provenance(record)}</dl>\n\n'
    text += f'<h2 id="criteria">When the criteria were set</h2>\n\n{block(criteria(chapter))}\n\n'
    text += f"## History\n\n{_history(book.layout, chapter.slug)}\n\n"
    return text + "## References\n\n```{footbibliography}\n```\n"


def _provenance(record: Record) -> str:
    env, made = record.environment, record.provenance
    facts = {
        "Verified": env.date,
        "Processor": f"{env.cpu}, {env.cpu_capability}, {env.threads} thread",
        "Platform": f"{env.platform}, Python {env.python}",
        "Versions": ", ".join(f"{k} {v}" for k, v in env.packages.items()),
    }
    if made is not None:
        facts |= {
            "Commit": made.commit or "not in git",
            "Chapter": f"SHA-256 {made.source_sha256[:16]}",
            "Library modules": ", ".join(sorted(made.modules)),
            "Lock": f"SHA-256 {made.lock_sha256[:16]}",
        }
    return "".join(f"<div><dt>{k}</dt><dd>{render.escape(v)}</dd></div>" for k, v in facts.items())


def failure(chapter: Chapter) -> str:
    """The page of a chapter whose last run failed, as Markdown."""
    status = chapter.result.status
    return (
        f"# {chapter.title}\n\n"
        f'<section class="card-run failed" role="alert"><p><b>The last run of this chapter did not finish: '
        f"{render.escape(status.state)} after {status.seconds:.0f} s.</b></p>"
        "<p>No result is shown, since an older one would not be of this text.</p>"
        f"<pre>{render.escape(block(status.message)) or 'no message'}</pre></section>\n"
    )


def downloads(chapter: Chapter, figures: list[dict]) -> dict[str, str]:
    """Label -> file name of everything offered beside a chapter's page."""
    slug = chapter.slug
    offered = {
        "executed notebook": f"{slug}.ipynb",
        "text notebook": f"{slug}.py",
        "claims": f"{slug}.toml",
        "record": f"{slug}.quick.json",
    }
    if chapter.paper is not None:
        offered["record at the paper's sizes"] = f"{slug}.paper.json"
    return offered | {f"data of figure {f['number']}": figure_file(slug, f["number"], "csv") for f in figures}
