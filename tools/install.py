"""Make the virtual environment that the book runs in: torch first and alone, then the hashed lock.

Usage: python3 tools/install.py [FOLDER]          (standard library only; FOLDER is .venv by default)
       python3 install.py --lock FILE             (the lock alone, into the Python that runs this)

On Linux the package index offers torch with several gigabytes of CUDA; the lock holds the CPU build,
which is taken from the configured index if it is there and from PyTorch's own otherwise. A torch that
the folder already has, a GPU build too, is kept when pyproject.toml's range admits it.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
PYTORCH_INDEX = "https://download.pytorch.org/whl/cpu"
ENTRY = r"^{}==(?P<version>\S+)(?P<hashes>(?: \\\n\s+--hash=\S+)+)\n"
TORCH_ENTRY = re.compile(ENTRY.format("torch"), re.MULTILINE)
# what builds the few packages that come as source; in place first, so that no build fetches anything
BUILDERS = re.compile(ENTRY.format("(?:setuptools|wheel)"), re.MULTILINE)
ADMITTED = ((2, 11), (2, 14))  # torch's range in pyproject.toml; a test keeps the two equal


def run(python: Path, *arguments: str) -> None:
    """python -m with these arguments."""
    subprocess.run([python, "-m", *arguments], check=True)


def pip_install(python: Path, requirements: str, *options: str) -> None:
    """pip install --require-hashes of the given requirements text."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        run(
            python,
            "pip",
            "install",
            "-qq",
            "--disable-pip-version-check",
            "--no-deps",
            "--require-hashes",
            *options,
            "-r",
            file.name,
        )


def installed_torch(python: Path) -> str:
    """The version of torch the folder has, '' for none."""
    code = "import importlib.metadata as m, sys; sys.stdout.write(m.version('torch'))"
    result = subprocess.run([python, "-c", code], capture_output=True, text=True)
    return result.stdout if result.returncode == 0 else ""


def admitted(version: str) -> bool:
    """Whether pyproject.toml's range holds this version."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return bool(numbers) and ADMITTED[0] <= tuple(map(int, numbers.groups())) < ADMITTED[1]


def install_torch(python: Path, entry: re.Match) -> None:
    """Keep a torch that fits; else install the lock's CPU build."""
    present = installed_torch(python)
    if admitted(present):
        return
    if present:
        print(f"replacing torch {present}, which this book does not run on")
    build = "+cpu" if sys.platform == "linux" else ""
    requirement = f"torch=={entry['version']}{build}{entry['hashes']}\n"
    try:
        pip_install(python, requirement)
    except subprocess.CalledProcessError:
        print("the configured index has no CPU build of torch; asking PyTorch's own")
        pip_install(python, requirement, "--index-url", PYTORCH_INDEX)


def install_lock(python: Path, lock: str) -> None:
    """Everything the lock pins, torch first and alone.

    Args:
        lock: the text of requirements.lock.
    """
    entry = TORCH_ENTRY.search(lock)
    if entry is None:
        sys.exit(f"{LOCK.name} pins no torch: restore it from git, or write it anew with tools/lock.py")
    install_torch(python, entry)
    pip_install(python, "".join(entry[0] for entry in BUILDERS.finditer(lock)))
    pip_install(python, TORCH_ENTRY.sub("", lock), "--no-build-isolation")


def stamped(stamp: Path) -> dict | None:
    """What an earlier run wrote when it was done; None where there is nothing that can be read."""
    try:
        return json.loads(stamp.read_text())
    except (OSError, ValueError):
        return None


def main() -> None:
    """Bring the folder up to the lock; does nothing if it is."""
    if sys.version_info < (3, 11):  # noqa: UP036  this script is what an older Python would meet
        sys.exit(f"this book needs Python 3.11 or newer; this is {sys.version.split()[0]}")
    if sys.argv[1:2] == ["--lock"]:
        install_lock(Path(sys.executable), Path(sys.argv[2]).read_text())
        return
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".venv").resolve()
    lock = LOCK.read_text()
    stamp = folder / "installed.json"
    state = {
        "lock": hashlib.sha256(lock.encode()).hexdigest(),
        "project": hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest(),
        "root": str(ROOT),
        "python": sys.version,
    }
    if stamped(stamp) == state:
        return
    stamp.unlink(missing_ok=True)  # it is not what it says until all is done
    print(f"setting up {folder.name} (once, and again when {LOCK.name} changes)", flush=True)
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    quiet = ("-qq", "--disable-pip-version-check")
    try:
        install_lock(python, lock)
        run(python, "pip", "install", *quiet, "--no-deps", "--no-build-isolation", "-e", str(ROOT))
        run(python, "pip", "check", *quiet)  # a lock cut short lacks what others need
    except subprocess.CalledProcessError:
        sys.exit(
            f"the packages in {LOCK.name} could not be installed, pip says why above; if the file is damaged, "
            f"restore it with: git checkout {LOCK.name}"
        )
    fresh = stamp.with_suffix(".tmp")
    fresh.write_text(json.dumps(state))
    fresh.replace(stamp)


if __name__ == "__main__":
    main()
