"""What a notebook may and may not do, and what it shows."""

import numpy as np
import pytest
import torch
from replib import environment, estimate, render
from replib.chapter import Chapter, ChapterError, begin
from replib.claims import Verdict
from replib.claimsfile import ClaimsError
from replib.figures import Points, table
from replib.record import RECORD_MIME, Record

from tests.conftest import CLAIMS, start

# begin() needs the claims of a chapter that is there
REAL = "fan2021_quadratic"
GOOD = estimate.mean([2.0, 3.0, 4.0])


@pytest.mark.parametrize("profile", ["fast", "", "Quick", None])
def test_unknown_profile(profile):
    with pytest.raises(ChapterError, match="use one of smoke, quick, paper"):
        begin(REAL, profile, 0)


@pytest.mark.parametrize("seed", [-1, 1.5, "0", None, True])
def test_bad_seed(seed):
    with pytest.raises(ChapterError, match="whole number of at least 0"):
        begin(REAL, "quick", seed)


def test_begin_pins_threads_and_asks_for_determinism(deterministic):
    torch.set_num_threads(2)
    begin(REAL, "smoke", 0)
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    assert environment.active_threads() == 1


def test_more_threads_can_be_asked_for_and_are_recorded(monkeypatch, deterministic):
    monkeypatch.setenv("REPLIB_THREADS", "2")
    begin(REAL, "smoke", 0)
    assert torch.get_num_threads() == 2
    monkeypatch.setenv("REPLIB_THREADS", "many")
    with pytest.raises(ValueError, match="unset it"):
        begin(REAL, "smoke", 0)


def test_threads_that_cannot_be_limited_are_an_error(monkeypatch):
    monkeypatch.setattr(environment, "active_threads", lambda: 4)
    with pytest.raises(RuntimeError, match="OMP_NUM_THREADS=1"):
        environment.pin_threads()


def test_seeds_start_at_100_and_the_parameter_moves_them_all(deterministic):
    assert begin(REAL, "quick", 0).seeds(3) == [100, 101, 102]
    assert begin(REAL, "quick", 2).seeds(2) == [2100, 2101]
    with pytest.raises(ChapterError, match="at least one seed"):
        begin(REAL, "quick", 0).seeds(0)


def test_measured_and_never_declared(chapter):
    with pytest.raises(ChapterError, match=r"'c9' was never declared; declared are: c1, guard"):
        chapter.measure("c9", GOOD)


def test_declared_and_never_measured(chapter):
    chapter.measure("c1", GOOD)
    with pytest.raises(ChapterError, match="'guard' was declared and never measured"):
        chapter.report()


def test_measured_twice(chapter):
    chapter.measure("c1", GOOD)
    with pytest.raises(ChapterError, match="'c1' is measured twice"):
        chapter.measure("c1", GOOD)
    with pytest.raises(ChapterError, match="'c1' is measured twice"):
        chapter.not_tested("c1", "changed my mind")


FAMILY = (
    CLAIMS
    + """
[[claim]]
id = "c3"
statement = "several"
paper = "1"
quantities = [
    { id = "slope", name = "slope of the error", criterion = "> 1" },
    { id = "width", each = [32, 0.5, "a, b"], name = "at width {}", criterion = "> 1" },
]
"""
)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"slope": GOOD}, "declared and not measured: width\\[0.5\\], width\\[32\\], width\\[a, b\\]; .* none"),
        ({"slope": GOOD, "width": GOOD}, "not declared: width$"),
        ({"slop": GOOD, "width": {32: GOOD, 0.5: GOOD, ("a", "b"): GOOD}}, "measured: slope; .* declared: slop$"),
    ],
)
def test_other_quantities_than_declared(deterministic, given, message):
    with pytest.raises(ChapterError, match=f"'c3': .*{message}"):
        start(FAMILY).measure("c3", **given)


def test_families_are_measured_by_member_and_kept_in_declared_order(deterministic):
    started = start(FAMILY)
    started.measure("c3", width={("a", "b"): GOOD, 0.5: GOOD, 32: GOOD}, slope=GOOD)
    for name in ("c1", "guard"):
        started.measure(name, GOOD)
    names = [q.name for q in started.record().claims[1].quantities]
    assert names == ["slope of the error", "at width 32", "at width 0.5", "at width a, b"]


def test_what_the_claims_file_leaves_out_is_not_measured(deterministic):
    started = start(CLAIMS.replace('criterion = "> 1"', 'criterion = "> 1"\nnot_tested = { quick = "no GPU" }'))
    with pytest.raises(ChapterError, match=r"'c1' is not tested in quick \(no GPU\)"):
        started.measure("c1", GOOD)
    started.measure("guard", GOOD)
    claim = started.record().claims[0]
    assert (claim.verdict, claim.reason, claim.criteria) == (Verdict.NOT_TESTED, "no GPU", {"": "> 1"})


