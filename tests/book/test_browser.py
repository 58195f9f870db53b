"""The built site as a reader's browser shows it.

Needs Chromium or Chrome on the PATH; without one these tests are skipped, unless the environment
variable REPLIB_BROWSER is ``required``, as it is in CI.
"""

import json
import os
import threading
from collections import Counter
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright
from replib.press.layout import Layout

from tests.conftest import ROOT
from tools import serve

LAYOUT = Layout(ROOT)
HTML = LAYOUT.html
PAGES = sorted(str(p.relative_to(HTML)) for p in HTML.rglob("*.html") if "_static" not in p.parts)
CHAPTERS = {slug: f"{LAYOUT.part(slug)}/{slug}.html" for slug in LAYOUT.chapters}
HEAVIEST = max(CHAPTERS.values(), key=lambda path: (HTML / path).stat().st_size if (HTML / path).exists() else 0)
BROWSER = serve.browser()
REQUIRED = os.environ.get("REPLIB_BROWSER") == "required"

pytestmark = pytest.mark.skipif(
    BROWSER is None and not REQUIRED,
    reason=f"no browser found: install one of {', '.join(serve.BROWSERS)} to run these tests",
)


@pytest.fixture(scope="module")
def site():
    """The address of the site on a server of its own, compressed as a web host would."""
    running = serve.server(0, HTML)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    running.server_close()


@pytest.fixture(scope="module")
def browser():
    assert BROWSER, "REPLIB_BROWSER asks for a browser and there is none"
    with sync_playwright() as play:
        launched = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser, site):
    """A function that opens a page and remembers what went wrong and what was asked for."""
    contexts = []

    def opened(path, *, width=1440, height=900, scheme="light", base=None, **options):
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce", **options
        )
        contexts.append(context)
        page = context.new_page()
        page.problems, page.asked, page.bytes = [], [], Counter()
        page.on("console", lambda m: page.problems.append(m.text) if m.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("requestfinished", lambda r: page.bytes.update([r.url] * r.sizes()["responseBodySize"]))
        page.goto(f"{base or site}/{path}", wait_until="load")
        return page

    yield opened
    for context in contexts:
        context.close()


def rows(page):
    return page.locator("#ledger-table tbody tr:visible")


def claims(profile="quick"):
    found = json.loads((HTML / "claims.json").read_text(encoding="utf-8"))["claims"]
    return [c for c in found if c["profile"] == profile]


# --- every page


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (375, "dark")])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_quiet_self_contained_fits_and_is_accessible(open_page, site, path, width, scheme):
    page = open_page(path, width=width, scheme=scheme)
    host = urlsplit(site).netloc
    assert [url for url in page.asked if urlsplit(url).netloc != host] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # what is out of view is not laid out, and so not looked at
    page.add_style_tag(content="* { content-visibility: visible !important; }")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # ten thousand elements of code and drawings are alike in all chapters: the heaviest stands for the others there
    if path in CHAPTERS.values() and path != HEAVIEST:
        found = Axe().run(page, {"exclude": [[".highlight"], ["svg"]]}).response["violations"] if width < 1000 else []
    else:
        found = Axe().run(page).response["violations"]
    summary = [f"{v['id']}: {v['help']}, at {v['nodes'][0]['target']} and {len(v['nodes']) - 1} more" for v in found]
    assert summary == []
    assert page.problems == []


@pytest.mark.parametrize("path", PAGES)
def test_a_page_transfers_at_most_a_megabyte(open_page, path):
    page = open_page(path)
    page.wait_for_load_state("networkidle")
    assert sum(page.bytes.values()) <= 1_000_000, dict(page.bytes)


@pytest.mark.parametrize("path", ["index.html", "ledger.html", "search.html?q=kernel", *list(CHAPTERS.values())[:1]])
def test_a_page_works_from_a_folder_too(open_page, path):
    page = open_page(path, base=HTML.as_uri())
    page.wait_for_load_state("networkidle")
    assert page.problems == []
    if "search" in path:
        page.locator(".claim-hits a").first.wait_for()


@pytest.mark.parametrize("path", PAGES)
def test_the_dark_page_is_dark(open_page, path):
    shade = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0)"
    assert open_page(path, scheme="dark").evaluate(shade) < 150
    assert open_page(path, scheme="light").evaluate(shade) > 700


def test_the_theme_can_be_switched_and_stays(open_page, site):
    page = open_page("index.html")
    shades = set()
    for _ in range(3):
        page.locator(".theme-toggle:visible").first.click()
        shades.add(page.evaluate("getComputedStyle(document.querySelector('.verdict')).backgroundColor"))
    assert len(shades) == 2
    mode = page.evaluate("document.body.dataset.theme")
    page.goto(f"{site}/ledger.html")
    assert page.evaluate("document.body.dataset.theme") == mode


