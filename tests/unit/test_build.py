"""The build's steps, one by one, on small checkouts."""

import csv
import io
import json
import shutil
import subprocess
import sys
import time

import nbformat
import pytest
import yaml
from pybtex.database import parse_file
from replib import claimsfile, cli
from replib.claims import Verdict
from replib.press import __main__ as command
from replib.press import catalogue, digest, execute, extract, feeds, ledger, outcome, page, skeleton
from replib.press.layout import BuildError, Layout
from replib.press.requests import request
from replib.press.status import Status, read_status
from replib.record import RECORD_MIME, Provenance, RecordError, dump

from tests.unit.checkouts import SLUG, publish


def add(layout, slug, code, tags='tags=["parameters"]'):
    """A chapter of one code cell after the parameters."""
    path = layout.root / "notebooks" / "part" / f"{slug}.py"
    path.write_text(f'# %% [markdown]\n# # Title\n\n# %% {tags}\nprofile = "quick"\nseed = 0\n\n# %%\n{code}\n')
    fresh = Layout(layout.root)
    digest.refresh(fresh, ("smoke",))
    return fresh


# --- what a chapter depends on


def of(layout):
    return digest.describe(layout, SLUG, "quick")["digest"]


def test_digest_follows_text_lock_profile_and_nothing_else(checkout):
    before = of(checkout)
    path = checkout.chapter(SLUG)
    path.touch()
    assert of(checkout) == before
    assert digest.describe(checkout, SLUG, "paper")["digest"] != before
    checkout.lock.write_text("numpy==2\n")
    assert of(checkout) != before
    checkout.lock.write_text("numpy==1\n")
    assert of(checkout) == before
    path.write_text(path.read_text() + "\n# more\n")
    assert of(checkout) != before


def test_digest_follows_the_claims(checkout):
    before = of(checkout)
    claims = checkout.claims(SLUG)
    claims.write_text(claims.read_text().replace("> 0.5", "> 0.6"))
    assert of(checkout) != before


