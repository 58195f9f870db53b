"""The site: stage what Sphinx reads from pages, executed notebooks and records, then run Jupyter Book.

Staging rewrites only files whose content changes, so Sphinx reads again only those.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import yaml

from replib import render
from replib.build import extract, feeds, ledger, outcome
from replib.build.layout import BuildError, Layout
from replib.claims import Verdict
from replib.record import FIGURE_MIME, RECORD_MIME, Record

# owner/name on GitHub, set where the site is published; without it no launch buttons are shown
REPOSITORY_VARIABLE = "REPLIB_REPOSITORY"
NOTEBOOK_BRANCH = "notebooks"

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_MATHJAX = ("tex-chtml.js", "a11y/assistive-mml.js", "output/chtml/fonts/woff-v2")


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
    _lighten(layout.html)


_ICON = re.compile(
    r'"?(?P<name>[a-z0-9-]+)"?:\[\d+,\d+,\[(?P<aliases>[^\]]*)\],"[0-9a-f]+",(?:"[^"]*"|\["[^"]*","[^"]*"\])\],?'
)


def _lighten(html: Path) -> None:
    """Drop what no page uses: of the theme's thousands of icons a page shows a dozen, and they weigh half of it."""
    for template in (html / "_static").glob("*webpack-macros.html"):
        template.unlink()
    text = "".join(p.read_text(encoding="utf-8") for p in html.rglob("*.html"))
    text += "".join(p.read_text(encoding="utf-8") for p in (html / "_static").rglob("*theme.js"))
    used = set(re.findall(r"\bfa-([a-z0-9-]+)", text))

    def keep(icon: re.Match) -> str:
        names = {icon["name"], *re.findall(r'"([a-z0-9-]+)"', icon["aliases"])}
        return icon[0] if names & used else ""

    script = html / "_static" / "scripts" / "fontawesome.js"
    script.write_text(_ICON.sub(keep, script.read_text(encoding="utf-8")), encoding="utf-8")


