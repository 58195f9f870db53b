"""How the site's build grows with the number of chapters: python benchmarks/site_growth.py [10 40 160].

Needs a built book: its chapters are copied under new names in turn, as if they had just been executed, and the
site is built from nothing. Printed per size: seconds, peak memory of Sphinx, bytes of all pages, of the largest page,
of the search index and of the ledger, compressed as they are transferred. Also what one edited page costs.
"""

import gzip
import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from replib.build import ledger, site
from replib.build.layout import Layout, here


def copies(book: Layout, root: Path, count: int) -> Layout:
    """A checkout whose chapters are copies of the book's."""
    for name in ("_config.yml", "requirements.lock"):
        shutil.copy(book.root / name, root / name)
    shutil.copytree(book.root / "book", root / "book", ignore=shutil.ignore_patterns("records"))
    (root / "book" / "stories.yml").write_text("[]\n")
    (root / "lib").symlink_to(book.root / "lib")
    originals = list(book.chapters)
    entries, bibliography = [], (book.root / "references.bib").read_text()
    for k in range(count):
        slug = originals[k % len(originals)]
        name = f"copy{k}_{slug.partition('_')[2]}"
        for source, target in (
            (book.chapter(slug), f"notebooks/part{k % 8}/{name}.py"),
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


def main() -> None:
    book = here()
    print(
        "chapters, cold s, one page edited s, peak MiB, pages MB, "
        "largest page kB, search index kB, ledger kB, claims.json kB"
    )
    for count in [int(a) for a in sys.argv[1:]] or [10, 40, 160]:
        with tempfile.TemporaryDirectory() as folder:
            layout = copies(book, Path(folder), count)
            ledger.write(layout)
            cold = seconds(lambda layout=layout: site.build(layout))
            first = next(iter(layout.chapters))
            executed = json.loads(layout.executed(first, "quick").read_text())
            executed["cells"][0]["source"] = "".join(executed["cells"][0]["source"]) + "\n\nOne more sentence.\n"
            layout.executed(first, "quick").write_text(json.dumps(executed))
            edited = seconds(lambda layout=layout: site.build(layout))
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            pages = [p for p in layout.html.rglob("*.html") if "_static" not in p.parts]
            sizes = [compressed(p) for p in pages]
            single = [compressed(layout.html / n) for n in ("searchindex.js", "ledger.html", "claims.json")]
            print(
                count, f"{cold:.1f}", f"{edited:.1f}", f"{peak:.0f}", f"{sum(sizes) / 1e6:.1f}",
                *(f"{s / 1e3:.0f}" for s in (max(sizes), *single)), sep=", ", flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