def test_digest_follows_imported_modules_directly_or_not(checkout, root):
    (checkout.root / "lib").unlink()
    shutil.copytree(root / "lib", checkout.root / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    before = of(checkout)

    def edit(name):
        path = checkout.root / "lib" / "replib" / name
        path.write_text(path.read_text() + "\n# more\n")
        return of(checkout)

    assert edit("kernels/sphere.py") == before  # not imported
    assert edit("press/site.py") == before  # the build is no part of a result
    direct = edit("estimate.py")
    assert direct != before
    assert edit("record.py") != direct  # imported by chapter.py


def test_modules_are_found_through_packages_and_aliases(checkout, tmp_path):
    path = tmp_path / "n.py"
    path.write_text(
        "import replib.kernels as k\nfrom replib.graphs import networks\n"
        "from replib.data.points import cube\nimport numpy\n"
    )
    assert digest.direct_imports(path) == {"replib.kernels", "replib.graphs.networks", "replib.data.points"}
    assert {"replib", "replib.graphs", "replib.models.mlp", "replib.data"} <= digest.modules(path)
    assert "replib.chapter" not in digest.modules(path)


def test_a_notebook_that_is_no_python_or_imports_what_is_not_there(tmp_path):
    path = tmp_path / "n.py"
    path.write_text("%matplotlib inline\n")
    with pytest.raises(BuildError, match=r"n.py is not valid Python"):
        digest.direct_imports(path)
    path.write_text("import replib.nonsense\n")
    with pytest.raises(BuildError, match=r"replib.nonsense, which the library does not have"):
        digest.direct_imports(path)


def test_refresh_does_not_touch_what_is_right(checkout):
    digest.refresh(checkout, ("quick",))
    target = checkout.digest(SLUG, "quick")
    before = target.stat().st_mtime_ns
    time.sleep(0.01)
    digest.refresh(checkout, ("quick",))
    assert target.stat().st_mtime_ns == before


def test_two_chapters_of_one_name(checkout):
    other = checkout.root / "notebooks" / "another" / f"{SLUG}.py"
    other.parent.mkdir()
    other.write_text("")
    with pytest.raises(BuildError, match="two chapters are called"):
        _ = Layout(checkout.root).chapters


# --- execution


def test_a_chapter_runs_and_leaves_its_record(checkout):
    digest.refresh(checkout, ("smoke",))
    status = execute.execute(checkout, SLUG, "smoke")
    assert (status.state, status.message) == ("ok", "")
    result = outcome.write(checkout, SLUG, "smoke")
    assert result.record.slug == SLUG
    assert result.record.provenance.source_sha256 == digest.sha256(checkout.chapter(SLUG))
    assert outcome.load(checkout, SLUG, "smoke") == result
    assert [p.name for p in checkout.build.joinpath("smoke").iterdir() if p.name.startswith(".")] == []


def test_a_failing_chapter_says_where(checkout):
    layout = add(checkout, "fails2024_here", 'print("fine")\nraise RuntimeError("the well is dry")')
    status = execute.execute(layout, "fails2024_here", "smoke")
    assert status.state == "failed"
    assert status.message.splitlines()[-1] == "RuntimeError: the well is dry"
    assert not layout.executed("fails2024_here", "smoke").exists()
    assert outcome.write(layout, "fails2024_here", "smoke").record is None


def test_a_hanging_chapter_is_stopped(checkout, monkeypatch):
    layout = add(checkout, "hangs2024_here", "import time\nwhile True:\n    time.sleep(1)")
    monkeypatch.setenv("REPLIB_LIMIT_SECONDS", "12")
    start = time.monotonic()
    status = execute.execute(layout, "hangs2024_here", "smoke")
    assert status.state == "timed out"
    assert "12 s" in status.message
    assert time.monotonic() - start < 30


def test_a_kernel_that_dies_is_reported(checkout):
    layout = add(checkout, "dies2024_here", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    status = execute.execute(layout, "dies2024_here", "smoke")
    assert status.state == "killed"
    assert "kernel died" in status.message


def test_a_failure_replaces_an_older_result(checkout):
    layout = add(checkout, "fails2024_here", "1 / 0")
    old = layout.executed("fails2024_here", "smoke")
    old.write_text("{}")
    execute.execute(layout, "fails2024_here", "smoke")
    assert not old.exists()


def test_a_notebook_without_parameters_cell(checkout):
    layout = add(checkout, "bare2024_here", "1", tags="")
    with pytest.raises(BuildError, match=r"0 cells tagged 'parameters' and needs exactly one"):
        execute.execute(layout, "bare2024_here", "smoke")


def test_an_unwritable_output_folder(checkout):
    layout = add(checkout, "ok2024_here", "1")
    shutil.rmtree(layout.build / "smoke")
    (layout.build / "smoke").write_text("in the way")
    with pytest.raises(BuildError, match="damaged: run the build again|cannot be written"):
        execute.execute(layout, "ok2024_here", "smoke")
    assert (layout.build / "smoke").read_text() == "in the way"


@pytest.mark.parametrize("text", ["0", "-3", "soon"])
def test_a_bad_limit(monkeypatch, text):
    monkeypatch.setenv("REPLIB_LIMIT_SECONDS", text)
    with pytest.raises(BuildError, match="number of seconds above 0"):
        execute.limit_seconds("quick")


def test_an_unknown_chapter(checkout):
    with pytest.raises(BuildError, match=f"no chapter 'nobody'; the book has: {SLUG}"):
        checkout.chapter("nobody")


def test_an_unreadable_status_is_none(tmp_path):
    path = tmp_path / "status.json"
    assert read_status(path) is None
    for text in ("", "{}", "[]", '{"slug": 1}'):
        path.write_text(text)
        assert read_status(path) is None


# --- extraction


def notebook(*payloads):
    cells = [
        nbformat.v4.new_code_cell("", outputs=[nbformat.v4.new_output("display_data", data={RECORD_MIME: p})])
        for p in payloads
    ]
    return json.loads(nbformat.writes(nbformat.v4.new_notebook(cells=cells)))


def test_one_record_is_found(record):
    assert extract.record_in(notebook(record.model_dump(mode="json")), "n") == record


@pytest.mark.parametrize("count", [0, 2])
def test_no_record_or_several(record, count):
    with pytest.raises(RecordError, match=f"n holds {count} records and needs one"):
        extract.record_in(notebook(*[record.model_dump(mode="json")] * count), "n")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"nbformat": 3}', '{"nbformat": 4, "cells": [1]}', "[" * 100_000])
def test_a_damaged_notebook(tmp_path, text):
    path = tmp_path / "n.ipynb"
    path.write_text(text)
    with pytest.raises(RecordError, match=r"n.ipynb.*Execute the chapter again"):
        extract.load(path)


def test_a_run_with_several_threads_is_not_published(checkout, record):
    many = record.model_copy(update={"environment": record.environment.model_copy(update={"threads": 2})})
    path = checkout.executed(SLUG, "quick")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(notebook(many.model_dump(mode="json"))))
    with pytest.raises(RecordError, match="2 threads"):
        extract.extract(checkout, SLUG, "quick", {})
    path.write_text(json.dumps(notebook(record.model_copy(update={"profile": "paper"}).model_dump(mode="json"))))
    with pytest.raises(BuildError, match="correct the slug"):
        extract.extract(checkout, SLUG, "quick", {})


