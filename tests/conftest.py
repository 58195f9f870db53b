"""Shared by all tests: the checkout, and records made in memory."""

import subprocess
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from replib import claimsfile, environment, estimate
from replib.chapter import Chapter

ROOT = Path(__file__).resolve().parent.parent

# a slow machine is no wrong result
settings.register_profile("book", deadline=None)
settings.load_profile("book")


@pytest.fixture(autouse=True)
def _reader_environment(monkeypatch):
    """Tests do not see the build's own switches."""
    for name in ("REPLIB_THREADS", "REPLIB_DATA", "REPLIB_REPOSITORY", "REPLIB_LIMIT_SECONDS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def root():
    return ROOT


@pytest.fixture(scope="session")
def committed():
    """Whether a chapter's notebook is in git: one that was just begun has no record yet. Without git all count."""
    done = subprocess.run(["git", "ls-files", "notebooks"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = {Path(line).name for line in done.stdout.splitlines()}
    return lambda slug: done.returncode != 0 or f"{slug}.py" in names


@pytest.fixture
def deterministic():
    """Give torch's switches back after a chapter changed them."""
    threads, was = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(was)
    torch.set_num_threads(threads)


CLAIMS = """
[[control]]
id = "guard"
statement = "something known"
criterion = "< 0.5"

[[claim]]
id = "c1"
statement = "a statement"
paper = "2"
needs = ["guard"]
criterion = "> 1"
"""
UNTESTED = """
[[claim]]
id = "c2"
statement = "another"
paper = "none"
criterion = "> 1"
not_tested = "needs a GPU"
"""


def start(claims: str, profile: str = "quick") -> Chapter:
    """A chapter with these claims, nothing measured."""
    environment.pin_threads()
    return Chapter("author2024_topic", profile, 0, claimsfile.parse(claims, "claims"))


@pytest.fixture
def chapter(deterministic):
    """A chapter with one claim and one control, nothing measured."""
    return start(CLAIMS)


@pytest.fixture
def record(deterministic):
    """The record of that chapter with both measured and a claim not tested."""
    chapter = start(CLAIMS + UNTESTED)
    chapter.seeds(3)
    chapter.measure("guard", estimate.mean([0.1, 0.2, 0.3]))
    chapter.measure("c1", estimate.mean([2.0, 3.0, 4.0]))
    return chapter.record()
