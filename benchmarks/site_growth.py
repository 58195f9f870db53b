"""How the site's build grows with the number of chapters: python benchmarks/site_growth.py [--write] [10 40 160].

Needs a built book: its chapters are copied under new names in turn, as if they had just been executed, and the
site is built from nothing. Bytes are compressed, as they are transferred. ``--write`` keeps the figures for the book's
page on growth.
"""

import datetime
import gzip
import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from replib import environment
from replib.press import ledger, site
from replib.press.layout import Layout, here
from replib.record import write_atomically


def copies(book: Layout, root: Path, count: int) -> Layout:
    """A checkout whose chapters are copies of the book's."""
    for name in ("_config.yml", "requirements.lock"):
        shutil.copy(book.root / name, root / name)
    shutil.copytree(book.root / "book", root / "book", ignore=shutil.ignore_patterns("records"))
    (root / "book" / "stories.yml").write_text("[]\n")
    (root / "benchmarks" / "results").mkdir(parents=True)
    none = {"date": "", "machine": "", "rows": [{"chapters": 1}, {"chapters": 2}]}  # what this script measures
    (root / "benchmarks" / "results" / "site_growth.json").write_text(json.dumps(none))
    (root / "lib").symlink_to(book.root / "lib")
    originals = list(book.chapters)
    entries, bibliography = [], (book.root / "references.bib").read_text()
    for k in range(count):
        slug = originals[k % len(originals)]
        name = f"copy{k}_{slug.partition('_')[2]}"
        for source, target in (
            (book.chapter(slug), f"notebooks/part{k % 8}/{name}.py"),
            (book.claims(slug), f"notebooks/part{k % 8}/{name}.toml"),
            (book.executed(slug, "quick"), f"_build/quick/{name}.ipynb"),
            (book.outcome(slug, "quick"), f"_build/quick/{name}.outcome.json"),
            (book.published(slug, "paper"), f"book/records/{name}.paper.json"),
        ):
            if source.exists():
                path = root / target
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(source.read_text(encoding="utf-8").replace(slug, name), encoding="utf-8")
        entries.append((k % 8, f"part{k % 8}/{name}"))
        fields = f"author = {{Author, Ann}}, title = {{Copy {k}}}, journal = {{J}}, year = {{2024}}"
        bibliography += f"\n@article{{{name}, {fields}}}\n"
    (root / "references.bib").write_text(bibliography)
    toc = (book.root / "_toc.yml").read_text().partition("  - caption: Extrapolation")[0]
    for part in range(min(8, count)):
        toc += f"  - caption: Part {part}\n    chapters:\n"
        toc += "".join(f"      - file: {file}\n" for p, file in entries if p == part)
    (root / "_toc.yml").write_text(toc)
    return Layout(root)


def seconds(step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def compressed(path: Path) -> int:
    return len(gzip.compress(path.read_bytes(), 9))


def measure(book: Layout, count: int) -> dict[str, float]:
    """One size: seconds, memory and bytes."""
    with tempfile.TemporaryDirectory() as folder:
        layout = copies(book, Path(folder), count)
        ledger.write(layout)
        cold = seconds(lambda: site.build(layout))
        first = next(iter(layout.chapters))
        executed = json.loads(layout.executed(first, "quick").read_text())
        executed["cells"][0]["source"] = "".join(executed["cells"][0]["source"]) + "\n\nOne more sentence.\n"
        layout.executed(first, "quick").write_text(json.dumps(executed))
        edited = seconds(lambda: site.build(layout))
        pages = [p for p in layout.html.rglob("*.html") if "_static" not in p.parts]
        sizes = [compressed(p) for p in pages]
        return {
            "chapters": count,
            "build from nothing, s": round(cold, 1),
            "build after one edited page, s": round(edited, 1),
            "peak memory, MiB": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
            "all pages, MB": round(sum(sizes) / 1e6, 2),
            "largest page, kB": round(max(sizes) / 1e3),
            "search index, kB": round(compressed(layout.html / "searchindex.js") / 1e3),
            "ledger, kB": round(compressed(layout.html / "ledger.html") / 1e3),
            "claims.json, kB": round(compressed(layout.html / "claims.json") / 1e3),
            "site on disk, MB": round(sum(p.stat().st_size for p in layout.html.rglob("*") if p.is_file()) / 1e6, 1),
        }


def main() -> None:
    arguments = [a for a in sys.argv[1:] if a != "--write"]
    rows = []
    for count in [int(a) for a in arguments] or [10, 40, 160]:
        rows.append(measure(here(), count))
        print(", ".join(f"{name} {value:g}" for name, value in rows[-1].items()), flush=True)
    if "--write" in sys.argv:
        made = {"date": datetime.date.today().isoformat(), "machine": environment.describe().cpu, "rows": rows}
        write_atomically(here().root / "benchmarks" / "results" / "site_growth.json", json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