def test_a_figures_data_as_csv():
    figure = {"columns": {"x, y": [1.5, None], "name": ['a "b"', "c"]}}
    assert extract.figure_csv(figure) == '"x, y",name\n1.5,"a ""b"""\n,c\n'


# --- ledger and site


def test_ledger_lists_every_claim_and_every_failure(checkout, record):
    publish(checkout, record)
    ledger.write(checkout)
    rows = json.loads(checkout.ledger.read_text())["claims"]
    assert [(r["id"], r["verdict"]) for r in rows] == [(f"{SLUG}/c1", "replicated"), (f"{SLUG}/c2", "not tested")]
    assert rows[0]["link"] == f"part/{SLUG}.html#claim-c1"
    failed = Status(SLUG, "quick", "timed out", 9.0, {}, "too slow <b>")
    checkout.outcome(SLUG, "quick").write_text(json.dumps({"status": vars(failed), "record": None}))
    chapters = catalogue.read(checkout)
    assert ledger.claims(chapters)[0]["failure"] == "timed out"
    for shown in (ledger.table(chapters), ledger.glance(chapters)):
        assert "timed out" in shown or "run failed" in shown
        assert "<b>" not in shown
    assert 'value="failed"' in ledger.filters(chapters)


def test_ledger_has_the_paper_run_beside_the_quick_one(checkout, record):
    publish(checkout, record)
    target = checkout.published(SLUG, "paper")
    target.parent.mkdir(parents=True)
    target.write_text(dump(record.model_copy(update={"profile": "paper"})))
    rows = ledger.claims(catalogue.read(checkout))
    assert [r["profile"] for r in rows] == ["quick", "quick", "paper", "paper"]
    assert rows[2]["link"].endswith("#paper-claim-c1")


def test_a_failure_page_shows_the_traceback_as_text(checkout):
    status = Status(SLUG, "quick", "failed", 3.0, {}, "line 1\n\n<script>alert(1)</script>")
    checkout.build.joinpath("quick").mkdir(parents=True)
    checkout.outcome(SLUG, "quick").write_text(json.dumps({"status": vars(status), "record": None}))
    shown = page.failure(catalogue.read(checkout)[0])
    assert "did not finish: failed" in shown
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


@pytest.fixture
def made(checkout, record):
    """The record of a run of the chapter as it is."""
    text = digest.sha256(checkout.chapter(SLUG))
    of = Provenance(digest="d", source_sha256=text, modules={}, lock_sha256="l", commit="c")
    return record.model_copy(update={"provenance": of})


def test_accept_refuses_a_failed_run(checkout, made):
    publish(checkout, made)
    outcome.accept(checkout, SLUG, "quick")
    published = checkout.published(SLUG, "quick").read_text()
    failed = Status(SLUG, "quick", "failed", 3.0, {}, "")
    checkout.outcome(SLUG, "quick").write_text(json.dumps({"status": vars(failed), "record": None}))
    with pytest.raises(BuildError, match="no record to publish"):
        outcome.accept(checkout, SLUG, "quick")
    assert checkout.published(SLUG, "quick").read_text() == published


def test_accept_refuses_the_record_of_an_earlier_run_or_text(checkout, made):
    publish(checkout, made)
    newer = Status(SLUG, "quick", "ok", 2.0, {})
    checkout.status(SLUG, "quick").write_text(json.dumps(vars(newer)))
    with pytest.raises(BuildError, match="extract it first"):
        outcome.accept(checkout, SLUG, "quick")
    checkout.status(SLUG, "quick").unlink()
    checkout.chapter(SLUG).write_text(checkout.chapter(SLUG).read_text() + "# more\n")
    with pytest.raises(BuildError, match="has changed since"):
        outcome.accept(checkout, SLUG, "quick")
    assert not checkout.published(SLUG, "quick").exists()


# --- commands


