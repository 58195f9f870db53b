"""What pages are made of: formulas, definitions, standing verdicts, citations, light files."""

import contextlib
import json
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replib.claims import Verdict
from replib.press import catalogue, finish, glossary, ledger, notebooks, page
from replib.press.catalogue import Chapter, standing
from replib.press.layout import BuildError
from replib.press.mathml import NAMESPACE, MathError, mathml
from replib.press.outcome import Outcome
from replib.record import Provenance

from tests.unit.checkouts import BIBTEX, SLUG, publish


def said(tex):
    """The characters of a formula in reading order."""
    return "".join(ElementTree.fromstring(mathml(tex)).itertext())


# --- formulas


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"\alpha + \beta^2", "α+β2"),
        (r"\frac{a}{b}", "ab"),
        (r"\langle x, z\rangle", "⟨x,z⟩"),
        (r"\{1, \dots, n\}", "{1,…,n}"),
        (r"\sum_{i=1}^n \sqrt{x_i}", "∑i=1nxi"),
    ],
)
def test_a_formula_says_what_it_says(tex, text):
    assert said(tex) == text


def test_a_formula_is_in_the_namespace_of_mathml_and_knows_its_display():
    for display, word in ((False, "inline"), (True, "block")):
        root = ElementTree.fromstring(mathml("x", display=display))
        assert root.tag == f"{{{NAMESPACE}}}math"
        assert root.get("display") == word


def forms(tex, sign):
    return [e.get("form") for e in ElementTree.fromstring(mathml(tex)).iter() if e.text == sign]


@pytest.mark.parametrize(
    ("tex", "expected"),
    [("-x", ["prefix"]), ("a-b", [None]), ("(-a)-b", ["prefix", None]), ("a=-b", ["prefix"]), ("[0]-1", [None])],
)
def test_a_minus_is_a_sign_or_a_difference(tex, expected):
    assert forms(tex, "−") == expected


def test_bars_enclose_in_pairs_and_a_single_one_divides():
    assert forms("|x||z|", "|") == ["prefix", "postfix"] * 2
    assert forms("p(x|y)", "|") == [None]


@pytest.mark.parametrize(("tex", "spaces"), [(r"\sin x", 1), (r"\sin(x)", 0), (r"2\cos x", 2), (r"x + \log y", 1)])
def test_thin_spaces_stand_around_the_names_of_functions(tex, spaces):
    root = ElementTree.fromstring(mathml(tex))
    assert sum(e.get("width") == "0.167em" for e in root.iter(f"{{{NAMESPACE}}}mspace")) == spaces


@pytest.mark.parametrize("tex", [r"\nonsense x", r"\frac{a", "x^", r"\left( x", "}", r"\begin{cases} a"])
def test_a_faulty_formula_is_an_error_that_shows_it(tex):
    with pytest.raises(MathError, match=re.escape(tex)):
        mathml(tex)


@given(st.text(alphabet="ab12+-=(){}^_|\\ ", max_size=12))
def test_no_text_does_worse_than_an_error(tex):
    with contextlib.suppress(MathError):
        ElementTree.fromstring(mathml(tex))


# --- definitions

TERMS = glossary.read(
    "# G\n\n```{glossary}\ntangent kernel\nNTK\n  A *kernel*\n  of gradients.\n\nseed\n  A start.\n```\n"
)


def test_the_glossary_is_read_with_synonyms():
    assert [t.names for t in TERMS] == [("tangent kernel", "NTK"), ("seed",)]
    assert TERMS[0].definition == "A *kernel* of gradients."
    assert TERMS[0].plain == "A kernel of gradients."
    assert TERMS[0].anchor == "tangent-kernel"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the Tangent kernels of", "Tangent kernels"),
        ("an NTK is", "NTK"),
        ("tangent\nkernel", "tangent\nkernel"),
        ("tangent-kernel", None),
        ("seedling", None),
        ("non-seed", None),
    ],
)
def test_a_term_is_found_as_whole_words(text, found):
    hits = [f for f in (t.find(text) for t in TERMS) if f]
    assert [text[f.start : f.end] for f in hits] == ([found] if found else [])


@pytest.mark.parametrize("text", ["no glossary", "```{glossary}\nseed\n```\n", "```{glossary}\n  only a text\n```\n"])
def test_a_faulty_glossary(text):
    with pytest.raises(BuildError, match=r"book/glossary\.md"):
        glossary.read(text)


# --- standing


def claim(record, verdict):
    return record.claims[0].model_copy(update={"verdict": verdict})


