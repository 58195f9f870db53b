"""The whole build on a small book in which chapters fail, hang and recover."""

import json
import re

import pytest
from replib.press import skeleton

from tests.faults.books import build, small_book, write

GOOD, FAILS, HANGS = "good2024_chapter", "fails2024_chapter", "hangs2024_chapter"


def append(path, text):
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def state(checkout, slug):
    path = checkout / "_build" / "quick" / f"{slug}.status.json"
    return json.loads(path.read_text())["state"], path.stat().st_mtime_ns


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of this checkout with three chapters of its own, in a folder whose name is not plain."""
    folder = small_book(tmp_path_factory.mktemp("a book, übersetzt"), (GOOD, FAILS, HANGS))
    text = (folder / "notebooks" / "part" / f"{FAILS}.py").read_text()
    write(folder, FAILS, text.replace("effect = np", 'raise RuntimeError("<script>boom</script>")\neffect = np'))
    write(folder, HANGS, text.replace("effect = np", "import time\ntime.sleep(1000)\neffect = np"))
    return folder


@pytest.fixture(scope="module")
def first(checkout):
    return build(checkout, "run", "book")


def test_failures_end_in_a_summary_and_a_non_zero_status(checkout, first):
    assert first.returncode == 1, first.stdout + first.stderr
    assert f"{FAILS} (quick) failed" in first.stdout
    assert "RuntimeError: <script>boom</script>" in first.stdout
    assert f"{HANGS} (quick) timed out" in first.stdout
    assert "1 of 3 chapters are up to date in quick, 2 failed" in first.stdout
    assert re.search(rf"\[quick\] {GOOD}: ok, \d+ s; \d of 3 left", first.stdout)


def test_the_other_chapters_finish_and_the_site_shows_the_failures(checkout, first):
    html = checkout / "_build" / "html"
    assert "replicated" in (html / "part" / f"{GOOD}.html").read_text()
    failed = (html / "part" / f"{FAILS}.html").read_text()
    assert "did not finish: failed" in failed
    assert "&lt;script&gt;boom" in failed
    assert "<script>boom" not in failed
    assert "did not finish: timed out" in (html / "part" / f"{HANGS}.html").read_text()
    ledger = (html / "ledger.html").read_text()
    assert ledger.count("the last run did not finish") == 2
    rows = json.loads((html / "claims.json").read_text())["claims"]
    assert {r["chapter"]: r.get("failure") for r in rows} == {GOOD: None, FAILS: "failed", HANGS: "timed out"}


def test_what_failed_is_tried_again_even_if_nothing_changed(checkout, first):
    again = build(checkout, "run", "quick", FAILS)
    assert f"[quick] {FAILS}: started" in again.stdout
    assert f"{FAILS} (quick) failed" in again.stdout
    assert again.returncode == 1


def test_a_second_build_repeats_only_what_failed_and_a_third_nothing(checkout, first):
    _, before = state(checkout, GOOD)
    for slug in (FAILS, HANGS):
        write(checkout, slug, skeleton.NOTEBOOK.format(**skeleton.named(slug)))
    second = build(checkout, "run", "book")
    assert second.returncode == 0, second.stdout + second.stderr
    assert state(checkout, GOOD) == ("ok", before)
    assert state(checkout, FAILS)[0] == state(checkout, HANGS)[0] == "ok"
    page = checkout / "_build" / "html" / "part" / f"{FAILS}.html"
    assert "did not finish" not in page.read_text()

    times = {p: p.stat().st_mtime_ns for p in (checkout / "_build").rglob("*.*") if p.is_file() and p.name != ".lock"}
    for path in (checkout / "notebooks").rglob("*.py"):
        path.touch()
    append(checkout / "lib" / "replib" / "kernels" / "sphere.py", "# unrelated\n")
    third = build(checkout, "run", "book")
    assert third.returncode == 0
    assert "started" not in third.stdout
    assert {p: p.stat().st_mtime_ns for p in times} == times


def test_an_edited_module_runs_what_imports_it(checkout, first):
    append(checkout / "lib" / "replib" / "randomness.py", "# edited\n")
    result = build(checkout, "run", "quick", GOOD)
    assert f"[quick] {GOOD}: started" in result.stdout
    assert result.returncode == 0


def test_two_builds_at_once_do_not_meet(checkout, first):
    import fcntl

    with (checkout / "_build" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = build(checkout, "run", "book")
    assert result.returncode == 1
    assert "another build is running in this checkout" in result.stderr