def test_errors_of_commands_are_one_line_and_a_status(capsys):
    assert command.main(["run", "quick", "nobody"]) == 1
    assert "no chapter 'nobody'" in capsys.readouterr().err
    assert command.main(["record", "smoke", "nobody"]) == 1
    with pytest.raises(SystemExit, match="2"):
        command.main(["run", "fast"])


def test_agree(tmp_path, record, capsys):
    ours, theirs = tmp_path / "ours.json", tmp_path / "theirs.ipynb"
    ours.write_text(dump(record))
    theirs.write_text(json.dumps(notebook(record.model_dump(mode="json"))))
    assert cli.main(["agree", str(theirs), "--with", str(ours)]) == 0
    assert "5 of 5 agree" in capsys.readouterr().out
    other = record.model_dump(mode="json")
    other["claims"][0]["quantities"][0] |= {"value": 0.0, "low": -1.0}
    other["environment"]["threads"] = 4
    theirs.write_text(json.dumps(notebook(other)))
    assert cli.main(["agree", str(theirs), "--with", str(ours)]) == 1
    out = capsys.readouterr().out
    assert "differs           c1" in out
    assert f"threads: {record.environment.threads} in the published run, 4 in this one" in out
    assert cli.main(["agree", str(tmp_path / "none.json"), "--with", str(ours)]) == 2
    assert "run the chapter first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("slug", "part", "reason"),
    [
        ("Author2024_topic", "part", "small letters"),
        ("../evil_x", "part", "small letters"),
        ("topic", "part", "author2024_topic"),
        ("xu2021_extrapolation", "extrapolation", "already a chapter"),
        ("author2024_topic", "../x", "small letters"),
    ],
)
def test_new_refuses_bad_names(capsys, slug, part, reason):
    assert cli.main(["new", slug, part]) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(("slug", "part"), [("", ""), ("author2025_other", ""), ("", "part")])
def test_new_says_what_to_type(capsys, slug, part):
    assert cli.main(["new", *filter(None, (slug, part))]) == 2
    error = capsys.readouterr().err
    assert "make new CHAPTER=author2024_topic PART=part" in error
    assert "extrapolation" in error


def test_new_writes_a_chapter_into_a_part_that_is_there(checkout):
    done = skeleton.create(checkout, "someone2025_other", "part")
    fresh = Layout(checkout.root)
    assert fresh.chapters.keys() == {SLUG, "someone2025_other"}
    assert claimsfile.read(fresh.claims("someone2025_other")).claims("quick")
    toc = yaml.safe_load((checkout.root / "_toc.yml").read_text())
    assert [c["file"] for c in toc["parts"][0]["chapters"]] == [f"part/{SLUG}", "part/someone2025_other"]
    entry = parse_file(str(checkout.root / "references.bib")).entries["someone2025_other"]
    assert (entry.fields["year"], entry.persons["author"][0].last_names) == ("2025", ["Someone"])
    assert any("references.bib" in line for line in done)


def test_new_makes_a_part_with_its_page(checkout):
    (checkout.root / "book").mkdir()
    skeleton.create(checkout, "someone2025_other", "some_part")
    toc = yaml.safe_load((checkout.root / "_toc.yml").read_text())
    assert toc["parts"][1]["caption"] == "Some part"
    assert [c["file"] for c in toc["parts"][1]["chapters"]] == ["some_part", "some_part/someone2025_other"]
    assert "# Some part" in (checkout.root / "book" / "some_part.md").read_text()


def test_agree_says_that_smoke_is_never_published(tmp_path, record, capsys):
    run = tmp_path / "run.json"
    run.write_text(dump(record.model_copy(update={"profile": "smoke"})))
    assert cli.main(["agree", str(run)]) == 2
    assert "a smoke run is never published" in capsys.readouterr().err


def test_accept_says_what_it_published_and_what_changed(checkout, record):
    digest.refresh(checkout, ("quick",))
    inputs = json.loads(checkout.digest(SLUG, "quick").read_text())

    def accepted(made):
        made = made.model_copy(update={"provenance": Provenance(**inputs, commit="")})
        publish(checkout, made)
        return outcome.accept(checkout, SLUG, "quick")

    assert accepted(record) == f"published book/records/{SLUG}.quick.json: its first record"
    assert accepted(record).endswith("all 5 verdicts and numbers are as before")
    claim = record.claims[0]
    other = claim.model_copy(update={"quantities": [claim.quantities[0].model_copy(update={"value": 3.1})]})
    text = accepted(record.model_copy(update={"claims": [other, record.claims[1]]}))
    assert "1 of 5 verdicts and numbers changed\n    c1 : 3 [" in text.replace("c1 estimate", "c1 ")


