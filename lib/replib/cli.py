"""``replib agree`` and ``replib new``."""

import argparse
import sys
from pathlib import Path

from replib.press import extract, skeleton
from replib.press import layout as layouts
from replib.record import Record, RecordError, compare, likely_causes


def agree(path: Path, against: Path | None) -> int:
    """Compare a run with the published record; 0 if every quantity agrees."""
    ours = extract.load(path)
    if ours.profile == "smoke" and against is None:
        raise RecordError(
            "a smoke run is never published, so there is nothing to compare this one with: run the chapter with "
            "-p profile quick, or name a record with --with"
        )
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
    if now["claims_sha256"] != made.claims_sha256:
        causes.append("the claims file in this checkout is not the published one")
    changed = sorted(
        m for m in now["modules"].keys() | made.modules.keys() if now["modules"].get(m) != made.modules.get(m)
    )
    if changed:
        causes.append(f"library modules of this checkout are not the published ones: {', '.join(changed)}")
    return causes


def new(slug: str, part: str) -> int:
    """Write the skeleton of a chapter and say what to do next."""
    for line in skeleton.create(layouts.here(), slug, part):
        print(line)
    print(f"next:  make chapter CHAPTER={slug}  runs it; book/contributing.md has the rest")
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
    start.add_argument("chapter", nargs="?", default="", help="author2024_topic")
    start.add_argument("part", nargs="?", default="", help="the folder below notebooks/")
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
