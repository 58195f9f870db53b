"""What happens around a build: kills, full disks, little memory, damaged files, no network, a wrong clock.

Each case asserts that nothing earlier was lost, and that a run after it ends with the same records.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time

import psutil
import pytest
from replib.press import skeleton

from tests.conftest import ROOT
from tests.faults.books import build, command, environment, result, small_book, write

ONE, OTHER = "one2024_chapter", "other2024_chapter"
MOMENTS = 20


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return small_book(tmp_path_factory.mktemp("faults"), (ONE, OTHER))


@pytest.fixture(scope="module")
def clean(checkout):
    """Both chapters' results and the site, from an undisturbed run."""
    done = build(checkout, "run", "book")
    assert done.returncode == 0, done.stdout + done.stderr
    return {slug: result(checkout, slug) for slug in (ONE, OTHER)}


def whole(checkout):
    """Every file a reader of results would open can be read."""
    folder = checkout / "_build"
    for path in [
        *folder.glob("*.json"),
        *folder.glob("*/*.json"),
        *folder.glob("*/*.ipynb"),
        *folder.glob("*/*.digest"),
    ]:
        if path.parent.name != "html":
            json.loads(path.read_text(encoding="utf-8"))


def again(checkout, clean):
    """A run without disturbance ends with the records there would have been."""
    done = build(checkout, "run", "book")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {slug: result(checkout, slug) for slug in clean} == clean
    for slug in clean:
        page = (checkout / "_build" / "html" / "part" / f"{slug}.html").read_text(encoding="utf-8")
        assert page.rstrip().endswith("</html>")
        assert "did not finish" not in page
    whole(checkout)


def forget(checkout, slug):
    """Make the next build run a chapter again."""
    (checkout / "_build" / "quick" / f"{slug}.status.json").unlink(missing_ok=True)


def below(process):
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def is_of(process, kind):
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return False
    marks = {"kernel": "ipykernel_launcher", "papermill": "-m papermill", "runner": "-m replib.press"}
    return marks[kind] in line


