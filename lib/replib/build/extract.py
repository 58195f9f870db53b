"""Take the record and the figures' data out of an executed notebook."""

import csv
import io
import json
import subprocess
from pathlib import Path

import nbformat

from replib.build.layout import BuildError, Layout
from replib.record import FIGURE_MIME, RECORD_MIME, Provenance, Record, RecordError, parse, read


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Read an executed notebook.

    Raises:
        RecordError: missing or damaged.
    """
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise RecordError(f"there is no notebook at {path}: execute the chapter first.") from None
    except Exception as error:
        raise RecordError(f"{path} is not a readable notebook ({type(error).__name__}: {error}).") from None


def bundles(notebook: nbformat.NotebookNode, mime: str) -> list[object]:
    """All outputs of one MIME type, in order."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            payload = output.get("data", {}).get(mime)
            if payload is not None:
                found.append(json.loads(payload) if isinstance(payload, str) else payload)
    return found


def record_in(notebook: nbformat.NotebookNode, origin: str) -> Record:
    """The one record in an executed notebook.

    Raises:
        RecordError: no record, several, or an invalid one.
    """
    try:
        found = bundles(notebook, RECORD_MIME)
    except ValueError as error:
        raise RecordError(f"{origin} holds a damaged record: {error}") from None
    if len(found) != 1:
        raise RecordError(
            f"{origin} holds {len(found)} records and needs one: its last code cell must be chapter.report(), "
            "and it must have been executed."
        )
    return parse(found[0], origin)


def load(path: Path) -> Record:
    """A record from a record file or from an executed notebook, by the file's ending."""
    path = Path(path)
    if path.suffix == ".ipynb":
        return record_in(read_notebook(path), str(path))
    return read(path)


def commit(root: Path) -> str:
    """The checkout's commit, with ``+`` where files differ from it; empty outside git."""
    try:
        revision = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--", "lib", "notebooks", "requirements.lock"],
            cwd=root, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return ""
    return revision + "+" * bool(changed)


def extract(layout: Layout, slug: str, profile: str) -> Record:
    """The record of a chapter's run in this checkout, with its provenance.

    Raises:
        RecordError: as :func:`record_in`, or the run used several threads.
        BuildError: the record is of another chapter or profile.
    """
    path = layout.executed(slug, profile)
    record = record_in(read_notebook(path), str(path))
    if (record.slug, record.profile) != (slug, profile):
        raise BuildError(f"{path} reports on {record.slug} ({record.profile}): correct the slug given to begin()")
    if record.environment.threads != 1:
        raise RecordError(f"{path} was run with {record.environment.threads} threads: only runs on one are published.")
    digest = json.loads(layout.digest(slug, profile).read_text(encoding="utf-8"))
    return record.model_copy(update={"provenance": Provenance(**digest, commit=commit(layout.root))})


def figure_csv(figure: dict) -> str:
    """A figure's data as CSV text."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    columns = figure["columns"]
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return stream.getvalue()


def figures(notebook: nbformat.NotebookNode) -> list[dict]:
    """Number, caption, alternative text and data of each figure."""
    return bundles(notebook, FIGURE_MIME)
