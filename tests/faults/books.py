"""Small books to break, and how they are built."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from replib.press import skeleton

from tests.conftest import ROOT

PARTS = ("lib", "book", "benchmarks", "_config.yml", "Snakefile", "requirements.lock", "pyproject.toml")


def write(checkout: Path, slug: str, text: str) -> None:
    """Write a chapter's text."""
    path = checkout / "notebooks" / "part" / f"{slug}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.with_suffix(".toml").write_text(skeleton.CLAIMS)


def small_book(folder: Path, slugs: tuple[str, ...]) -> Path:
    """A copy of this checkout whose chapters are the skeleton under these names."""
    folder.mkdir(exist_ok=True)
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "records"))
        else:
            shutil.copy(source, folder / name)
    for slug in slugs:
        write(folder, slug, skeleton.NOTEBOOK.format(**skeleton.named(slug)))
    toc = (ROOT / "_toc.yml").read_text()
    toc = toc[: toc.index("  - caption: Extrapolation")]
    toc += "  - caption: Part\n    chapters:\n" + "".join(f"      - file: part/{s}\n" for s in slugs)
    (folder / "_toc.yml").write_text(toc)
    (folder / "book" / "stories.yml").write_text("[]\n")
    for page in yaml.safe_load((folder / "book" / "parts.yml").read_text()):
        (folder / "book" / f"{page}.md").unlink()
    for listed in ("parts.yml", "delays.yml"):
        (folder / "book" / listed).write_text("{}\n")
    entries = (ROOT / "references.bib").read_text()
    for slug in slugs:
        entries += f"@misc{{{slug}, author = {{Doe, Jo}}, title = {{{slug}}}, year = {{2024}}}}\n"
    (folder / "references.bib").write_text(entries)
    return folder


def environment(checkout: Path, **variables: str) -> dict[str, str]:
    """The environment in which the library of that checkout is used."""
    return os.environ | {"PYTHONPATH": str(checkout / "lib"), "REPLIB_LIMIT_SECONDS": "45"} | variables


def command(*arguments: str) -> list[str]:
    """``python -m replib.press``."""
    return [sys.executable, "-m", "replib.press", *arguments]


def build(checkout: Path, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    """Run a build step to its end; ``before`` is put in front of the command."""
    return subprocess.run(
        [*before, *command(*arguments)],
        cwd=checkout, env=environment(checkout), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def result(checkout: Path, slug: str, profile: str = "quick") -> dict:
    """A record without what differs between two runs of the same: times, dates and the commit."""
    text = (checkout / "_build" / profile / f"{slug}.outcome.json").read_text(encoding="utf-8")
    record = json.loads(text)["record"]
    for part, names in (("cost", None), ("environment", ("date", "cores")), ("provenance", ("commit",))):
        for name in names or list(record[part]):
            record[part].pop(name)
    return record