def test_kill_9_of_runner_papermill_and_kernel_at_random_moments(checkout, clean):
    draw = random.Random(0)
    before = (checkout / "_build" / "quick" / f"{OTHER}.outcome.json").read_bytes()
    hit = dict.fromkeys(("runner", "papermill", "kernel"), 0)
    for moment in range(MOMENTS):
        kind = list(hit)[moment % 3]
        forget(checkout, ONE)
        run = subprocess.Popen(
            command("run", "quick", ONE),
            cwd=checkout, env=environment(checkout), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        start, patience = time.monotonic(), draw.uniform(0, 6)
        family = {}
        while run.poll() is None and time.monotonic() - start < 30:
            family |= {p.pid: p for p in below(run)}
            victims = [p for p in family.values() if is_of(p, kind)]
            if kind == "runner":
                victims.append(psutil.Process(run.pid))
            if victims and time.monotonic() - start > patience:
                victim = draw.choice(victims)
                try:
                    victim.kill()
                except psutil.NoSuchProcess:
                    continue
                hit[kind] += 1
                break
            time.sleep(0.02)
        run.wait(timeout=60)
        _, alive = psutil.wait_procs(list(family.values()), timeout=20)
        assert alive == [], f"left running after kill -9 of {kind}: {[p.cmdline() for p in alive]}"
        whole(checkout)
        assert (checkout / "_build" / "quick" / f"{OTHER}.outcome.json").read_bytes() == before
    assert min(hit.values()) >= MOMENTS // 5, hit
    again(checkout, clean)
    assert [p.name for p in (checkout / "_build" / "quick").iterdir() if p.is_dir()] == []


def test_a_site_killed_while_it_writes_is_whole_after_the_next_build(checkout, clean):
    draw = random.Random(1)
    for _ in range(4):
        (checkout / "book" / "index.md").write_text((checkout / "book" / "index.md").read_text() + "\nMore.\n")
        (checkout / "_config.yml").write_text((checkout / "_config.yml").read_text() + "# again\n")
        run = subprocess.Popen(
            command("run", "book"),
            cwd=checkout, env=environment(checkout), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(draw.uniform(3, 9))
        for process in [*below(run), psutil.Process(run.pid)] if run.poll() is None else []:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        run.wait(timeout=60)
    page = checkout / "_build" / "html" / "part" / f"{ONE}.html"
    (checkout / "_build" / "site.unfinished").touch()
    (checkout / "_build" / "html" / ".buildinfo").write_text("# Sphinx build info")
    if page.exists():
        page.write_text(page.read_text()[:2000])
    again(checkout, clean)


def test_a_full_disk(tmp_path, clean):
    checkout = small_book(tmp_path / "full", (ONE, OTHER))
    folder = checkout / "_build"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        for size in ("48k", "160k", "700k", "2m"):  # too small for a notebook, a record, the staged pages, the site
            subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)
            done = build(checkout, "run", "book")
            assert done.returncode, size
            whole(checkout)
            output = done.stdout + done.stderr
            assert "No space left" in output or "cannot be written" in output, f"{size}: {output[-3000:]}"
        subprocess.run(["mount", "-o", "remount,size=400m", str(folder)], check=True)
        again(checkout, clean)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_kernel_beyond_its_memory(checkout, clean):
    text = skeleton.NOTEBOOK.format(**skeleton.named(ONE))
    write(checkout, ONE, text.replace("effect = np", "huge = np.ones(2**34)\neffect = np"))
    done = build(checkout, "run", "book", before=("prlimit", f"--as={16 * 2**30}"))
    assert done.returncode == 1
    assert f"{ONE} (quick) failed" in done.stdout
    assert "MemoryError" in done.stdout
    assert result(checkout, OTHER) == clean[OTHER]
    write(checkout, ONE, text)
    again(checkout, clean)


def test_two_builds_at_once(checkout, clean):
    forget(checkout, ONE)
    runs = [
        subprocess.Popen(
            command("run", "book"),
            cwd=checkout, env=environment(checkout), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    said = [run.communicate(timeout=200) for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 1]
    assert sum("another build is running in this checkout" in err for _, err in said) == 1
    again(checkout, clean)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("{slug}.ipynb", "truncated"),
        ("{slug}.ipynb", "empty"),
        ("{slug}.outcome.json", "truncated"),
        ("{slug}.status.json", "garbage"),
        ("{slug}.digest", "garbage"),
        ("{slug}.digest", "truncated"),
    ],
)
def test_a_damaged_file_is_made_again(checkout, clean, name, damage):
    path = checkout / "_build" / "quick" / name.format(slug=ONE)
    data = path.read_bytes()
    path.write_bytes({"truncated": data[: len(data) // 2], "garbage": b"\xff\x00" * 50, "empty": b""}[damage])
    done = build(checkout, "run", "quick")
    assert done.returncode == 0, done.stdout + done.stderr
    whole(checkout)
    assert {slug: result(checkout, slug) for slug in clean} == clean


@pytest.mark.parametrize("damage", ["cut short", "garbage"])
def test_a_damaged_lock(checkout, clean, damage):
    path = checkout / "requirements.lock"
    data = path.read_bytes()
    path.write_bytes({"cut short": data[: len(data) // 2], "garbage": b"\xff\x00" * 50}[damage])
    try:
        done = build(checkout, "run", "book")  # what runs is what is installed; the records name the file's hash
        assert done.returncode == 0, done.stdout + done.stderr
        whole(checkout)
        assert all(result(checkout, slug) != clean[slug] for slug in clean)
    finally:
        path.write_bytes(data)
    again(checkout, clean)


@pytest.mark.parametrize("damage", ["cut short before torch", "garbage"])
def test_a_damaged_lock_installs_nothing_and_says_so(tmp_path, damage):
    lock = (ROOT / "requirements.lock").read_text()
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "install.py", tmp_path / "tools")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    bad = lock[: lock.index("\ntorch==")] if "torch" in damage else lock.replace("--hash=sha256:", "--hash=sha256:zz")
    (tmp_path / "requirements.lock").write_text(bad)
    install = [sys.executable, tmp_path / "tools" / "install.py", tmp_path / "env"]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "requirements.lock" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "env" / "installed.json").exists()


def test_a_read_only_tree(checkout, clean):
    sandbox = ("bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/run")
    if shutil.which("bwrap") is None or subprocess.run([*sandbox, "true"], capture_output=True, check=False).returncode:
        pytest.skip("bubblewrap is not installed, or this system lets nobody make namespaces")
    done = build(checkout, "run", "book", before=sandbox)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "cannot be written" in done.stderr
    assert {slug: result(checkout, slug) for slug in clean} == clean


def test_no_network_at_all(checkout, clean):
    sandbox = ("bwrap", "--dev-bind", "/", "/", "--unshare-net")
    if shutil.which("bwrap") is None or subprocess.run([*sandbox, "true"], capture_output=True, check=False).returncode:
        pytest.skip("bubblewrap is not installed, or this system lets nobody make namespaces")
    forget(checkout, ONE)
    done = build(checkout, "run", "book", before=sandbox)
    assert done.returncode == 0, done.stdout + done.stderr
    again(checkout, clean)


def test_a_clock_that_was_set_back(checkout, clean):
    later = time.time() + 86_400
    for path in (checkout / "_build").rglob("*"):
        os.utime(path, (later, later))
    text = skeleton.NOTEBOOK.format(**skeleton.named(ONE))
    write(checkout, ONE, text.replace("1 + 0.1 *", "2 + 0.1 *"))
    done = build(checkout, "run", "book")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"[quick] {ONE}: started" in done.stdout
    assert f"[quick] {OTHER}: started" not in done.stdout
    changed = result(checkout, ONE)["claims"][0]["quantities"][0]["value"]
    assert changed > clean[ONE]["claims"][0]["quantities"][0]["value"] + 0.5
    assert f"{changed:.3g}" in (checkout / "_build" / "html" / "part" / f"{ONE}.html").read_text()
    write(checkout, ONE, text)
    again(checkout, clean)
