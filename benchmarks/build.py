"""Building a book of two chapters: from nothing, again, after an edited chapter and after an edited library module.

The peer is Jupyter Book with its own execution and cache, on the same notebooks with the same defaults; it makes pages
without verdicts and records. Both build in folders of their own, one after the other. Each figure is one build, not a
median.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import jupytext
import yaml
from harness import installed, keep, seconds
from replib.press.layout import here

CHAPTERS = ("extrapolation/wu2022_polynomial_nets", "extrapolation/goubault2021_tropical")
EDITED, MODULE = CHAPTERS[0], "models/polynomial.py"


def run(folder: Path, *command: str) -> float:
    paths = [str(folder / "lib"), *filter(None, [os.environ.get("PYTHONPATH")])]
    options = {"cwd": folder, "env": os.environ | {"PYTHONPATH": os.pathsep.join(paths)}}
    options |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = []
    spent = seconds(lambda: done.append(subprocess.run(command, **options, check=False)))
    if done[0].returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done[0].stdout[-3000:]}")
    return spent


def peer(folder: Path, ours: Path) -> None:
    """The same notebooks as a plain Jupyter Book with its cache."""
    config = {
        "title": "Peer",
        "execute": {"execute_notebooks": "cache", "timeout": -1},
        "bibtex_bibfiles": ["references.bib"],
        "sphinx": {"config": {"bibtex_reference_style": "author_year"}},
    }
    toc = {"format": "jb-book", "root": "index", "chapters": [{"file": Path(c).name} for c in CHAPTERS]}
    (folder / "_config.yml").write_text(yaml.safe_dump(config))
    (folder / "_toc.yml").write_text(yaml.safe_dump(toc))
    (folder / "index.md").write_text("# Peer\n")
    (folder / "references.bib").write_bytes((ours / "references.bib").read_bytes())
    (folder / "lib").symlink_to(ours / "lib")
    for chapter in CHAPTERS:
        convert(ours, folder, chapter)


def convert(ours: Path, folder: Path, chapter: str) -> None:
    jupytext.write(jupytext.read(ours / "notebooks" / f"{chapter}.py"), folder / f"{Path(chapter).name}.ipynb")


def book(folder: Path) -> None:
    """A clone of this checkout with the two chapters alone."""
    subprocess.run(["git", "clone", "--quiet", str(here().root), str(folder)], check=True)
    toc = yaml.safe_load((folder / "_toc.yml").read_text())
    toc["parts"] = [toc["parts"][0], {"caption": "Two", "chapters": [{"file": c} for c in CHAPTERS]}]
    (folder / "_toc.yml").write_text(yaml.safe_dump(toc))
    for path in (folder / "notebooks").glob("*/*.*"):
        if f"{path.parent.name}/{path.stem}" not in CHAPTERS:
            path.unlink()
    (folder / "book" / "stories.yml").write_text("[]\n")
    for page in yaml.safe_load((folder / "book" / "parts.yml").read_text()):
        (folder / "book" / f"{page}.md").unlink()
    (folder / "book" / "parts.yml").write_text("{}\n")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        ours, theirs = Path(name) / "ours", Path(name) / "theirs"
        theirs.mkdir()
        book(ours)
        peer(theirs, ours)
        build = sys.executable, "-m", "replib.press", "run", "book"
        plain = str(Path(sys.executable).with_name("jupyter-book")), "build", "."
        chapter = ours / "notebooks" / f"{EDITED}.py"
        times = {"from nothing": (run(ours, *build), run(theirs, *plain))}
        times["again, nothing changed"] = run(ours, *build), run(theirs, *plain)
        marked = '# %% tags=["nbval-check-output"]\n'
        text = chapter.read_text()
        assert marked in text
        chapter.write_text(text.replace(marked, marked + "# one more comment\n"))
        convert(ours, theirs, EDITED)
        times["after one edited chapter"] = run(ours, *build), run(theirs, *plain)
        module = ours / "lib" / "replib" / MODULE
        module.write_text(module.read_text() + "\n# one more comment\n")
        times["after one edited library module"] = run(ours, *build), times["from nothing"][1]
    whys = {"after one edited library module": "Jupyter Book's cache looks at notebooks only: it starts from nothing."}
    rows = [
        {
            "what": f"a book of two chapters, {what}",
            "peer": installed("jupyter-book") + " with its cache",
            **dict.fromkeys(("ratio", "low", "high"), b / a),
            "ours_s": a,
            "theirs_s": b,
            "same": "the same notebooks, executed",
            "why": whys.get(what, "Snakemake looks through all inputs before it finds nothing to do."),
        }
        for what, (a, b) in times.items()
    ]
    for row in rows:
        print(f"{row['what']} | ours {row['ours_s']:.1f} s, theirs {row['theirs_s']:.1f} s | {row['ratio']:.2f}")
    keep("build", rows)


if __name__ == "__main__":
    main()
