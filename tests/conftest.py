"""Shared by all tests: the checkout, and records made in memory."""

from pathlib import Path

import pytest
import torch
from hypothesis import settings
from replib import estimate
from replib.chapter import begin
from replib.claims import above, below

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


@pytest.fixture
def deterministic():
    """Give torch's switches back after a chapter changed them."""
    threads, was = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(was)
    torch.set_num_threads(threads)


@pytest.fixture
def chapter(deterministic):
    """A chapter with one claim and one control, nothing measured."""
    started = begin("author2024_topic", "quick", 0)
    started.control("guard", "something known", below(0.5))
    started.claim("c1", "a statement", above(1), paper="2", needs=("guard",))
    return started


@pytest.fixture
def record(chapter):
    """The record of that chapter with both measured and a claim not tested."""
    chapter.seeds(3)
    chapter.measure("guard", estimate.mean([0.1, 0.2, 0.3]))
    chapter.measure("c1", estimate.mean([2.0, 3.0, 4.0]))
    chapter.claim("c2", "another", above(1), paper="none")
    chapter.not_tested("c2", "needs a GPU")
    return chapter.record()