# --- papers that are registered and not run


@pytest.fixture
def waiting(checkout, record):
    """A checkout with one chapter that ran and one paper that is registered."""
    publish(checkout, record)
    skeleton.create(checkout, "someone2025_other", "part")
    (checkout.root / "notebooks" / "part" / "someone2025_other.py").unlink()
    return Layout(checkout.root)


def test_a_registered_paper_has_rows_and_a_page_with_its_claims(waiting):
    assert waiting.registered.keys() == {"someone2025_other"}
    chapters = catalogue.read(waiting)
    assert [c.result is None for c in chapters] == [False, True]
    (row,) = [r for r in ledger.claims(chapters) if r["chapter"] == "someone2025_other"]
    assert (row["claim"], row["verdict"], row["quantities"]) == ("c1", "registered, not run", [])
    for text in (ledger.table(chapters), ledger.glance(chapters)):
        assert "registered, not run" in text
    text = page.registered(chapters[1])
    assert 'id="claim-c1"' in text
    assert "size of the effect" in text
    assert "&gt; 0.5" in text
    assert feeds.claims_csv(ledger.claims(chapters)).count("someone2025_other/c1") == 1


def test_a_registered_paper_with_a_bad_file_shows_its_own_fault(waiting):
    path = waiting.claims("someone2025_other")
    path.write_text(path.read_text().replace("> 0.5", "> abc"))
    chapter = catalogue.read(Layout(waiting.root))[1]
    assert chapter.failed
    assert "is no criterion" in page.failure(chapter)


def test_agree_needs_no_more_than_the_library_itself(tmp_path, record):
    """A notebook opened alone brings the library without what builds the book."""
    run = tmp_path / "run.json"
    run.write_text(dump(record))
    absent = (
        "grimp",
        "jupytext",
        "nbformat",
        "papermill",
        "psutil",
        "snakemake",
        "sphinx",
        "yaml",
        "pybtex",
        "docutils",
    )
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent})); from replib import cli; "
        f"sys.exit(cli.main(['agree', {str(run)!r}, '--with', {str(run)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- feeds


def test_csv_has_a_row_per_quantity_and_reads_back(checkout, record):
    publish(checkout, record)
    rows = ledger.claims(catalogue.read(checkout))
    table = list(csv.DictReader(io.StringIO(feeds.claims_csv(rows))))
    assert [r["id"] for r in table] == [i["id"] for i in rows for _ in (i["quantities"] or [{}])]
    first = rows[0]["quantities"][0]
    assert table[0]["quantity"] == first["name"]
    assert float(table[0]["value"]) == first["value"]
    assert table[0]["verdict"] == rows[0]["verdict"]
    assert table[0]["quantity_verdict"] == first["verdict"]
    assert table[-1]["verdict"] == "not tested"
    assert table[-1]["value"] == ""
    assert feeds.claims_csv([{"failure": "killed", "chapter": "x"}]).count("\n") == 1


def test_badge_counts_tested_claims(record):
    text = feeds.badge(record)
    assert 'aria-label="replication: 1 of 1 claims replicated"' in text
    assert "#1f7a4d" in text
    failed = record.claims[0].model_copy(update={"verdict": Verdict.NOT_REPLICATED})
    text = feeds.badge(record.model_copy(update={"claims": [failed]}))
    assert "0 of 1 claims" in text
    assert "#b3261e" in text


# --- on a cluster


def test_a_chapter_asks_for_what_its_record_says(checkout, record):
    unknown = request(checkout, SLUG, "quick")
    assert (unknown.mib, unknown.minutes, unknown.gpus) == (4096, 15, 0)
    target = checkout.published(SLUG, "quick")
    target.parent.mkdir(parents=True)
    cost = record.cost.model_copy(update={"peak_mib": 2001.0, "wall_s": 130.0})
    target.write_text(dump(record.model_copy(update={"cost": cost})))
    for profile in ("smoke", "quick"):
        asked = request(checkout, SLUG, profile)
        assert (asked.mib, asked.minutes, asked.gpus) == (3002, 11, 0)
    machine = record.environment.model_copy(update={"gpu": "some GPU"})
    paper = record.model_copy(update={"profile": "paper", "cost": cost, "environment": machine})
    checkout.published(SLUG, "paper").write_text(dump(paper))
    assert request(checkout, SLUG, "paper").gpus == 1
