"""The built site as its readers get it: complete, self-contained, without a trace of a failure."""

import csv
import gzip
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from replib.claims import Verdict
from replib.press import extract
from replib.press.layout import Layout
from replib.record import read

from tests.conftest import ROOT

LAYOUT = Layout(ROOT)
PAGES = sorted(LAYOUT.html.rglob("*.html"))


class Page(HTMLParser):
    """Links, fetched resources, ids, images without alternative text."""

    def __init__(self, path):
        super().__init__()
        self.links, self.fetched, self.ids, self.mute = [], [], [], []
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in {"script", "img", "iframe", "source", "video", "audio", "embed"} and given.get("src"):
            self.fetched.append(given["src"])
        if tag == "link" and given.get("href") and given.get("rel") not in {"canonical", "search", "next", "prev"}:
            self.fetched.append(given["href"])
        if (tag == "img" and not given.get("alt")) or (
            tag == "svg" and given.get("role") == "img" and not given.get("aria-label")
        ):
            self.mute.append(tag)


@pytest.fixture(scope="module")
def pages():
    return {p: Page(p) for p in PAGES}


def test_every_page_of_the_contents_is_there():
    names = {str(p.relative_to(LAYOUT.html)) for p in PAGES}
    expected = {f"{p.stem}.html" for p in (ROOT / "book").glob("*.md")}
    expected |= {f"{LAYOUT.part(s)}/{s}.html" for s in LAYOUT.chapters}
    assert expected <= names


def test_no_page_asks_another_host_for_anything(pages):
    for path, page in pages.items():
        foreign = [url for url in page.fetched if urlsplit(url).netloc]
        assert not foreign, f"{path.name}: {foreign}"
        inline = " ".join(re.findall(r"<style.*?</style>", page.text, re.DOTALL))
        assert not re.search(r"url\(['\"]?https?:|@import", inline), path.name
    for sheet in LAYOUT.html.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"url\(['\"]?(https?:)?//|@import\s+['\"]?(url\()?['\"]?https?:", text), sheet.name


def test_every_internal_link_and_resource_exists(pages):
    for path, page in pages.items():
        for url in (*page.links, *page.fetched):
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), f"{path.name} links to {url}"
            if parts.fragment and target.suffix == ".html":
                assert unquote(parts.fragment) in pages[target].ids, f"{path.name} links to {url}"


def test_ids_are_unique_and_pictures_say_what_they_show(pages):
    for path, page in pages.items():
        repeated = {i for i in page.ids if page.ids.count(i) > 1}
        assert not {i for i in repeated if i.startswith(("claim-", "figure-", "paper-"))}, path.name
        assert not page.mute, path.name


def test_no_page_holds_a_traceback(pages):
    for path, page in pages.items():
        assert "Traceback (most recent call last)" not in page.text, path.name
        assert "did not finish" not in page.text, path.name
        assert "<!-- replib:" not in page.text, path.name
        assert "site-packages" not in page.text, f"{path.name} shows a warning with a path of this machine"


@pytest.mark.parametrize("slug", LAYOUT.chapters)
def test_a_chapter_page_has_card_verdicts_figures_and_provenance(pages, slug):
    page = pages[LAYOUT.html / LAYOUT.part(slug) / f"{slug}.html"]
    record = read(LAYOUT.published(slug, "quick"))
    assert 'class="card-run"' in page.text
    assert {f"claim-{c.id}" for c in (*record.claims, *record.controls)} <= set(page.ids)
    figures = extract.figures(extract.read_notebook(LAYOUT.executed(slug, "quick")))
    assert figures
    assert {f"figure-{f['number']}" for f in figures} <= set(page.ids)
    for text in ("Run it yourself", "Cite", "Provenance", "History", "References", record.environment.cpu):
        assert text in page.text
    assert re.search(r"<h1>\[[?¬]?Re\] ", page.text)
    assert f"@incollection{{replication_{slug}," in re.sub("<[^>]+>", "", page.text)
    assert page.text.count('name="description"') == 1
    assert "tex-chtml" not in page.text
    assert "<math " in page.text
    assert "injected-parameters" not in page.text


@pytest.mark.parametrize("slug", LAYOUT.chapters)
def test_downloads_are_what_they_say(slug):
    folder = LAYOUT.html / "downloads"
    assert (folder / f"{slug}.py").read_bytes() == LAYOUT.chapter(slug).read_bytes()
    offered = extract.read_notebook(folder / f"{slug}.ipynb")
    assert offered["cells"][0]["id"] == extract.SETUP_ID
    assert offered["cells"][1:] == extract.read_notebook(LAYOUT.executed(slug, "quick"))["cells"]
    assert extract.load(folder / f"{slug}.ipynb") == extract.load(LAYOUT.executed(slug, "quick"))
    assert read(folder / f"{slug}.quick.json").slug == slug
    for figure in extract.figures(extract.read_notebook(folder / f"{slug}.ipynb")):
        text = (folder / f"{slug}-figure-{figure['number']}.csv").read_text(encoding="utf-8")
        rows = list(csv.reader(text.splitlines()))
        assert rows[0] == list(figure["columns"])
        assert len(rows) - 1 == len(next(iter(figure["columns"].values())))


def test_claims_json_and_the_ledger_hold_every_claim(pages):
    rows = json.loads((LAYOUT.html / "claims.json").read_text())["claims"]
    expected = {(s, c.id) for s in LAYOUT.chapters for c in read(LAYOUT.published(s, "quick")).claims}
    assert {(r["chapter"], r["claim"]) for r in rows if r["profile"] == "quick"} == expected
    for row in rows:
        target, _, fragment = row["link"].partition("#")
        assert fragment in pages[LAYOUT.html / target].ids
        assert row["statement"].split("'")[0] in pages[LAYOUT.html / "ledger.html"].text


def test_csv_holds_what_claims_json_holds():
    rows = json.loads((LAYOUT.html / "claims.json").read_text())["claims"]
    with (LAYOUT.html / "claims.csv").open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    assert {(r["id"], r["profile"], r["verdict"]) for r in table} == {
        (r["id"], r["profile"], r["verdict"]) for r in rows
    }
    assert sum(bool(r["value"]) for r in table) == sum(len(r["quantities"]) for r in rows)
    documented = (LAYOUT.html / "data.html").read_text(encoding="utf-8")
    for key in {*rows[0], *rows[0]["quantities"][0]}:
        assert f">{key}<" in documented, f"data.md does not explain {key}"


@pytest.mark.parametrize("slug", LAYOUT.chapters)
def test_a_badge_says_how_many_claims_replicated(slug):
    record = read(LAYOUT.published(slug, "quick"))
    text = (LAYOUT.html / "badges" / f"{slug}.svg").read_text(encoding="utf-8")
    assert f"replication: {record.counts()[Verdict.REPLICATED]} of " in text


def test_a_page_with_all_it_needs_is_at_most_a_megabyte_compressed(pages):
    for path, page in pages.items():
        needed = {(path.parent / urlsplit(u).path).resolve() for u in page.fetched}
        total = sum(len(gzip.compress(p.read_bytes())) for p in (path, *needed) if p.is_file())
        assert total < 1_000_000, f"{path.name}: {total} bytes"
