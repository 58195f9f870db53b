"""Generators from names: every random draw of a chapter comes from a generator made here.

No function of the library seeds or reads the global generators. A stream is named by a key of
integers and strings, such as ``(seed, "training points")``; equal keys give equal streams,
different keys independent ones (NumPy's ``SeedSequence`` mixes them).
"""

import zlib
from collections.abc import Sequence

import numpy as np
import torch

Key = int | str


def _sequence(key: Sequence[Key]) -> np.random.SeedSequence:
    words = [zlib.crc32(k.encode()) if isinstance(k, str) else int(k) for k in key]
    if any(word < 0 for word in words):
        raise ValueError(f"a seed must not be negative, got {tuple(key)}")
    return np.random.SeedSequence(words)


def numpy_generator(*key: Key) -> np.random.Generator:
    """A NumPy generator for the stream named ``key``."""
    return np.random.default_rng(_sequence(key))


def torch_generator(*key: Key, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator for the stream named ``key``."""
    state = _sequence(key).generate_state(2, np.uint32)
    # torch accepts seeds below 2**63
    seed = (int(state[0]) << 31) ^ int(state[1])
    return torch.Generator(device=device).manual_seed(seed)
