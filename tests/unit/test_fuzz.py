"""Whatever is fed to the readers of records and notebooks, they end with a result or one clear error."""

import contextlib
import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replib import cli
from replib.press import extract
from replib.record import FIGURE_MIME, RECORD_MIME, RecordError, dump, read

BOUNDED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def notebook(record):
    figure = {"number": 1, "caption": "c", "alt": "a", "columns": {"x": [1.0]}, "explore": None}
    output = {"output_type": "display_data", "metadata": {}, "data": {}}
    output["data"] = {RECORD_MIME: record.model_dump(mode="json"), FIGURE_MIME: figure, "text/plain": "x"}
    cell = {"cell_type": "code", "id": "c", "metadata": {}, "source": "1", "execution_count": 1, "outputs": [output]}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}


def places(value, path=()):
    """The addresses of all parts of a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield from places(part, (*path, key))


def with_junk(value, path, junk):
    if not path:
        return junk
    changed = copy.deepcopy(value)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = junk
    return changed


@BOUNDED
@given(data=st.data(), junk=JUNK)
def test_a_notebook_with_a_part_replaced(notebook, tmp_path, data, junk):
    path = tmp_path / "n.ipynb"
    broken = with_junk(notebook, data.draw(st.sampled_from(list(places(notebook)))), junk)
    path.write_text(json.dumps(broken))
    with contextlib.suppress(RecordError):
        assert extract.load(path).slug
    with contextlib.suppress(RecordError):
        read_back = extract.read_notebook(path)
        assert isinstance(extract.code(read_back), list)


@BOUNDED
@given(data=st.data(), junk=JUNK)
def test_a_record_with_a_part_replaced(record, tmp_path, data, junk):
    path = tmp_path / "r.json"
    payload = record.model_dump(mode="json")
    path.write_text(json.dumps(with_junk(payload, data.draw(st.sampled_from(list(places(payload)))), junk)))
    with contextlib.suppress(RecordError):
        assert read(path).claims is not None


@BOUNDED
@given(cut=st.integers(0, 3000), junk=st.binary(max_size=20))
def test_a_record_with_bytes_replaced(record, tmp_path, cut, junk):
    path = tmp_path / "r.json"
    data = dump(record).encode()
    path.write_bytes(data[:cut] + junk + data[cut + len(junk) :])
    with contextlib.suppress(RecordError):
        read(path)


@BOUNDED
@given(data=st.data(), junk=JUNK)
def test_agree_on_whatever_a_reader_brings(notebook, record, tmp_path, capsys, data, junk):
    run, published = tmp_path / "run.ipynb", tmp_path / "published.json"
    published.write_text(dump(record))
    run.write_text(json.dumps(with_junk(notebook, data.draw(st.sampled_from(list(places(notebook)))), junk)))
    assert cli.main(["agree", str(run), "--with", str(published)]) in {0, 1, 2}
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    assert said.out or said.err.startswith("error: ")