def stage(layout: Layout) -> None:
    """Write everything Sphinx reads to ``_build/source``."""
    files = _Stage(layout.source)
    outcomes = {slug: outcome.load(layout, slug, "quick") for slug in layout.chapters}
    papers = {slug: outcome.published(layout, slug, "paper") for slug in layout.chapters}
    rows = json.loads(layout.ledger.read_text(encoding="utf-8"))["claims"]

    generated = {
        "overview": _overview(layout, outcomes, papers),
        "ledger": ledger.table(rows),
        "status": _status(layout, outcomes),
    }
    for page in sorted((layout.root / "book").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        text = re.sub(r"<!-- replib:(\w+) -->", lambda m: generated[m[1]], text)
        files.write(str(page.relative_to(layout.root / "book")), text)
    files.copy(layout.root / "book" / "_static", "_static")
    mathjax = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    for name in _MATHJAX:
        files.copy(mathjax / name, f"_static/mathjax/{name}")
    for name in ("_toc.yml", "references.bib"):
        files.copy(layout.root / name, name)
    files.write("_config.yml", _config(layout))
    files.copy(layout.ledger, "_extra/claims.json")
    files.write("_extra/claims.csv", feeds.claims_csv(rows))
    for slug, result in outcomes.items():
        name = f"{layout.part(slug)}/{slug}"
        if result.record is None:
            files.write(f"{name}.md", _failure_page(layout, slug, result))
        else:
            files.write(f"_extra/badges/{slug}.svg", feeds.badge(result.record))
            _chapter_page(layout, files, name, slug, result.record, papers[slug])
    files.clean()


def _config(layout: Layout) -> str:
    config = yaml.safe_load((layout.root / "_config.yml").read_text(encoding="utf-8"))
    repository = os.environ.get(REPOSITORY_VARIABLE)
    if repository:
        config["repository"] = {"url": f"https://github.com/{repository}", "branch": NOTEBOOK_BRANCH}
        config["launch_buttons"] = {
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
            "notebook_interface": "jupyterlab",
        }
        config["html"]["use_repository_button"] = True
    return yaml.safe_dump(config, sort_keys=False)


def _markdown(text: str) -> dict:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _block(html: str) -> str:
    """HTML as one block of Markdown: a blank line would end it."""
    return re.sub(r"\n\s*\n", "\n", html)


def title(layout: Layout, slug: str) -> str:
    """The first heading of a chapter."""
    for line in layout.chapter(slug).read_text(encoding="utf-8").splitlines():
        if line.startswith("# # "):
            return line[4:].strip()
    raise BuildError(f"{layout.chapter(slug)} has no title: begin its first text cell with '# # Title'")


def _chapter_page(layout: Layout, files: _Stage, name: str, slug: str, record: Record, paper: Record | None) -> None:
    executed = layout.executed(slug, "quick")
    notebook = extract.read_notebook(executed)
    downloads = {
        "executed notebook": f"{slug}.ipynb",
        "text notebook": f"{slug}.py",
        "record": f"{slug}.quick.json",
    }
    files.copy(executed, f"_extra/downloads/{slug}.ipynb")
    files.copy(layout.chapter(slug), f"_extra/downloads/{slug}.py")
    files.write(f"_extra/downloads/{slug}.quick.json", json.dumps(record.model_dump(mode="json"), indent=1))
    if paper is not None:
        downloads["record at the paper's sizes"] = f"{slug}.paper.json"
        files.copy(layout.published(slug, "paper"), f"_extra/downloads/{slug}.paper.json")
    links = {}
    for figure in extract.figures(notebook):
        csv_name = f"{slug}-figure-{figure['number']}.csv"
        files.write(f"_extra/downloads/{csv_name}", extract.figure_csv(figure))
        links[figure["number"]] = csv_name
        downloads[f"data of figure {figure['number']}"] = csv_name

    cells = []
    for cell in notebook["cells"]:
        if "injected-parameters" in cell["metadata"].get("tags", []):
            continue
        cell["metadata"].pop("papermill", None)
        for output in cell.get("outputs", []):
            for mime in (RECORD_MIME, FIGURE_MIME):  # offered as files beside the page
                output.get("data", {}).pop(mime, None)
            html = "".join(output.get("data", {}).get("text/html", ""))
            if 'class="replib"' in html:
                output["data"]["text/html"] = re.sub(
                    r'<span data-figure="(\d+)"></span>',
                    lambda m: f'<a href="../downloads/{links[int(m[1])]}" download>Data (CSV)</a>',
                    html,
                )
        cells.append(cell)
    cells.insert(1, _markdown(_block(render.card(record))))
    if paper is not None:
        cells.append(_markdown("## At the paper's own sizes"))
        cells.append(_markdown(_block(render.card(paper))))
        cells.append(_markdown(_block(render.verdict_table(paper))))
    cells.append(_markdown(_foot(layout, slug, record, downloads)))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    notebook["cells"] = cells
    notebook["metadata"] = {k: v for k, v in notebook["metadata"].items() if k in ("kernelspec", "language_info")}
    files.write(f"{name}.ipynb", json.dumps(notebook, indent=1, ensure_ascii=False))


def commands(layout: Layout, slug: str) -> dict[str, str]:
    """The commands that reproduce a chapter, as a reader would type them in a checkout."""
    path = layout.chapter(slug).relative_to(layout.root)
    return {
        "The published run": f"make chapter CHAPTER={slug}",
        "At the paper's sizes": f"make paper CHAPTER={slug}",
        "In Jupyter": f".venv/bin/jupyter lab {path}",
        "With papermill": f".venv/bin/jupytext --to ipynb -o {slug}.ipynb {path}\n"
        f"OMP_NUM_THREADS=1 .venv/bin/papermill {slug}.ipynb {slug}.executed.ipynb -p profile quick -p seed 0",
        "Compare a run with this page": f".venv/bin/replib agree {slug}.executed.ipynb",
    }


def _foot(layout: Layout, slug: str, record: Record, downloads: dict[str, str]) -> str:
    env, made = record.environment, record.provenance
    text = "## Run it yourself\n\n"
    text += (
        f"The published run took {render.duration(record.cost.wall_s)} on one core and "
        f"{record.cost.peak_mib:.0f} MiB, after the imports. In a checkout, after `make setup`:\n\n"
    )
    for label, command in commands(layout, slug).items():
        text += f"{label}:\n\n```bash\n{command}\n```\n\n"
    text += "**Downloads.** "
    text += ", ".join(f'<a href="../downloads/{n}" download>{render.escape(t)}</a>' for t, n in downloads.items())
    versions = ", ".join(f"{k} {v}" for k, v in env.packages.items())
    facts = {
        "Verified": env.date,
        "Processor": f"{env.cpu}, {env.cpu_capability}, {env.threads} thread",
        "Platform": f"{env.platform}, Python {env.python}",
        "Versions": versions,
    }
    if made is not None:
        facts |= {
            "Commit": made.commit or "not in git",
            "Chapter": f"SHA-256 {made.source_sha256[:16]}",
            "Library modules": ", ".join(sorted(made.modules)),
            "Lock": f"SHA-256 {made.lock_sha256[:16]}",
        }
    rows = "".join(f"<div><dt>{k}</dt><dd>{render.escape(v)}</dd></div>" for k, v in facts.items())
    text += f'\n\n## Provenance\n\n<dl class="provenance">{rows}</dl>\n\n'
    return text + "## References\n\n```{footbibliography}\n```\n"


def _failure_page(layout: Layout, slug: str, result: outcome.Outcome) -> str:
    status = result.status
    return (
        f"# {title(layout, slug)}\n\n"
        f'<section class="card-run failed" role="alert"><p><b>The last run of this chapter did not finish: '
        f"{render.escape(status.state)} after {status.seconds:.0f} s.</b></p>"
        "<p>No result is shown, since an older one would not be of this text.</p>"
        f"<pre>{render.escape(_block(status.message)) or 'no message'}</pre></section>\n"
    )


def _reading_order(layout: Layout) -> list[tuple[str, list[str]]]:
    """Parts as the table of contents has them, by caption, each with its chapters."""
    toc = yaml.safe_load((layout.root / "_toc.yml").read_text(encoding="utf-8"))
    parts = [(p["caption"], [Path(c["file"]).name for c in p["chapters"]]) for p in toc["parts"]]
    found = [(caption, [s for s in slugs if s in layout.chapters]) for caption, slugs in parts]
    return [(caption, slugs) for caption, slugs in found if slugs]


def _overview(layout: Layout, outcomes: dict[str, outcome.Outcome], papers: dict[str, Record | None]) -> str:
    """Counts, and per part one row per chapter: a verdict per claim, and how the run at the paper's sizes ended."""
    total = Counter(c.verdict for o in outcomes.values() if o.record for c in o.record.claims)
    counts = "".join(f"<li>{render.badge(v)} <b>{total[v]}</b></li>" for v in Verdict if total[v])
    body = ""
    rows = [(caption, slug) for caption, slugs in _reading_order(layout) for slug in slugs]
    for k, (caption, slug) in enumerate(rows):
        if k == 0 or rows[k - 1][0] != caption:
            body += f'<tr class="section"><th colspan="3" scope="rowgroup">{render.escape(caption)}</th></tr>'
        result, paper, page = outcomes[slug], papers[slug], f"{layout.part(slug)}/{slug}.html"
        if result.record is None:
            cells = '<span class="verdict verdict-failed">! run failed</span>'
        else:
            cells = " ".join(
                f'<a href="{page}#{render.anchor(result.record, c.id)}" title="{render.escape(c.statement)}">'
                f"{render.escape(c.id)} {render.badge(c.verdict)}</a>"
                for c in result.record.claims
            )
        body += (
            f'<tr><th scope="row"><a href="{page}">{render.escape(title(layout, slug))}</a></th>'
            f'<td class="claims">{cells}</td>'
        )
        if paper is None:
            body += "<td>not run</td></tr>"
        else:
            link = f"{page}#{render.anchor(paper, paper.claims[0].id)}"
            body += f'<td><a href="{link}">{render.escape(render.tally(paper))}</a></td></tr>'
    return _block(
        f'<ul class="counts" aria-label="Claims by verdict">{counts}</ul>'
        + render.table("overview", "Chapters", ("Paper", "Claims", "At the paper's sizes"), body)
    )


def _status(layout: Layout, outcomes: dict[str, outcome.Outcome]) -> str:
    """When each chapter was verified, what it cost, and what it ran on; slowest first."""
    rows = ""
    order = sorted(outcomes, key=lambda s: -(outcomes[s].record.cost.cpu_s if outcomes[s].record else float("inf")))
    for slug in order:
        record = outcomes[slug].record
        link = f'<a href="{layout.part(slug)}/{slug}.html">{slug}</a>'
        if record is None:
            rows += f'<tr><td>{link}</td><td colspan="6">{render.escape(outcomes[slug].status.state)}</td></tr>'
            continue
        env, cost = record.environment, record.cost
        cells = (f"{cost.cpu_s:.0f}", f"{cost.wall_s:.0f}", f"{cost.peak_mib:.0f}", env.date, env.cpu)
        versions = f"Python {env.python}, torch {env.packages['torch']}, numpy {env.packages['numpy']}"
        rows += f"<tr><td>{link}</td>" + "".join(f"<td>{render.escape(c)}</td>" for c in (*cells, versions)) + "</tr>"
    columns = ("Chapter", "Core-seconds", "Wall, s", "Peak, MiB", "Last verified", "Processor", "Versions")
    return render.table("status", "Chapters by cost", columns, rows)
