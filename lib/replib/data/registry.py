"""The data sets of the book: where they come from, under which licence, and what their content must hash to.

A file is looked for in the folder that the environment variable REPLIB_DATA names, then in the
cache, then downloaded. It is verified each time before use, on its decompressed content, so a
local copy may be compressed anew. Nothing half-written is left behind.
"""

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

FOLDER_VARIABLE = "REPLIB_DATA"


class DataError(RuntimeError):
    """A data set that cannot be had; the message says which, what was tried and where to put it."""


@dataclass(frozen=True)
class DataSet:
    """One data set.

    Attributes:
        folder: below the local folder and the cache.
        urls: folders it can be downloaded from, tried in order.
        files: file name -> SHA-256 of the decompressed content.
    """

    name: str
    source: str
    licence: str
    folder: str
    urls: tuple[str, ...]
    files: dict[str, str]


@dataclass(frozen=True)
class Fetched:
    """A data set at hand.

    Attributes:
        paths: file name -> verified file.
        sha256: of the sorted content hashes.
        bytes: size of the files.
        downloaded: bytes that had to be downloaded.
    """

    name: str
    paths: dict[str, Path]
    sha256: str
    bytes: int
    downloaded: int


REGISTRY = {
    d.name: d
    for d in (
        DataSet(
            name="MNIST",
            source="LeCun, Cortes, Burges (1998)",
            licence="CC BY-SA 3.0",
            folder="mnist",
            urls=("https://ossci-datasets.s3.amazonaws.com/mnist/",),
            files={
                "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            },
        ),
        DataSet(
            name="Cora",
            source="Sen et al. (2008), split of Yang et al. (2016)",
            licence="MIT (Planetoid repository)",
            folder="planetoid/Cora/raw",
            urls=("https://raw.githubusercontent.com/kimiyoung/planetoid/master/data/",),
            files={
                "ind.cora.allx": "9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543",
                "ind.cora.ally": "2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71",
                "ind.cora.graph": "58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d",
                "ind.cora.test.index": "297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875",
                "ind.cora.tx": "b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a",
                "ind.cora.ty": "41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad",
                "ind.cora.x": "23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab",
                "ind.cora.y": "94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1",
            },
        ),
    )
}


def content_sha256(path: Path) -> str:
    """SHA-256 of a file's content, decompressed if its name ends in .gz.

    Raises:
        DataError: a compressed file that is damaged.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged: {error}") from None


def fetch(name: str) -> Fetched:
    """Find or download a data set and verify all its files.

    Raises:
        DataError: unknown, unreachable, or with another content than registered.
    """
    if name not in REGISTRY:
        raise DataError(f"the registry has no data set {name!r}; it has: {', '.join(REGISTRY)}")
    import pooch  # only a chapter with data needs it

    data = REGISTRY[name]
    cache = Path(pooch.os_cache("replib")) / data.folder
    local = os.environ.get(FOLDER_VARIABLE)
    paths: dict[str, Path] = {}
    downloaded = 0
    for file, expected in data.files.items():
        candidates = [Path(local) / data.folder / file] if local else []
        candidates.append(cache / file)
        found = next((p for p in candidates if p.exists()), None)
        if found is None:
            found = _download(data, file, expected, cache)
            downloaded += found.stat().st_size
        elif content_sha256(found) != expected:
            raise DataError(
                f"{found} is not the {name} file the book uses: its content has another SHA-256. Remove or replace it."
            )
        paths[file] = found
    joined = hashlib.sha256("".join(sorted(data.files.values())).encode()).hexdigest()
    return Fetched(name, paths, joined, sum(p.stat().st_size for p in paths.values()), downloaded)


def _download(data: DataSet, file: str, expected: str, cache: Path) -> Path:
    import pooch

    cache.mkdir(parents=True, exist_ok=True)
    partial = cache / f".{file}.{os.getpid()}.part{Path(file).suffix}"
    failures = []
    try:
        for base in data.urls:
            try:
                pooch.HTTPDownloader(timeout=30)(base + file, str(partial), None)
                if content_sha256(partial) == expected:
                    os.replace(partial, cache / file)
                    return cache / file
                failures.append(f"{base}: other content than registered")
            except (OSError, ValueError, DataError) as error:  # requests' errors are OSErrors
                failures.append(f"{base}: {type(error).__name__}")
    finally:
        partial.unlink(missing_ok=True)
    raise DataError(
        f"the data set {data.name} cannot be had: {file} is neither in the folder that {FOLDER_VARIABLE} names nor in "
        f"{cache}, and no download worked ({'; '.join(failures)}). Put the file into <folder>/{data.folder}/ and set "
        f"{FOLDER_VARIABLE}=<folder>."
    )
