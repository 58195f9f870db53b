"""Data sets: verified before use, clear when they cannot be had."""

import dataclasses
import gzip
import hashlib
import http.server
import os
import threading
import time

import pooch
import pytest
from replib.data import registry
from replib.data.registry import DataError, DataSet, fetch

CONTENT = b"ten thousand digits" * 1000


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A registry of one small data set, a cache of its own, and a server that serves what it is told to."""
    answers = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = answers.get(self.path, (404, b""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(body)
            if len(body) < len(CONTENT) and self.path.endswith("stalls.bin"):
                self.wfile.flush()
                time.sleep(3)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    data = DataSet("Small", "here", "CC0", "small", (url,), {"a.bin": hashlib.sha256(CONTENT).hexdigest()})
    monkeypatch.setattr(registry, "REGISTRY", {"Small": data})
    monkeypatch.setattr(pooch, "os_cache", lambda _: tmp_path / "cache")
    yield answers, tmp_path
    server.shutdown()
    server.server_close()


def cached(folder):
    return [p.name for p in (folder / "cache").rglob("*") if p.is_file()]


def test_downloaded_once_and_verified(small):
    answers, folder = small
    answers["/a.bin"] = (200, CONTENT)
    first = fetch("Small")
    assert first.downloaded == len(CONTENT)
    assert first.paths["a.bin"].read_bytes() == CONTENT
    answers.clear()
    assert fetch("Small").downloaded == 0
    assert cached(folder) == ["a.bin"]


@pytest.mark.parametrize("answer", [(200, CONTENT[:100]), (200, b"x" * len(CONTENT)), (404, b""), (500, CONTENT)])
def test_truncated_corrupted_and_refused_downloads_leave_nothing(small, answer):
    answers, folder = small
    answers["/a.bin"] = answer
    with pytest.raises(DataError, match=r"Small cannot be had.*small/ and set REPLIB_DATA"):
        fetch("Small")
    assert cached(folder) == []


def test_a_download_that_stalls_is_given_up_and_leaves_nothing(small, monkeypatch):
    answers, folder = small
    answers["/stalls.bin"] = (200, CONTENT[:100])
    data = registry.REGISTRY["Small"]
    stalling = dataclasses.replace(data, files={"stalls.bin": data.files["a.bin"]})
    monkeypatch.setattr(registry, "REGISTRY", {"Small": stalling})
    patient = pooch.HTTPDownloader
    monkeypatch.setattr(pooch, "HTTPDownloader", lambda timeout: patient(timeout=timeout / 60))
    start = time.monotonic()
    with pytest.raises(DataError, match="Small cannot be had"):
        fetch("Small")
    assert time.monotonic() - start < 2.5
    assert cached(folder) == []


def test_mirrors_are_tried_in_order(small, monkeypatch):
    answers, _ = small
    data = registry.REGISTRY["Small"]
    (url,) = data.urls
    mirrored = dataclasses.replace(data, urls=(f"{url}gone/", f"{url}wrong/", url))
    monkeypatch.setattr(registry, "REGISTRY", {"Small": mirrored})
    answers |= {"/wrong/a.bin": (200, b"y" * len(CONTENT)), "/a.bin": (200, CONTENT)}
    assert fetch("Small").paths["a.bin"].read_bytes() == CONTENT
    answers.pop("/a.bin")
    fetch("Small").paths["a.bin"].unlink()
    with pytest.raises(DataError, match=r"gone/: HTTPError; .*wrong/: other content than registered; .*HTTPError"):
        fetch("Small")


def test_the_local_folder_comes_first_and_is_verified(small, monkeypatch):
    _, folder = small
    local = folder / "mirror" / "small"
    local.mkdir(parents=True)
    (local / "a.bin").write_bytes(CONTENT)
    monkeypatch.setenv("REPLIB_DATA", str(folder / "mirror"))
    assert fetch("Small").paths["a.bin"] == local / "a.bin"
    (local / "a.bin").write_bytes(CONTENT[:-1])
    with pytest.raises(DataError, match="another SHA-256"):
        fetch("Small")


def test_a_copy_compressed_anew_is_the_same_data(tmp_path):
    for level in (1, 9):
        path = tmp_path / f"{level}.gz"
        path.write_bytes(gzip.compress(CONTENT, level))
        assert registry.content_sha256(path) == hashlib.sha256(CONTENT).hexdigest()
    path.write_bytes(gzip.compress(CONTENT)[:-20])
    with pytest.raises(DataError, match="damaged"):
        registry.content_sha256(path)


def test_unknown_data_set():
    with pytest.raises(DataError, match="it has: MNIST, Cora"):
        fetch("ImageNet")


def test_a_chapter_records_its_data(small, chapter):
    answers, _ = small
    answers["/a.bin"] = (200, CONTENT)
    chapter.data(registry.fetch("Small"))
    assert chapter._data[0].name == "Small"


MIRROR = os.environ.get("REPLIB_DATA")  # read before the tests' environment is cleared


@pytest.mark.skipif(not MIRROR, reason="REPLIB_DATA names no local mirror")
@pytest.mark.parametrize("name", ["MNIST", "Cora"])
def test_the_mirror_holds_the_registered_data(name, monkeypatch):
    monkeypatch.setenv("REPLIB_DATA", MIRROR)
    assert fetch(name).downloaded == 0