def test_sizes_are_those_of_quick_with_what_a_profile_says_otherwise(deterministic):
    def sizes(profile):
        made = start(CLAIMS, profile).sizes(
            quick={"fit": {"steps": 10, "rate": 0.1}, "seeds": 5}, smoke={"seeds": 2}, paper={"fit": {"steps": 99}}
        )
        return made.fit, made.seeds

    assert sizes("quick") == ({"steps": 10, "rate": 0.1}, 5)
    assert sizes("smoke") == ({"steps": 10, "rate": 0.1}, 2)
    assert sizes("paper") == ({"steps": 99, "rate": 0.1}, 5)
    with pytest.raises(ChapterError, match="does not have: sweep"):
        start(CLAIMS).sizes(quick={"fit": {}}, smoke={"sweep": {}}, paper={})


def test_a_number_that_is_none(chapter):
    with pytest.raises(ChapterError, match=r"'c1'.*not a finite number.*nan.*none may be dropped"):
        chapter.measure("c1", estimate.mean([1.0, np.nan, 2.0]))


def test_not_tested_needs_a_reason(chapter):
    with pytest.raises(ChapterError, match="say why"):
        chapter.not_tested("c1", " ")


def test_record_holds_what_was_measured(record):
    assert [(c.id, c.verdict) for c in record.claims] == [("c1", Verdict.REPLICATED), ("c2", Verdict.NOT_TESTED)]
    assert record.seeds == [100, 101, 102]
    assert record.claims[0].quantities[0].values == [2.0, 3.0, 4.0]
    assert record.environment.threads == 1
    assert record.cost.peak_mib > 10


def test_a_failed_control_reaches_the_record(chapter):
    chapter.measure("c1", GOOD)
    chapter.measure("guard", GOOD)
    claim = chapter.record().claims[0]
    assert claim.verdict is Verdict.INCONCLUSIVE
    assert "guard" in claim.reason


def test_report_carries_the_record(chapter):
    chapter.measure("c1", GOOD)
    chapter.measure("guard", estimate.mean([0.1, 0.2]))
    bundle = chapter.report()._repr_mimebundle_()
    assert Record.model_validate(bundle[RECORD_MIME]).slug == "author2024_topic"
    assert bundle["text/plain"] == "c1     replicated\nguard  control holds"


def test_plain_lines_hold_no_digits_of_the_measurement(chapter, capsys):
    chapter.measure("c1", GOOD)
    chapter.measure("guard", estimate.mean([0.1, 0.2]))
    chapter.verdicts()
    assert capsys.readouterr().out.splitlines() == ["c1     replicated", "guard  control holds"]


def test_texts_are_escaped_everywhere(deterministic):
    nasty = "<script>alert('x')</script>&"
    number = f'quantities = [{{ id = "q", name = "{nasty}", criterion = "> 0" }}]\nnote = "{nasty}"\n'
    text = f'[[control]]\nid = "guard"\nstatement = "{nasty}"\n{number}'
    for name in ("c1", "c2"):
        text += f'[[claim]]\nid = "{name}"\nstatement = "{nasty}"\npaper = "{nasty}"\nsource = "{nasty}"\n{number}'
    started = start(text)
    declared = started.claims().bundle["text/html"]
    started.measure("guard", q=GOOD)
    started.measure("c1", q=GOOD)
    started.not_tested("c2", nasty)
    record = started.record()
    drawn = started.figure(table(("x", nasty), [(1.0, 2.0)]), Points("x", nasty), caption=nasty, alt=nasty)
    for html in (declared, render.verdict_table(record), drawn.bundle["text/html"]):
        assert "<script" not in html
    assert "&lt;script&gt;" in render.verdict_table(record)


def test_begin_needs_a_slug_with_claims():
    with pytest.raises(ClaimsError, match="a slug is author2024_topic"):
        begin("../etc/passwd", "quick", 0)
    with pytest.raises(ClaimsError, match=r"claims of nobody2024_topic are not here.*nobody2024_topic.toml"):
        begin("nobody2024_topic", "quick", 0)


def test_claims_beside_the_notebook_are_found_outside_a_checkout(tmp_path, monkeypatch, deterministic):
    (tmp_path / "nobody2024_topic.toml").write_text(CLAIMS)
    monkeypatch.chdir(tmp_path)
    assert isinstance(begin("nobody2024_topic", "quick", 0), Chapter)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1.2345, "1.23"), (2e-15, "2.00e-15"), (123456.0, "1.23e+05"), (-0.5, "-0.5"), (0.99987, "0.99987")],
)
def test_numbers_for_people(value, text):
    assert render.number(value) == text
