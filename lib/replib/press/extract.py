"""Take the record and the figures' data out of an executed notebook."""

import csv
import io
import json
import subprocess
from pathlib import Path

from replib.press.layout import BuildError, Layout
from replib.record import FIGURE_MIME, RECORD_MIME, Provenance, Record, RecordError, parse, read


def read_notebook(path: Path) -> dict:
    """An executed notebook of format 4 as JSON; its cells are a list of dicts with ``outputs`` lists.

    Raises:
        RecordError: missing, damaged, or of another format.
    """
    try:
        notebook = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(f"there is no notebook at {path}: execute the chapter first.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path} is not a readable notebook: {error}. Execute the chapter again.") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) and notebook.get("nbformat") == 4 else None
    if not isinstance(cells, list) or not all(map(_is_cell, cells)):
        raise RecordError(f"{path} is not a notebook of format 4. Execute the chapter again.")
    return notebook


def _is_cell(cell: object) -> bool:
    """Whether a cell has the parts that are read here, each of its kind."""
    if not isinstance(cell, dict) or not isinstance(cell.get("metadata", {}), dict):
        return False
    found = cell.get("outputs", [])
    return (
        isinstance(cell.get("source", ""), str | list)
        and all(isinstance(line, str) for line in cell.get("source", ""))
        and isinstance(cell.get("metadata", {}).get("tags", []), list)
        and isinstance(found, list)
        and all(isinstance(o, dict) and isinstance(o.get("data", {}), dict) for o in found)
    )


def outputs(notebook: dict) -> list[dict]:
    """All outputs of all cells, in order."""
    return [o for c in notebook["cells"] for o in c.get("outputs", [])]


def bundles(notebook: dict, mime: str) -> list[object]:
    """The payloads of one MIME type, in order."""
    data = [o.get("data", {}) for o in outputs(notebook)]
    return [d[mime] for d in data if mime in d]


def record_in(notebook: dict, origin: str) -> Record:
    """The one record in an executed notebook.

    Raises:
        RecordError: no record, several, or an invalid one.
    """
    found = bundles(notebook, RECORD_MIME)
    if len(found) != 1:
        raise RecordError(
            f"{origin} holds {len(found)} records and needs one: its last code cell must be chapter.report(), "
            "and it must have been executed."
        )
    return parse(found[0], origin)


# added by papermill and by publishing; not the chapter's own
INJECTED_TAG = "injected-parameters"
SETUP_ID = "bring-the-library"


def code(notebook: dict) -> list[str]:
    """The chapter's own code cells of a notebook."""
    return [
        "".join(c.get("source", "")).strip()
        for c in notebook["cells"]
        if c.get("cell_type") == "code"
        and c.get("id") != SETUP_ID
        and INJECTED_TAG not in c.get("metadata", {}).get("tags", [])
    ]


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


def extract(layout: Layout, slug: str, profile: str, inputs: dict) -> Record:
    """The record of a chapter's run in this checkout, with ``inputs``, what was run, as its provenance.

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
    return record.model_copy(update={"provenance": Provenance(**inputs, commit=commit(layout.root))})


def figure_csv(figure: dict) -> str:
    """A figure's data as CSV text."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    columns = figure["columns"]
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return stream.getvalue()


def figure_script(figure: dict, name: str) -> str:
    """A figure's data for exploring, as a script: a page opened from a folder may not fetch anything else."""
    data = json.dumps({k: figure[k] for k in ("columns", "explore")}, ensure_ascii=False, separators=(",", ":"))
    return f"(window.replibData ??= {{}})[{json.dumps(name)}] = {data};\n"


def figures(notebook: dict) -> list[dict]:
    """Number, caption, alternative text and data of each figure, its columns in the author's order."""
    return [figure | {"columns": dict(figure["columns"])} for figure in bundles(notebook, FIGURE_MIME)]
