"""The site: stage what Sphinx reads from pages, executed notebooks and records, then run Jupyter Book.

Staging rewrites only files whose content changes, so Sphinx reads again only those.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml

from replib import render
from replib.claims import Verdict
from replib.press import catalogue, extract, feeds, finish, glossary, ledger, notebooks, page, part
from replib.press.catalogue import Chapter
from replib.press.layout import BuildError, Layout
from replib.record import dump

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class _Stage:
    """A folder that ends up holding just the files it was given; unchanged ones keep their times."""

    def __init__(self, root: Path) -> None:
        self.root, self.kept = root, set()

    def write(self, name: str, content: str | bytes) -> None:
        data = content.encode() if isinstance(content, str) else content
        path = self.root / name
        self.kept.add(path)
        if not path.exists() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def copy(self, source: Path, name: str) -> None:
        """A file, or all files below a folder."""
        if source.is_dir():
            for file in sorted(source.rglob("*")):
                if file.is_file():
                    self.write(f"{name}/{file.relative_to(source)}", file.read_bytes())
        else:
            self.write(name, source.read_bytes())

    def clean(self) -> None:
        for path in sorted(self.root.rglob("*"), reverse=True):
            if path.is_file() and path not in self.kept:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def build(layout: Layout) -> None:
    """Stage the site and build it into ``_build/html``.

    Raises:
        BuildError: Sphinx reported a warning or an error; its output is in the message.
    """
    # killed while it wrote pages, Sphinx would take half a page for a whole one: then it starts anew
    if layout.unfinished.exists():
        shutil.rmtree(layout.build / ".doctrees", ignore_errors=True)
        (layout.html / ".buildinfo").unlink(missing_ok=True)  # half of it would be a warning, and so an error
    layout.unfinished.touch()
    stage(layout)
    command = [
        str(Path(sys.executable).parent / "jupyter-book"),
        "build",
        str(layout.source),
        "--path-output",
        str(layout.root),
    ]
    command += ["-n", "-W", "--keep-going"]
    result = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": "0"}, check=False
    )
    if result.returncode:
        shutil.rmtree(layout.build / ".doctrees", ignore_errors=True)
        lines = _ANSI.sub("", result.stdout + result.stderr).splitlines()
        lines = [line for line in lines if re.search("WARNING|ERROR|CRITICAL|Error", line)] or lines
        (layout.html / "index.html").unlink(missing_ok=True)
        raise BuildError("the site was not built:\n" + "\n".join(lines[-30:]))
    # Sphinx copies neither when no page changed
    shutil.copytree(layout.source / "assets", layout.html / "_static", dirs_exist_ok=True)
    shutil.copytree(layout.source / "_extra", layout.html, dirs_exist_ok=True)
    finish.finish(layout.html)
    layout.unfinished.unlink()


def stage(layout: Layout) -> None:
    """Write everything Sphinx reads to ``_build/source``."""
    files = _Stage(layout.source)
    chapters = catalogue.read(layout)
    repository = os.environ.get(notebooks.REPOSITORY_VARIABLE, "")
    book = page.Book(layout, {c.slug: c for c in chapters}, page.stories(layout), repository)
    terms = glossary.read((layout.root / "book" / "glossary.md").read_text(encoding="utf-8"))

    generated = {
        "overview": _overview(chapters),
        "stories": _stories(book),
        "filters": ledger.filters(chapters),
        "glance": ledger.glance(chapters),
        "ledger": ledger.table(chapters),
        "status": _status(chapters),
        "growth": _growth(layout, chapters),
        "peers": _peers(layout),
        **{f"part_{name}": part.summary(rows, book.chapters) for name, rows in part.read(layout).items()},
        **{f"delays_{name}": part.delays(rows, book.chapters) for name, rows in part.read_delays(layout).items()},
    }
    for path in sorted((layout.root / "book").rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"<!-- replib:(\w+) -->", lambda m: page.block(generated[m[1]]), text)
        files.write(str(path.relative_to(layout.root / "book")), text)
    files.copy(layout.root / "book" / "_static", "assets")
    for name in ("_toc.yml", "references.bib"):
        files.copy(layout.root / name, name)
    files.write("_config.yml", _config(layout, terms, repository))
    rows = json.loads(layout.ledger.read_text(encoding="utf-8"))["claims"]
    files.copy(layout.ledger, "_extra/claims.json")
    files.write("_extra/claims.csv", feeds.claims_csv(rows))
    files.write("_extra/claims.js", feeds.claims_index(rows))
    for chapter in chapters:
        name = f"{chapter.part}/{chapter.slug}"
        if chapter.result is None:
            files.write(f"{name}.md", page.registered(chapter))
            continue
        if chapter.failed:
            files.write(f"{name}.md", page.failure(chapter))
            continue
        notebook = extract.read_notebook(layout.executed(chapter.slug, "quick"))
        figures = extract.figures(notebook)
        files.write(f"_extra/badges/{chapter.slug}.svg", feeds.badge(chapter.quick))
        offered = page.downloads(chapter, figures)
        _downloads(layout, files, chapter, figures, repository)
        made = page.assemble(book, chapter, notebook, offered)
        files.write(f"{name}.ipynb", json.dumps(made, indent=1, ensure_ascii=False))
    files.clean()


def _downloads(layout: Layout, files: _Stage, chapter: Chapter, figures: list[dict], repository: str) -> None:
    """The files that :func:`replib.press.page.downloads` names."""
    slug, folder = chapter.slug, "_extra/downloads"
    files.write(f"{folder}/{slug}.ipynb", notebooks.published(layout, slug, repository))
    files.copy(layout.chapter(slug), f"{folder}/{slug}.py")
    files.copy(layout.claims(slug), f"{folder}/{slug}.toml")
    files.write(f"{folder}/{slug}.quick.json", dump(chapter.quick))
    if chapter.paper is not None:
        files.copy(layout.published(slug, "paper"), f"{folder}/{slug}.paper.json")
    for figure in figures:
        files.write(f"{folder}/{page.figure_file(slug, figure['number'], 'csv')}", extract.figure_csv(figure))
        if figure["explore"]:
            script = page.figure_file(slug, figure["number"], "js")
            files.write(f"{folder}/{script}", extract.figure_script(figure, script))


def _config(layout: Layout, terms: list[glossary.Term], repository: str) -> str:
    config = yaml.safe_load((layout.root / "_config.yml").read_text(encoding="utf-8"))
    settings = config["sphinx"]["config"]
    settings["glossary"] = [asdict(t) | {"names": list(t.names)} for t in terms]
    if repository:
        owner, _, name = repository.partition("/")
        settings["html_baseurl"] = f"https://{owner}.github.io/{name}/"
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True)


def _overview(chapters: list[Chapter]) -> str:
    """The book in numbers, and what did not replicate."""
    total = sum((c.standing for c in chapters), Counter())
    failed, waiting = sum(c.failed for c in chapters), sum(c.result is None for c in chapters)
    numbers = f"<b>{len(chapters) - waiting} papers, {sum(total.values())} claims.</b>"
    numbers += f" {failed} runs failed." * bool(failed) + f" {waiting} papers registered, not run." * bool(waiting)
    refuted = [
        (chapter, quick)
        for chapter in chapters
        for quick, paper in chapter.pairs()
        if catalogue.standing(quick, paper) is Verdict.NOT_REPLICATED
    ]
    items = "".join(
        f'<li><a href="{c.page}#{render.anchor(c.quick, claim.id)}">{render.escape(claim.statement)}</a> '
        f'<span class="detail">{render.escape(c.authors)}</span></li>'
        for c, claim in refuted
    )
    did_not = f'<p class="lead">Did not replicate:</p><ul class="refuted">{items}</ul>' if items else ""
    return f'<div class="overview"><p class="numbers">{numbers}</p>{ledger.counts(total)}{did_not}</div>'


def _stories(book: page.Book) -> str:
    """Each story with its chapters, as a list."""
    text = ""
    for story in book.stories:
        steps = "".join(
            f'<li><a href="{book.chapters[slug].page}">{render.escape(book.chapters[slug].authors)}</a>. '
            f"{render.escape(says)}</li>"
            for slug, says in story.steps
        )
        text += f'<div class="story"><p class="lead">{render.escape(story.title)}</p><ol>{steps}</ol></div>'
    return f'<div class="stories">{text}</div>'


def _status(chapters: list[Chapter]) -> str:
    """When each chapter was verified, what it cost, and what it ran on; slowest first."""
    rows = ""
    order = sorted(chapters, key=lambda c: -(c.quick.cost.cpu_s if c.quick else float("inf")))
    for chapter in order:
        record = chapter.quick
        link = f'<a href="{chapter.page}">{chapter.slug}</a>'
        if record is None:
            state = render.escape(chapter.result.status.state if chapter.failed else ledger.REGISTERED)
            rows += f'<tr><td>{link}</td><td colspan="6">{state}</td></tr>'
            continue
        env, cost = record.environment, record.cost
        cells = (f"{cost.cpu_s:.0f}", f"{cost.wall_s:.0f}", f"{cost.peak_mib:.0f}", env.date, env.cpu)
        versions = f"Python {env.python}, torch {env.packages['torch']}, numpy {env.packages['numpy']}"
        rows += f"<tr><td>{link}</td>" + "".join(f"<td>{render.escape(c)}</td>" for c in (*cells, versions)) + "</tr>"
    columns = ("Chapter", "Core-seconds", "Wall, s", "Peak, MiB", "Last verified", "Processor", "Versions")
    return render.table("status", "Chapters by cost", columns, rows)


def _peers(layout: Layout) -> str:
    """What benchmarks/ measured beside other software, one row a comparison."""
    body, measured = "", set()
    for path in sorted((layout.root / "benchmarks" / "results").glob("*.json")):
        made = json.loads(path.read_text(encoding="utf-8"))
        compared = [row for row in made["rows"] if "ratio" in row]
        if compared:
            measured.add(f"{made['date']} on one core of {made['cpu']}")
        for row in compared:
            span = f" ({row['low']:.2g} to {row['high']:.2g})" if row["low"] < row["high"] else ""
            cells = (
                row["peer"],
                f"{row['ratio']:.2g}{span}",
                f"{row['ours_s']:.3g}",
                f"{row['theirs_s']:.3g}",
                row["same"],
                row["why"] if row["ratio"] < 1 else "",
            )
            cells = "".join(f"<td>{render.escape(cell)}</td>" for cell in cells)
            body += f'<tr><th scope="row">{render.escape(row["what"])}</th>{cells}</tr>'
    columns = ("Task", "Peer", "Times faster", "Ours, s", "Peer, s", "Checked to be the same", "Where the peer wins")
    when = "; ".join(render.escape(m) for m in sorted(measured))
    return render.table("peers", "Speed beside other software", columns, body) + f"<p>Measured {when}.</p>"


# chapters that the page on growth looks ahead to
AHEAD = 1000


def _growth(layout: Layout, chapters: list[Chapter]) -> str:
    """Measured figures of benchmarks/site_growth.py by number of chapters, and a line through them."""
    made = json.loads((layout.root / "benchmarks" / "results" / "site_growth.json").read_text(encoding="utf-8"))
    counts = [row["chapters"] for row in made["rows"]]
    body = ""
    for name in made["rows"][0]:
        if name == "chapters":
            continue
        values = [row[name] for row in made["rows"]]
        slope, start = np.polyfit(counts, values, 1)
        cells = [f"{v:g}" for v in values] + [f"{slope:.3g}", f"{start + slope * AHEAD:,.0f}"]
        body += f'<tr><th scope="row">{render.escape(name)}</th>' + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"
    columns = ["Quantity", *(f"{c} chapters" for c in counts), "per chapter", f"at {AHEAD} chapters"]
    records = [c.quick for c in chapters if c.quick]
    hours = AHEAD * sum(r.cost.cpu_s for r in records) / max(1, len(records)) / 3600
    size = sum(p.stat().st_size for p in (layout.root / "book" / "records").glob("*.json")) / max(1, len(chapters))
    return (
        render.table("growth", "Growth with the number of chapters", columns, body)
        + f"<p>Measured on {made['date']} on one core of {render.escape(made['machine'])}. "
        f"Running {AHEAD} chapters in quick takes {hours:.0f} core-hours at the present mean; "
        f"their records take {AHEAD * size / 1e6:.0f} MB in git.</p>"
    )
