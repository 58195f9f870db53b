"""What a chapter's page tells readers to type, typed; and a published notebook opened where the book is not."""

import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.request
import uuid
import venv
from pathlib import Path

import pytest
from replib.press import extract, notebooks
from replib.press.layout import Layout
from replib.press.status import read_status
from replib.record import read

from tests.conftest import ROOT

LAYOUT = Layout(ROOT)
# one chapter stands for all: a test says that the others' commands differ by their names alone
SLUG = min(LAYOUT.chapters, key=lambda s: read(LAYOUT.published(s, "quick")).cost.cpu_s)
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "REPLIB_"))}


def printed(slug):
    """Label -> commands, as the built page shows them."""
    page = (LAYOUT.html / LAYOUT.part(slug) / f"{slug}.html").read_text(encoding="utf-8")
    section = page[page.index('id="run-it-yourself"') : page.index('id="cite"')]
    found = re.findall(r"<p>([^<]+):</p>\s*<div class=\"highlight-bash.*?<pre>(.*?)</pre>", section, re.DOTALL)
    return {label.replace("’", "'"): html.unescape(re.sub(r"<[^>]+>", "", block)).strip() for label, block in found}


def shell(command, folder, **variables):
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder, env=ENVIRONMENT | variables, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder where what a reader types finds the book, and leaves nothing in it."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "notebooks").symlink_to(ROOT / "notebooks")
    (folder / ".venv").symlink_to(Path(sys.executable).parent.parent)
    return folder


@pytest.mark.parametrize("slug", LAYOUT.chapters)
def test_the_commands_of_all_chapters_are_alike(slug):
    part = LAYOUT.part(slug)
    assert {k: v.replace(SLUG, slug).replace(LAYOUT.part(SLUG), part) for k, v in printed(SLUG).items()} == printed(
        slug
    )
    assert len(printed(slug)) == 5


def test_make_chapter_as_printed():
    done = shell(printed(SLUG)["The published run"], ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 chapters are up to date in quick" in done.stdout


def test_make_paper_as_printed_runs_at_the_papers_sizes():
    """It takes longer than a test may: it is stopped, and must say so."""
    kept = LAYOUT.build / "paper.kept"
    if (LAYOUT.build / "paper").exists():
        (LAYOUT.build / "paper").rename(kept)
    try:
        done = shell(printed(SLUG)["At the paper's sizes"], ROOT, REPLIB_LIMIT_SECONDS="20")
        status = read_status(LAYOUT.status(SLUG, "paper"))
    finally:
        shutil.rmtree(LAYOUT.build / "paper", ignore_errors=True)
        if kept.exists():
            kept.rename(LAYOUT.build / "paper")
    assert done.returncode != 0
    assert status.state == "timed out"
    assert f"{SLUG} (paper) timed out after" in done.stdout


def test_papermill_and_agree_as_printed(checkout):
    commands = printed(SLUG)
    done = shell(commands["With papermill"], checkout)
    assert done.returncode == 0, done.stderr[-2000:]
    done = shell(commands["Compare a run with this page"], checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"(\d+) of \1 agree with the published run", done.stdout)


def test_jupyter_as_printed_opens_the_chapter(checkout):
    settings = checkout / "jupyter"
    settings.mkdir()
    # a container runs as root and has no browser
    (settings / "jupyter_server_config.json").write_text(
        json.dumps({"ServerApp": {"allow_root": True, "open_browser": False}})
    )
    log = (checkout / "lab.log").open("w+")
    server = subprocess.Popen(
        ["bash", "-euc", printed(SLUG)["In Jupyter"]], cwd=checkout, start_new_session=True,
        env=ENVIRONMENT | {"JUPYTER_CONFIG_DIR": str(settings)}, stdout=log, stderr=log,
    )  # fmt: skip
    try:
        deadline, found = time.monotonic() + 60, None
        while found is None and time.monotonic() < deadline and server.poll() is None:
            time.sleep(0.5)
            text = (checkout / "lab.log").read_text()
            found = re.search(r"http://127\.0\.0\.1:(\d+)/lab\?token=(\w+)", text)
        assert found, (checkout / "lab.log").read_text()[-2000:]
        url = f"http://127.0.0.1:{found[1]}/api/contents/{SLUG}.ipynb?token={found[2]}"
        with urllib.request.urlopen(url) as answer:
            assert json.load(answer)["type"] == "notebook"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=20)
        log.close()


