"""Read old data sets in pickle format without running what is in them.

A pickle may name any function and have it called. This reader knows the dozen names that arrays, sparse
matrices and plain containers need, and refuses every other.
"""

import collections
import io
import pickle
from pathlib import Path

import numpy as np
import scipy.sparse

from replib.data.registry import DataError

_CONTAINERS = {
    ("collections", "defaultdict"): collections.defaultdict,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("builtins", "list"): list,
    ("builtins", "dict"): dict,
    ("builtins", "set"): set,
    ("_codecs", "encode"): lambda text, encoding: text.encode(encoding),
}
_ARRAYS = {
    ("multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
    ("multiarray", "scalar"): np._core.multiarray.scalar,
    ("numeric", "_frombuffer"): np._core.numeric._frombuffer,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
_SPARSE = {f"{kind}_matrix": getattr(scipy.sparse, f"{kind}_matrix") for kind in ("csr", "csc", "coo")}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        package, _, last = module.rpartition(".")
        found = _CONTAINERS.get((module.replace("__builtin__", "builtins"), name))
        if found is None and (module == "numpy" or package in {"numpy.core", "numpy._core"}):
            found = _ARRAYS.get((last, name))
        if found is None and module.startswith("scipy.sparse."):
            found = _SPARSE.get(name)
        if found is None:
            raise DataError(f"it asks for {module}.{name}, which is neither an array nor a plain container")
        return found


def load(path: Path) -> object:
    """The object in a pickle file; text of Python 2 is read as Latin-1. Verify the file's hash first.

    Raises:
        DataError: not a pickle, or one that names anything but arrays, sparse matrices and containers.
    """
    path = Path(path)
    try:
        return _Reader(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except DataError as error:
        raise DataError(f"{path} is refused: {error}") from None
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(f"{path} is no readable pickle ({type(error).__name__}): remove or replace it") from None
