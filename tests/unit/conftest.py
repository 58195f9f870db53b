"""Shared by the tests of the library."""

import pytest

from tests.unit import checkouts


@pytest.fixture
def checkout(tmp_path, root):
    """A checkout with one chapter, the skeleton that ``replib new`` writes."""
    return checkouts.small_checkout(tmp_path, root)