# --- landing page and ledger


def test_the_landing_page_answers_at_once(open_page):
    page = open_page("index.html", height=900)
    text = page.locator(".overview").inner_text()
    assert f"{len(CHAPTERS)} papers, {len(claims())} claims" in text
    assert page.locator(".overview").bounding_box()["y"] + page.locator(".overview").bounding_box()["height"] < 900
    assert page.get_by_role("heading", name="Where to start").bounding_box()["y"] < 900
    assert page.locator(".glance .tile").count() == len(claims()) + len(claims("paper"))


def test_every_tile_leads_to_its_claim_and_says_its_verdict(open_page, site):
    page = open_page("ledger.html")
    known = {(c["id"], c["link"]): c["verdict"] for c in claims() + claims("paper")}
    tiles = page.locator(".glance .tile").evaluate_all(
        "all => all.map(t => [t.dataset.claim, t.getAttribute('href'), t.getAttribute('aria-label'), t.textContent])"
    )
    assert {(claim, link) for claim, link, *_ in tiles} == known.keys()
    marks = {}
    for claim, link, label, mark in tiles:
        assert label.endswith(known[claim, link])
        marks.setdefault(mark, set()).add(known[claim, link])
    assert all(len(meant) == 1 for meant in marks.values()), "one mark for two verdicts"


@pytest.mark.parametrize("name", ["verdict", "run", "part", "year", "cost"])
def test_each_filter_of_the_ledger_narrows_table_and_picture(open_page, name):
    page = open_page("ledger.html")
    total = rows(page).count()
    assert total == len(claims())
    options = page.locator(f"select[name={name}] option").evaluate_all("all => all.map(o => o.value)")
    narrowed = name == "run"  # every chapter may have both
    for value in options[1:]:
        page.select_option(f"select[name={name}]", value)
        shown = rows(page).evaluate_all("all => all.map(r => ({...r.dataset}))")
        narrowed |= len(shown) < total
        for row in shown:
            if name == "verdict":
                assert value in (row["quick"], row["paper"])
            elif name == "run":
                assert row[value]
            elif name == "cost":
                assert float(row["cost"]) <= float(value)
            else:
                assert row[name] == value
        lit = page.locator(".glance .tile:not(.faded)").evaluate_all("all => all.map(t => t.dataset.claim)")
        assert set(lit) == {row["claim"] for row in shown}
        assert page.locator("#ledger-filters output").inner_text() == f"{len(shown)} of {total} claims"
    assert narrowed
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function(f"document.querySelectorAll('#ledger-table tbody tr:not([hidden])').length === {total}")


def test_filters_combine_and_the_text_search_finds_words(open_page):
    page = open_page("ledger.html")
    page.select_option("select[name=run]", "paper")
    page.select_option("select[name=verdict]", "inconclusive")
    expected = [c for c in claims("paper") if c["verdict"] == "inconclusive"]
    assert rows(page).count() == len(expected)
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("searchbox", name="Search").fill("  Hadamard ")
    titled = [c for c in claims() if "hadamard" in c["title"].lower()]
    assert rows(page).count() == len(titled) > 0
    page.get_by_role("searchbox", name="Search").fill("no such words anywhere")
    assert rows(page).count() == 0


def test_columns_sort_both_ways_and_by_number(open_page):
    page = open_page("ledger.html")
    heads = page.locator("#ledger-table thead th")
    for label in ("Claim", "Core-seconds"):
        column = heads.all_inner_texts().index(label)
        cells = f"#ledger-table tbody tr td:nth-child({column + 1})"
        texts = []
        for state in ("ascending", "descending"):
            page.get_by_role("button", name=label, exact=True).click()
            assert heads.nth(column).get_attribute("aria-sort") == state
            texts.append(page.locator(cells).all_inner_texts())
        if label == "Core-seconds":
            numbers = [float(t) for t in texts[0]]
            assert numbers == sorted(numbers)
            assert [float(t) for t in texts[1]] == sorted(numbers, reverse=True)
        assert texts[0] != texts[1]
        assert sorted(texts[0]) == sorted(texts[1])


