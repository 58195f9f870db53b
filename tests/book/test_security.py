"""What SECURITY.md promises."""

import os
import re
import shutil
import subprocess
import uuid

import pytest
from replib.build.layout import Layout

from tests.conftest import ROOT

LAYOUT = Layout(ROOT)
SLUG = "xu2021_extrapolation"
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
def command():
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


def run(command):
    return subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_sandbox_keeps_network_and_files_away(command, tmp_path):
    name = uuid.uuid4().hex
    inside, outside, home = ROOT / "_build" / name, tmp_path / name, f"{os.path.expanduser('~')}/{name}"
    start, _, _ = command.partition(".venv/bin/python")
    probe = tmp_path / "probe.py"
    probe.write_text(PROBE)
    places = " ".join(f"'{p}'" for p in (inside, outside, home))
    done = run(f'{start} .venv/bin/python -c "$(cat {probe})" {places}')
    assert done.returncode == 0, done.stderr
    assert "no network" in done.stdout
    assert f"wrote {inside}" in done.stdout
    assert not outside.exists()
    assert f"refused {home}" in done.stdout
    inside.unlink()


def test_a_chapter_runs_in_the_sandbox(command):
    assert f"run quick {SLUG}" in command
    done = run(command.replace(f"run quick {SLUG}", f"run smoke {SLUG}"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 chapters are up to date in smoke" in done.stdout