def python_without_the_library(folder):
    """A virtual environment that sees all packages of this one but the library, which a .pth file there installs."""
    venv.create(folder, with_pip=True)
    place = next(folder.glob("lib/python*/site-packages"))
    (place / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


def smoke(python, notebook, folder, **variables):
    """Execute a notebook with a kernel of that Python."""
    command = [
        str(python),
        "-m",
        "papermill",
        str(notebook),
        "out.ipynb",
        "-p",
        "profile",
        "smoke",
        "--no-progress-bar",
    ]
    environment = ENVIRONMENT | {"OMP_NUM_THREADS": "1", "JUPYTER_PATH": str(folder / "jupyter")} | variables
    kernel = folder / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
    done = subprocess.run(
        [*command, "--kernel", "python3"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done, folder / "out.ipynb"


def test_a_notebook_opened_alone_brings_the_library_along(tmp_path):
    commit = extract.commit(ROOT).rstrip("+")
    if not commit:
        pytest.skip("this copy of the book is not in git: there is no commit to install from")
    python = python_without_the_library(tmp_path / "venv")
    assert subprocess.run([python, "-c", "import replib"], capture_output=True, check=False).returncode
    notebook = tmp_path / f"{SLUG}.ipynb"
    notebook.write_text(notebooks.published(LAYOUT, SLUG, "owner/name"))
    assert f"github.com/owner/name@{commit}" in notebook.read_text()
    here = {
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": f"url.{ROOT.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/owner/name",
        "GIT_CONFIG_KEY_1": "safe.directory",
        "GIT_CONFIG_VALUE_1": "*",
    }
    done, result = smoke(python, notebook, tmp_path, **here)
    assert done.returncode == 0, done.stderr[-3000:]
    assert extract.load(result).profile == "smoke"


def test_a_notebook_of_a_book_without_repository_says_what_is_missing(tmp_path):
    python = python_without_the_library(tmp_path / "venv")
    notebook = tmp_path / f"{SLUG}.ipynb"
    notebook.write_text(notebooks.published(LAYOUT, SLUG, ""))
    done, _ = smoke(python, notebook, tmp_path)
    assert done.returncode
    assert "open this notebook in a checkout of the book" in done.stderr


def test_the_steps_of_binder_make_an_environment_that_runs_a_chapter(tmp_path):
    """What repo2docker does with the published folder: postBuild, in a fresh environment."""
    folder = notebooks.publish(LAYOUT, "owner/name")
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*.ipynb")} == {
        f"{LAYOUT.part(s)}/{s}.ipynb" for s in LAYOUT.chapters
    }
    home = tmp_path / "home"
    shutil.copytree(folder, home)
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    done = shell("sh binder/postBuild", home, PATH=f"{python.parent}:{ENVIRONMENT['PATH']}")
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    done, result = smoke(python, home / LAYOUT.part(SLUG) / f"{SLUG}.ipynb", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert extract.load(result).slug == SLUG
    listed = subprocess.run([python, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert listed.returncode == 0, listed.stdout


# --- in a sandbox, as SECURITY.md says: here too, since one build at a time runs in a checkout

SANDBOXED = "xu2021_extrapolation"
PROBE = """
import pathlib, socket, sys
try:
    socket.create_connection(("192.0.2.1", 80), 2)
    print("network")
except OSError as error:
    print("no network:", error)
for place in sys.argv[1:]:
    try:
        pathlib.Path(place).write_text("x")
        print("wrote", place)
    except OSError:
        print("refused", place)
"""


@pytest.fixture(scope="module")
def sandbox():
    """The command in SECURITY.md, in one line."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    found = re.search(r"```bash\n(bwrap .*?)```", text, re.DOTALL)[1].replace("\\\n", " ")
    if (
        shutil.which("bwrap") is None
        or subprocess.run(
            ["bwrap", "--ro-bind", "/", "/", "--unshare-all", "true"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("bubblewrap is not installed, or this system lets nobody make namespaces")
    return found


def test_the_sandbox_keeps_network_and_files_away(sandbox, tmp_path):
    name = uuid.uuid4().hex
    inside, outside, home = ROOT / "_build" / name, tmp_path / name, f"{os.path.expanduser('~')}/{name}"
    start, _, _ = sandbox.partition(".venv/bin/python")
    probe = tmp_path / "probe.py"
    probe.write_text(PROBE)
    places = " ".join(f"'{p}'" for p in (inside, outside, home))
    done = shell(f'{start} .venv/bin/python -c "$(cat {probe})" {places}', ROOT)
    assert done.returncode == 0, done.stderr
    assert "no network" in done.stdout
    assert f"wrote {inside}" in done.stdout
    assert not outside.exists()
    assert f"refused {home}" in done.stdout
    inside.unlink()


def test_a_chapter_runs_in_the_sandbox(sandbox):
    assert f"run quick {SANDBOXED}" in sandbox
    done = shell(sandbox.replace(f"run quick {SANDBOXED}", f"run smoke {SANDBOXED}"), ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 chapters are up to date in smoke" in done.stdout