def test_the_ledger_by_keyboard_alone(open_page):
    page = open_page("ledger.html")

    def tab_to(selector):
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        pytest.fail(f"the tabulator key does not reach {selector}")

    tab_to("select[name=verdict]")
    page.keyboard.type("not rep")
    assert set(rows(page).evaluate_all("all => all.flatMap(r => [r.dataset.quick, r.dataset.paper])")) & {
        "not replicated"
    }
    assert rows(page).count() < len(claims())
    tab_to("input[name=search]")
    page.keyboard.type("zzz")
    assert rows(page).count() == 0
    tab_to("button[type=reset]")
    page.keyboard.press("Enter")
    page.wait_for_function("!document.querySelector('#ledger-table tbody tr[hidden]')")
    tab_to("a.to-table")  # past the squares, of which there are many
    page.keyboard.press("Enter")
    tab_to("#ledger-table thead button")
    page.keyboard.press("Enter")
    assert page.locator("#ledger-table th[aria-sort=ascending]").count() == 1


def test_without_scripts_the_ledger_is_a_plain_table(open_page):
    page = open_page("ledger.html", java_script_enabled=False)
    assert rows(page).count() == len(claims())
    assert not page.locator("#ledger-filters").is_visible()
    page = open_page(next(iter(CHAPTERS.values())), java_script_enabled=False)
    assert page.locator("figure.replib svg").first.is_visible()
    assert page.locator("math").first.is_visible()
    assert page.locator("button.explore:visible").count() == 0


# --- chapters


@pytest.mark.parametrize("path", CHAPTERS.values())
def test_a_permalink_shows_its_claim(open_page, path):
    there = [c["link"].partition("#")[2] for c in claims() + claims("paper") if c["page"] == path]
    page = open_page(f"{path}#{there[-1]}")  # opened with it, then followed within the page
    for name in [there[-1], *there]:
        page.evaluate("name => { location.hash = name }", name)
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert -1 <= page.locator(":target").bounding_box()["y"] < 900, name
        assert page.locator(":target th a").get_attribute("href") == f"#{name}"


@pytest.mark.parametrize("path", CHAPTERS.values())
def test_a_figures_data_can_be_explored(open_page, path):
    page = open_page(path)
    buttons = page.locator("button.explore")
    assert buttons.count() >= 1
    assert not [url for url in page.asked if "uPlot" in url]
    button = buttons.first
    button.scroll_into_view_if_needed()
    button.click()
    figure = page.locator("figure.replib", has=button)
    figure.locator(".explorer canvas").wait_for()
    assert button.get_attribute("aria-expanded") == "true"
    read = ".explorer-legend output"
    before = figure.locator(read).all_inner_texts()
    figure.locator(".explorer input[type=range]").focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    after = figure.locator(read).all_inner_texts()
    assert before != after
    assert any(any(c.isdigit() for c in text) for text in after)
    choice = figure.locator(".explorer select")
    if choice.count():
        values = choice.locator("option").evaluate_all("all => all.map(o => o.value)")
        choice.select_option(values[-1])
        assert figure.locator(".explorer canvas").count() == 1
    figure.get_by_role("checkbox").first.click()
    found = Axe().run(page, ".explorer").response["violations"]
    assert [v["id"] for v in found] == []
    button.click()
    assert not figure.locator(".explorer").is_visible()
    assert page.problems == []


def test_a_term_shows_its_definition_to_pointer_and_keyboard(open_page):
    page = open_page(next(iter(CHAPTERS.values())))
    term = page.locator("a.term").first
    shown = "(e) => getComputedStyle(e, '::after').content"
    assert term.evaluate(shown) == "none"
    term.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    assert term.get_attribute("data-definition")[:20] in term.evaluate(shown)
    page.keyboard.press("Shift+Tab")
    term.hover()
    assert term.get_attribute("data-definition")[:20] in term.evaluate(shown)
    term.click()
    page.wait_for_url("**/glossary.html#term-*")
    assert page.locator(":target").count() == 1


def test_code_can_be_copied_and_the_citation_too(open_page):
    page = open_page(next(iter(CHAPTERS.values())), permissions=["clipboard-read", "clipboard-write"])
    block = page.locator("#cite div.highlight").last
    block.hover()
    block.locator("button.copybtn").click()
    assert page.evaluate("navigator.clipboard.readText()").startswith("@incollection{replication_")


# --- search


def test_search_finds_claims_and_pages(open_page):
    page = open_page("index.html")
    page.locator("input[name=q]:visible").fill("wide kernel")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=wide+kernel*")
    hits = page.locator(".claim-hits li")
    hits.first.wait_for()
    for text in hits.all_inner_texts():
        assert "kernel" in text.lower() or "wide" in text.lower()
    page.locator("#search-results ul.search li").first.wait_for()
    hits.first.locator("a").click()
    page.wait_for_url("**#claim-*")
    assert page.locator(":target").count() == 1


def test_search_text_is_never_markup(open_page):
    page = open_page("search.html?q=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E")
    page.wait_for_timeout(300)
    assert page.locator("img[src=x]").count() == 0
