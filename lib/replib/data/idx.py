"""The IDX format of MNIST: a header with the shape, then bytes."""

import gzip
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def read(path: Path) -> np.ndarray:
    """An array of bytes from a gzipped IDX file.

    The header is two zero bytes, the type (8 for unsigned bytes), the number of axes, and each axis' length as a
    big-endian 32-bit number.

    Raises:
        ValueError: not such a file, or one that holds more or less than its header says.
    """
    content = gzip.decompress(path.read_bytes())
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path.name} is no IDX file of bytes")
    start = 4 + 4 * content[3]
    shape = struct.unpack(f">{content[3]}I", content[4:start]) if len(content) >= start else ()
    if len(shape) != content[3] or len(content) - start != np.prod(shape, dtype=np.int64):
        raise ValueError(f"{path.name} is damaged: its header says {shape}, it has {len(content) - start} bytes")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def images(files: Mapping[str, Path], part: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, height * width) and labels (n,), both bytes, of one part of MNIST ("train" or "t10k")."""
    pixels, labels = read(files[f"{part}-images-idx3-ubyte.gz"]), read(files[f"{part}-labels-idx1-ubyte.gz"])
    return pixels.reshape(len(pixels), -1), labels
