"""The executed notebooks as they are published, and the folder that launch buttons open.

A published notebook opens anywhere: its first cell brings the library along where it is absent. The
folder is what a branch of the repository holds: notebooks by part, the library as a wheel, and
what Binder needs to make the environment of the lock.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from replib.press import extract
from replib.press.layout import BuildError, Layout

REPOSITORY_VARIABLE = "REPLIB_REPOSITORY"
# Python of the Binder image; the lock holds for all from 3.11 on
PYTHON = "3.12"
_POST_BUILD = """\
#!/bin/sh
# run by repo2docker in the repository's folder, with the image's Python first on the PATH
set -e
python binder/install.py --lock binder/{lock}
python -m pip install --no-deps ./{wheel}
"""

_SETUP = """\
# Opened on its own, this notebook brings the book's library along; where it is installed, this cell does nothing.
import importlib.util

if importlib.util.find_spec("replib") is None:
    {action}"""
_INSTALL = '%pip install --quiet "replib @ git+https://github.com/{repository}@{commit}"'
_NO_REPOSITORY = """\
raise ModuleNotFoundError(
        "the library replib is missing, and this copy of the book names no repository to take it from: "
        "open this notebook in a checkout of the book, after make setup"
    )"""


def setup_cell(layout: Layout, repository: str) -> dict:
    """The first cell of a published notebook.

    Args:
        repository: owner/name on GitHub, '' for none.
    """
    commit = extract.commit(layout.root).rstrip("+")
    action = _INSTALL.format(repository=repository, commit=commit) if repository and commit else _NO_REPOSITORY
    return {
        "cell_type": "code", "id": extract.SETUP_ID, "metadata": {"tags": ["hide-input"]}, "execution_count": None,
        "outputs": [], "source": _SETUP.format(action=action),
    }  # fmt: skip


def published(layout: Layout, slug: str, repository: str) -> str:
    """An executed notebook with its first cell, as JSON text."""
    notebook = extract.read_notebook(layout.executed(slug, "quick"))
    notebook["cells"].insert(0, setup_cell(layout, repository))
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def publish(layout: Layout, repository: str) -> Path:
    """Write the folder that launch buttons open to ``_build/notebooks``; it replaces an older one.

    Raises:
        BuildError: the wheel could not be built.
    """
    target = layout.build / "notebooks"
    with tempfile.TemporaryDirectory(dir=layout.build) as temporary:
        folder = Path(temporary) / "notebooks"
        for slug in layout.chapters:
            path = folder / layout.part(slug) / f"{slug}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(published(layout, slug, repository), encoding="utf-8")
        wheel = _wheel(layout, folder)
        binder = folder / "binder"
        binder.mkdir()
        shutil.copy(layout.lock, binder / layout.lock.name)
        shutil.copy(layout.root / "tools" / "install.py", binder / "install.py")
        (binder / "runtime.txt").write_text(f"python-{PYTHON}\n", encoding="utf-8")
        post = binder / "postBuild"
        post.write_text(_POST_BUILD.format(lock=layout.lock.name, wheel=wheel), encoding="utf-8")
        post.chmod(0o755)
        (folder / "README.md").write_text(
            "Executed notebooks of the book of replications, written by its build: nothing is edited here.\n",
            encoding="utf-8",
        )
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    return target


def _wheel(layout: Layout, folder: Path) -> str:
    """Build the library's wheel into the folder, from a copy: building leaves files behind."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary)
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(layout.root / name, copy / name)
        for claims in (layout.root / "notebooks").glob("*/*.toml"):
            target = copy / claims.relative_to(layout.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(claims, target)
        shutil.copytree(layout.root / "lib", copy / "lib", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
        command += ["--disable-pip-version-check", "--wheel-dir", str(folder), str(copy)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise BuildError("the library's wheel was not built:\n" + done.stderr[-2000:])
    return wheels[0].name
