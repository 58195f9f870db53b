"""The criterion algebra and its promises."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replib.claims import Claim, Criterion, Quantity, Verdict, conjunction, final_verdict
from replib.estimate import Estimate

R, N, I, T = Verdict.REPLICATED, Verdict.NOT_REPLICATED, Verdict.INCONCLUSIVE, Verdict.NOT_TESTED  # noqa: E741


def parse(text):
    return Criterion.parse(text)


def of(low, value, high):
    return Estimate(value, low, high, 8, "test")


@pytest.mark.parametrize(
    ("criterion", "interval", "verdict"),
    [
        ("> 1", (1.1, 2, 3), R),
        ("> 1", (0.5, 2, 3), I),
        ("> 1", (-1, 0, 1), N),
        ("> 3, interval above 1.5", (1.6, 4, 9), R),
        ("> 3, interval above 1.5", (1.4, 4, 9), I),
        ("> 3, interval above 1.5", (1.6, 2.5, 9), I),
        ("> 3, interval above 1.5", (1.6, 2, 2.9), N),
        ("< 1", (-1, 0, 0.5), R),
        ("< 1", (0, 0.5, 2), I),
        ("< 1", (1, 2, 3), N),
        ("in (0, 1)", (0.1, 0.5, 0.9), R),
        ("in (0, 1)", (-1, 0.5, 2), I),
        ("in (0, 1)", (2, 3, 4), N),
        ("= 2 ± 0.1", (1.95, 2, 2.05), R),
        ("= 2 ± 0.1", (2.2, 2.3, 2.4), N),
        ("reported", (0, 1, 2), R),
    ],
)
def test_verdicts(criterion, interval, verdict):
    assert parse(criterion).judge(of(*interval)) is verdict


finite = st.floats(-100, 100)
criteria = st.one_of(
    finite.map(lambda b: f"> {b!r}"),
    finite.map(lambda b: f"< {b!r}"),
    st.tuples(finite, st.floats(0, 10)).map(lambda p: f"> {p[0]!r}, interval above {p[0] - p[1]!r}"),
    st.tuples(finite, st.floats(0, 10)).map(lambda p: f"< {p[0]!r}, interval below {p[0] + p[1]!r}"),
    st.tuples(finite, st.floats(0.1, 10)).map(lambda p: f"in ({p[0]!r}, {p[0] + p[1]!r})"),
).map(parse)
intervals = st.tuples(finite, finite, finite).map(sorted)


@given(criteria, intervals, st.floats(0, 50), st.floats(0, 50))
def test_widening_never_turns_doubt_into_a_verdict(criterion, interval, left, right):
    low, value, high = interval
    wide = criterion.judge(of(low - left, value, high + right))
    if wide is not I:
        assert criterion.judge(of(low, value, high)) is wide


@given(finite, intervals, st.floats(0, 50))
def test_verdicts_are_monotone_in_the_estimate(bound, interval, shift):
    order = {N: 0, I: 1, R: 2}
    low, value, high = interval
    moved = of(low + shift, value + shift, high + shift)
    assert order[parse(f"> {bound!r}").judge(moved)] >= order[parse(f"> {bound!r}").judge(of(*interval))]
    assert order[parse(f"< {bound!r}").judge(moved)] <= order[parse(f"< {bound!r}").judge(of(*interval))]


@given(criteria, intervals, st.sampled_from(["low", "value", "high", "all"]))
def test_nan_is_never_replicated(criterion, interval, where):
    numbers = dict(zip(("low", "value", "high"), interval, strict=True))
    for name in numbers if where == "all" else [where]:
        numbers[name] = math.nan
    assert criterion.judge(Estimate(**numbers, n=3, method="test")) is I


@given(st.lists(st.sampled_from([R, N, I]), min_size=1))
def test_conjunction_is_the_weakest(verdicts):
    assert conjunction(verdicts) is min(verdicts, key=[N, I, R].index)


@given(criteria, intervals)
def test_a_criterion_and_its_plain_text_agree_on_what_is_judged(criterion, interval):
    assert criterion.judges
    assert str(criterion) != str(parse("reported"))


@pytest.mark.parametrize("text", ["in (2, 1)", "= 1 ± 0", "> 1, interval above 2", "< 1, interval below 0"])
def test_impossible_criteria(text):
    with pytest.raises(ValueError, match=f"criterion {re.escape(repr(text))} cannot hold"):
        parse(text)


@pytest.mark.parametrize(
    "text", ["> abc", "", "0.9", ">= 1", "> nan", "> 1 < 2", "in 1, 2", "= 3", "> 1, interval below 2"]
)
def test_what_is_no_criterion_is_quoted_with_what_is_one(text):
    with pytest.raises(ValueError, match=f"{re.escape(repr(text))} is no criterion: write '> 0.9'"):
        parse(text)


def claim(text, interval=None, **options):
    quantity = Quantity("", "", "", parse(text))
    return Claim("x", "statement", (quantity,), estimates={quantity: of(*interval)} if interval else {}, **options)


@pytest.mark.parametrize(("control", "verdict"), [((2, 3, 4), R), ((-1, 0, 0.5), I), ((0, 2, 4), I), (None, I)])
def test_a_control_that_does_not_hold_leaves_the_claim_open(control, verdict):
    guard = claim("> 1", control)
    result, reason = final_verdict(claim("> 1", (2, 3, 4), needs=("guard",)), {"guard": guard})
    assert result is verdict
    assert (verdict is R) == (reason == "")
    if verdict is I:
        assert "guard" in reason
        assert "replicated" in reason


def test_not_tested_stays_not_tested_whatever_the_controls():
    untested = claim("> 1", needs=("guard",), reason="no GPU")
    assert final_verdict(untested, {"guard": claim("> 1", (0, 0.5, 0.9))}) == (T, "no GPU")


def test_the_bound_itself_is_outside():
    assert parse("> 1").judge(of(1, 1, 1)) is N
    assert parse("< 1").judge(of(1, 1, 1)) is N
