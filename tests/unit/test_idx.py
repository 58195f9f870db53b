import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from replib.data import idx


def packed(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=4, max_side=5)))
def test_what_was_packed_is_read(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("idx") / "a.gz"
    path.write_bytes(gzip.compress(packed(array)))
    assert np.array_equal(idx.read(path), array)
    assert idx.read(path).shape == array.shape


def test_images_are_rows(tmp_path):
    pixels, labels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.array([7, 1], np.uint8)
    files = {}
    for kind, values in (("images-idx3", pixels), ("labels-idx1", labels)):
        path = tmp_path / f"t10k-{kind}-ubyte.gz"
        path.write_bytes(gzip.compress(packed(values)))
        files[path.name] = path
    found, classes = idx.images(files, "t10k")
    assert np.array_equal(found, pixels.reshape(2, 12))
    assert classes.tolist() == [7, 1]


@given(st.integers(0, 11))
def test_cut_and_foreign_files_are_refused(tmp_path_factory, length):
    path = tmp_path_factory.mktemp("idx") / "a.gz"
    whole = packed(np.zeros((2, 2), np.uint8))
    path.write_bytes(gzip.compress(whole[:length]))
    with pytest.raises(ValueError, match="no IDX file|damaged"):
        idx.read(path)
    path.write_bytes(gzip.compress(whole + b"x"))
    with pytest.raises(ValueError, match="damaged"):
        idx.read(path)
    path.write_bytes(gzip.compress(b"\x00\x00\x0d" + whole[3:]))
    with pytest.raises(ValueError, match="no IDX file"):
        idx.read(path)
