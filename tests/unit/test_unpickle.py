"""Pickles are read without running what is in them."""

import collections
import contextlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from replib.data.registry import DataError
from replib.data.unpickle import load


def written(path, value, protocol=2):
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_matrices_and_containers_come_back(tmp_path, protocol):
    array = np.arange(6.0).reshape(2, 3)
    graph = collections.defaultdict(list, {0: [1, 2], 1: [0]})
    value = {"a": array, "s": scipy.sparse.csr_matrix(array), "n": np.float32(2.5), "g": graph, "t": (1, "x", None)}
    found = load(written(tmp_path / "p", value, protocol))
    assert np.array_equal(found["a"], array)
    assert np.array_equal(found["s"].toarray(), array)
    assert (found["n"], found["g"], found["t"]) == (np.float32(2.5), graph, (1, "x", None))


class Evil:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, ("touch owned",)),
        (eval, ("1 + 1",)),
        (exec, ("owned = 1",)),
        (open, ("owned", "w")),
        (getattr, ("x", "upper")),
        (Path, ("x",)),
        (np.load, ("x",)),
        (scipy.sparse.load_npz, ("x",)),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_anything_else_is_refused_and_not_run(tmp_path, monkeypatch, function, arguments, protocol):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "p", [np.zeros(2), Evil(function, *arguments)], protocol)
    with pytest.raises(DataError, match=r"refused: it asks for .*neither an array nor a plain container"):
        load(path)
    assert not (tmp_path / "owned").exists()


def test_a_name_with_dots_does_not_reach_further(tmp_path):
    # STACK_GLOBAL with a dotted name walks attributes in the ordinary reader
    (tmp_path / "p").write_bytes(b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.")
    with pytest.raises(DataError, match="refused"):
        load(tmp_path / "p")


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_no_bytes_do_worse_than_a_clear_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("junk") / "p"
    path.write_bytes(data)
    with contextlib.suppress(DataError):
        load(path)


MIRROR = os.environ.get("REPLIB_DATA")


@pytest.mark.skipif(not MIRROR, reason="REPLIB_DATA names no local mirror")
def test_the_citation_graph_of_cora_reads_like_torch_geometric(monkeypatch):
    from replib.data.registry import fetch
    from torch_geometric.io import read_planetoid_data

    monkeypatch.setenv("REPLIB_DATA", MIRROR)
    paths = fetch("Cora").paths
    theirs = read_planetoid_data(str(paths["ind.cora.x"].parent), "cora")
    features, labels, graph = (load(paths[f"ind.cora.{n}"]) for n in ("allx", "ally", "graph"))
    assert features.shape == (1708, 1433)
    assert np.array_equal(features.toarray(), theirs.x[:1708].numpy())
    assert np.array_equal(labels.argmax(1), theirs.y[:1708].numpy())
    edges = {(i, j) for i, near in graph.items() for j in near if i != j}
    assert edges | {(j, i) for i, j in edges} == {(i, j) for i, j in theirs.edge_index.T.tolist() if i != j}
