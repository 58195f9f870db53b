"""Run one chapter: text notebook -> papermill in a process of its own -> executed notebook and status.

Whatever happens to that process (an exception, a hang, a kill) ends here as a status file that says
so. The executed notebook appears in one step when the run is complete, never half-written.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import jupytext
import nbformat
import psutil

from replib.press.extract import outputs, read_notebook
from replib.press.layout import BuildError, Layout
from replib.press.process import dies_with_parent
from replib.press.status import Status
from replib.record import RecordError, write_atomically

# wall-clock limits in seconds: several times the budget, since machines differ
LIMITS = {"smoke": 300, "quick": 900, "paper": 72 * 3600}
LIMIT_VARIABLE = "REPLIB_LIMIT_SECONDS"

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "MPLBACKEND": "agg",
    # keep freed memory up to 8 MiB a piece: training allocates the same tensors in every step, and giving the
    # pages back to the system each time costs a third of it; larger pieces would leave holes in the heap
    "MALLOC_MMAP_THRESHOLD_": str(2**23),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
}

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def to_notebook(path: Path) -> nbformat.NotebookNode:
    """The text notebook as a notebook with stable cell ids.

    Raises:
        BuildError: it has no cell, or several, tagged ``parameters``.
    """
    notebook = jupytext.read(path)
    tagged = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise BuildError(
            f"{path} has {len(tagged)} cells tagged 'parameters' and needs exactly one: "
            'begin the cell that sets profile and seed with  # %% tags=["parameters"]'
        )
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    return notebook


def _end(process: subprocess.Popen) -> None:
    """End a process and everything it started; a kernel lives in a session of its own."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    process.kill()
    process.wait()


def _error_in(path: Path) -> str:
    """The last lines of the traceback in a partly executed notebook."""
    try:
        found = outputs(read_notebook(path))
    except RecordError:
        return ""
    for output in found:
        if output.get("output_type") == "error":
            lines = _ANSI.sub("", "\n".join(output["traceback"])).splitlines()
            return "\n".join(lines[-12:])
    return ""


def limit_seconds(profile: str) -> float:
    """The wall-clock limit of a profile; an environment variable overrides it."""
    text = os.environ.get(LIMIT_VARIABLE)
    if text is None:
        return LIMITS[profile]
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not limit > 0:
        raise BuildError(f"{LIMIT_VARIABLE} must be a number of seconds above 0, got {text!r}")
    return limit


def execute(layout: Layout, slug: str, profile: str, seed: int = 0) -> Status:
    """Execute a chapter and write its notebook and status.

    Raises:
        BuildError: no such chapter, no parameters cell, or a folder that cannot be written.
    """
    notebook = to_notebook(layout.chapter(slug))
    try:
        inputs = json.loads(layout.digest(slug, profile).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise BuildError(f"{layout.digest(slug, profile)} is missing or damaged: run the build again") from None
    target = layout.executed(slug, profile)
    start = time.monotonic()
    # beside the target, so that the last step is a rename
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for leftover in target.parent.glob(f".{slug}.*/"):  # of a run that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        work = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{slug}."))
    except OSError as error:
        raise BuildError(
            f"{target.parent} cannot be written ({error.strerror}): make it writable, then run again"
        ) from None
    try:
        try:
            nbformat.write(notebook, work / "in.ipynb")
            if layout.claims(slug).exists():  # where there are none, the run says so
                shutil.copy(layout.claims(slug), work / f"{slug}.toml")
        except OSError as error:
            raise BuildError(f"{work} cannot be written ({error.strerror}): free some space, then run again") from None
        state, message = _papermill(layout, work, profile, seed)
        if state == "ok":
            os.replace(work / "out.ipynb", target)
        else:
            target.unlink(missing_ok=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    status = Status(slug, profile, state, round(time.monotonic() - start, 1), inputs, message)
    try:
        write_atomically(layout.status(slug, profile), json.dumps(asdict(status), indent=1) + "\n")
    except RecordError as error:
        raise BuildError(str(error)) from None
    return status


def _papermill(layout: Layout, work: Path, profile: str, seed: int) -> tuple[str, str]:
    limit = limit_seconds(profile)
    command = [
        sys.executable,
        "-m",
        "papermill",
        "in.ipynb",
        "out.ipynb",
        "--kernel",
        "python3",
        "--language",
        "python",
    ]
    command += ["-p", "profile", profile, "-p", "seed", str(seed), "--no-progress-bar", "--no-log-output"]
    environment = os.environ | ENVIRONMENT | {"IPYTHONDIR": str(work / "ipython")}
    with (work / "log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=dies_with_parent(signal.SIGKILL),
        )
        try:
            code = process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            _end(process)
            return "timed out", f"stopped after its limit of {limit:g} s"
        except BaseException:  # an interrupt, say: leave nothing running
            _end(process)
            raise
    if code == 0:
        return "ok", ""
    message = _error_in(work / "out.ipynb")
    if message:
        return "failed", message
    tail = _ANSI.sub("", (work / "log").read_text(errors="replace")).strip().splitlines()[-12:]
    if code < 0:
        return "killed", f"ended by signal {signal.Signals(-code).name}"
    if any("DeadKernelError" in line for line in tail):
        return "killed", "the kernel died: out of memory, or ended from outside"
    return "failed", "\n".join(tail)