YES, NO, OPEN, UNTESTED = Verdict.REPLICATED, Verdict.NOT_REPLICATED, Verdict.INCONCLUSIVE, Verdict.NOT_TESTED


@pytest.mark.parametrize(
    ("quick", "paper", "expected"),
    [
        (YES, None, YES), (NO, None, NO), (UNTESTED, None, UNTESTED),
        (YES, YES, YES), (YES, NO, NO), (NO, YES, YES), (UNTESTED, YES, YES),
        (YES, OPEN, YES), (NO, OPEN, NO), (OPEN, OPEN, OPEN), (UNTESTED, OPEN, OPEN),
        (YES, UNTESTED, YES), (OPEN, UNTESTED, OPEN), (UNTESTED, UNTESTED, UNTESTED),
    ],
)  # fmt: skip
def test_a_run_at_the_papers_sizes_outranks_a_quick_one_where_it_decides(record, quick, paper, expected):
    mate = None if paper is None else claim(record, paper)
    assert standing(claim(record, quick), mate) is expected


@pytest.fixture
def run(checkout, record):
    """The chapter of the small checkout, run in quick."""
    publish(checkout, record)
    return catalogue.read(checkout)[0]


def with_verdicts(run, *verdicts):
    record = run.quick
    claims = [claim(record, v).model_copy(update={"id": f"c{k}"}) for k, v in enumerate(verdicts)]
    result = Outcome(run.result.status, record.model_copy(update={"claims": claims}))
    return Chapter(**{**vars(run), "result": result})


@pytest.mark.parametrize(
    ("verdicts", "mark"),
    [
        ((YES, OPEN), "[Re]"),
        ((YES, NO), "[¬Re]"),
        ((NO,), "[¬Re]"),
        ((OPEN, UNTESTED), "[?Re]"),
        ((UNTESTED,), "[?Re]"),
    ],
)
def test_the_mark_in_a_title_is_computed(run, verdicts, mark):
    assert with_verdicts(run, *verdicts).mark == mark


def test_a_chapter_knows_its_paper(run):
    assert (run.year, run.authors, run.caption) == ("2024", "Author et al. 2024", "A part")
    assert run.bibtex.startswith(f"@article{{{SLUG},")


def test_what_toc_or_bibliography_lack_is_named(checkout, record):
    publish(checkout, record)
    (checkout.root / "references.bib").write_text("")
    with pytest.raises(BuildError, match=rf"references.bib has no entry with the key {SLUG}"):
        catalogue.read(checkout)
    (checkout.root / "references.bib").write_text(BIBTEX)
    (checkout.root / "_toc.yml").write_text("parts: []\n")
    with pytest.raises(BuildError, match=rf"_toc.yml does not list {SLUG}"):
        catalogue.read(checkout)


# --- a chapter's page


def of_paper_run(run, source):
    made = Provenance(digest="d", source_sha256=source, modules={}, lock_sha256="l", commit="c")
    paper = run.quick.model_copy(update={"profile": "paper", "provenance": made})
    return Chapter(**{**vars(run), "paper": paper})


def test_results_older_than_the_code_are_marked(run):
    fresh, stale = of_paper_run(run, run.source_sha256), of_paper_run(run, "another")
    for shown in (page._paper_run, lambda run: page.card(run, "")):
        assert "older than the code" not in shown(fresh)
        assert "older than the code" in shown(stale)


def test_the_card_says_what_a_run_costs_before_it_starts(run):
    text = page.card(of_paper_run(run, ""), "")
    for words in ("on one core", "MiB of memory", "no download", "no GPU", "To run at the paper's sizes"):
        assert words in text.replace("&#x27;", "'")
    assert "colab" not in text
    record = run.quick
    gpu = record.model_copy(update={"environment": record.environment.model_copy(update={"gpu": "a GPU"})})
    assert "with a GPU (a GPU)" in page.cost(gpu)
    assert "no GPU" not in page.cost(gpu)


def test_launch_buttons_open_the_published_notebook(run):
    text = page.card(run, "owner/name")
    assert f"https://colab.research.google.com/github/owner/name/blob/notebooks/part/{SLUG}.ipynb" in text
    assert f"https://mybinder.org/v2/gh/owner/name/notebooks?urlpath=lab/tree/part/{SLUG}.ipynb" in text


def test_the_citation_of_a_chapter_is_bibtex(run):
    from pybtex.database import parse_string

    entry = parse_string(page.citation(run, "owner/name"), "bibtex").entries[f"replication_{SLUG}"]
    assert entry.fields["title"].startswith("{[Re]") or entry.fields["title"].startswith("[Re]")
    assert entry.fields["url"] == f"https://owner.github.io/name/part/{SLUG}.html"


