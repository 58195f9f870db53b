"""The whole book on a real SLURM cluster of two nodes, one of which is drained on the way.

Chapters run in the profile that REPLIB_CLUSTER_PROFILE names, smoke by default. Skipped where SLURM cannot be
started, unless REPLIB_CLUSTER is ``required``, as it is in CI.
"""

import os
import shutil
import subprocess
import sys
import time

import pytest
import yaml
from replib.press import outcome
from replib.press.layout import Layout
from replib.press.requests import request
from replib.record import compare

from tests.cluster import slurm
from tests.conftest import ROOT

PROFILE = os.environ.get("REPLIB_CLUSTER_PROFILE", "smoke")
REASON = slurm.missing()

pytestmark = pytest.mark.skipif(bool(REASON) and os.environ.get("REPLIB_CLUSTER") != "required", reason=REASON)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of this checkout, and a cluster profile that asks for states more often than a busy cluster would like."""
    assert not REASON, REASON
    folder = tmp_path_factory.mktemp("cluster") / "book"
    names = ("lib", "book", "benchmarks", "notebooks", "profiles", "Snakefile", "_config.yml", "_toc.yml")
    for name in (*names, "references.bib", "requirements.lock", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        folder.mkdir(exist_ok=True)
        copy(ROOT / name, folder / name)
    path = folder / "profiles" / "slurm" / "config.yaml"
    settings = yaml.safe_load(path.read_text())
    settings |= {"slurm-no-account": True, "slurm-init-seconds-before-status-checks": 3, "latency-wait": 10}
    settings |= {"slurm-status-command": "squeue", "slurm-logdir": str(folder / "_build" / "slurm")}
    path.write_text(yaml.safe_dump(settings))
    return Layout(folder)


@pytest.fixture(scope="module")
def run(checkout, tmp_path_factory):
    """Exit status and output of the run, and when the second node was drained."""
    command = [sys.executable, "-m", "replib.press", "run", PROFILE, "--cluster", "profiles/slurm"]
    environment = os.environ | {"PYTHONPATH": str(checkout.root / "lib")}
    with slurm.cluster(tmp_path_factory.mktemp("slurm")):
        log = (checkout.root / "log").open("w")
        start = time.monotonic()
        process = subprocess.Popen(command, cwd=checkout.root, env=environment, stdout=log, stderr=log)
        drained = None
        while process.poll() is None:
            time.sleep(0.5)
            running = [j for j in slurm.jobs() if j["JobState"] == "RUNNING" and j["NodeList"] == "node2"]
            if running and drained is None:
                slurm.scontrol("update", "nodename=node2", "state=drain", "reason=test")
                drained = time.strftime("%Y-%m-%dT%H:%M:%S")
        jobs = slurm.jobs()
        print(f"\n{len(checkout.chapters)} chapters in {PROFILE}: {time.monotonic() - start:.0f} s")
        for job in jobs:
            print(f"  {job['NodeList']}: {job['Comment']}, {job['JobState']} after {job['RunTime']}")
        log.close()
    return process.returncode, (checkout.root / "log").read_text(), drained, jobs


def test_the_book_completes_though_a_node_is_drained(checkout, run):
    code, output, drained, jobs = run
    assert code == 0, output[-4000:]
    assert f"{len(checkout.chapters)} of {len(checkout.chapters)} chapters are up to date in {PROFILE}" in output
    assert drained, "the second node never ran a job"
    done = [j for j in jobs if j["JobState"] == "COMPLETED"]
    assert len(done) == len(checkout.chapters)
    assert [j["JobId"] for j in done if j["NodeList"] == "node2" and j["StartTime"] > drained] == []
    assert {j["NodeList"] for j in done} == {"node1", "node2"}


def test_each_chapter_asks_for_what_its_record_says(checkout, run):
    *_, jobs = run
    asked = {}
    for job in jobs:
        slug = next(s for s in checkout.chapters if s in job["Comment"])
        asked[slug] = (job["MinMemoryNode"], job["TimeLimit"])
    expected = {s: request(checkout, s, PROFILE) for s in checkout.chapters}
    assert asked == {
        s: (f"{r.mib}M" if r.mib % 1024 else f"{r.mib // 1024}G", f"{r.minutes // 60:02d}:{r.minutes % 60:02d}:00")
        for s, r in expected.items()
    }


def test_the_results_equal_those_of_a_local_run(checkout, run):
    here = Layout(ROOT)
    for slug in checkout.chapters:
        local, there = (outcome.load(place, slug, PROFILE).record for place in (here, checkout))
        assert {row.state for row in compare(local, there)} <= {"same bits", "a time"}, slug


def test_nothing_is_left_of_the_cluster(run):
    assert not slurm.CONFIGURATION.exists()
    left = subprocess.run(
        ["pgrep", "--list-name", "-x", "slurmctld|slurmd"], capture_output=True, text=True, check=False
    )
    assert left.stdout == ""