def test_history_outside_git_is_empty(checkout):
    assert page.history(checkout, SLUG) == []
    assert "no version history" in page._history(checkout, SLUG)


def test_a_story_of_unknown_chapters(checkout):
    (checkout.root / "book").mkdir()
    (checkout.root / "book" / "stories.yml").write_text("- title: T\n  steps:\n  - {chapter: nobody, says: x}\n")
    with pytest.raises(BuildError, match=r"stories.yml names chapters that do not exist: nobody"):
        page.stories(checkout)


def test_text_of_records_is_never_markup(run):
    evil = "<script>alert(1)</script>"
    claims = [c.model_copy(update={"statement": evil, "paper": evil, "reason": evil}) for c in run.quick.claims]
    result = Outcome(run.result.status, run.quick.model_copy(update={"claims": claims}))
    bad = Chapter(**{**vars(run), "result": result, "title": evil})
    for text in (ledger.glance([bad]), ledger.table([bad]), page.card(bad, ""), page.failure(bad)[10:]):
        assert evil not in text.replace(f"# {evil}", "")


# --- the finished files


def finished(tmp_path, *pages):
    static = tmp_path / "_static" / "styles"
    static.mkdir(parents=True)
    (static / "a.css").write_text('p { background: url("../x.png"); src: url(data:abc) }')
    (static.parent / "b.css").write_text("q {}")
    (static.parent / "one.js").write_text("let one = 1")
    (static.parent / "two.js").write_text("(() => {})()")
    for name, text in pages:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    finish.finish(tmp_path)
    return [(tmp_path / name).read_text() for name, _ in pages]


def head(up, *, search=False):
    return (
        f'<link rel="stylesheet" type="text/css" href="{up}_static/styles/a.css?v=1" />\n'
        f'<link rel="stylesheet" type="text/css" href="{up}_static/b.css" />\n'
        f'<script src="{up}_static/one.js?v=2"></script>\n<script defer="defer" src="{up}_static/two.js"></script>'
        + f'<script src="{up}_static/searchtools.js"></script>'
        * search
    )


def test_style_sheets_and_scripts_become_one_of_each(tmp_path):
    first, second, search = finished(
        tmp_path, ("i.html", head("")), ("d/j.html", head("../")), ("s.html", head("", search=True))
    )
    for text, up in ((first, ""), (second, "../")):
        assert text.count("<link") == text.count("<script") == 1
        assert re.search(rf'<script defer src="{re.escape(up)}_static/site-\w+\.js\?v=\w+"', text)
    assert search.count("<link") == 1
    assert search.count("<script") == 3
    style = next((tmp_path / "_static").glob("site-*.css")).read_text()
    assert "url(data:abc)" in style
    assert 'url("styles/../x.png")' in style
    script = next((tmp_path / "_static").glob("site-*.js")).read_text()
    assert script.index("let one") < script.index("(() =>")
    assert re.search(r"let one = 1\s*;", script)


def test_finishing_twice_changes_nothing_and_a_changed_file_gets_through(tmp_path):
    (text,) = finished(tmp_path, ("i.html", head("")))
    finish.finish(tmp_path)
    assert (tmp_path / "i.html").read_text() == text
    (tmp_path / "_static" / "two.js").write_text("changed")
    finish.finish(tmp_path)
    assert (tmp_path / "i.html").read_text() != text
    assert "changed" in next((tmp_path / "_static").glob("site-*.js")).read_text()


@pytest.mark.parametrize(("theirs", "ours"), finish._REPAIRS)
def test_repairs_are_made_once(tmp_path, theirs, ours):
    (text,) = finished(tmp_path, ("i.html", f"<body>{theirs}</body>"))
    assert text == f"<body>{ours}</body>"
    finish.finish(tmp_path)
    assert (tmp_path / "i.html").read_text() == text


def test_the_first_cell_of_a_published_notebook_names_commit_and_repository(checkout, root):
    from replib.press.layout import Layout

    cell = notebooks.setup_cell(Layout(root), "owner/name")
    assert json.dumps(cell)
    assert re.search(r"github\.com/owner/name@[0-9a-f]{40}", cell["source"]) or "ModuleNotFoundError" in cell["source"]
    assert "ModuleNotFoundError" in notebooks.setup_cell(checkout, "owner/name")["source"]  # no commit to install
