"""The criterion algebra and its promises."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replib.claims import Claim, Verdict, above, below, between, conjunction, equals, final_verdict, named, reported
from replib.estimate import Estimate

R, N, I, T = Verdict.REPLICATED, Verdict.NOT_REPLICATED, Verdict.INCONCLUSIVE, Verdict.NOT_TESTED  # noqa: E741


def of(low, value, high):
    return Estimate(value, low, high, 8, "test")


@pytest.mark.parametrize(
    ("criterion", "interval", "verdict"),
    [
        (above(1), (1.1, 2, 3), R),
        (above(1), (0.5, 2, 3), I),
        (above(1), (-1, 0, 1), N),
        (above(3, clear_of=1.5), (1.6, 4, 9), R),
        (above(3, clear_of=1.5), (1.4, 4, 9), I),
        (above(3, clear_of=1.5), (1.6, 2.5, 9), I),
        (above(3, clear_of=1.5), (1.6, 2, 2.9), N),
        (below(1), (-1, 0, 0.5), R),
        (below(1), (0, 0.5, 2), I),
        (below(1), (1, 2, 3), N),
        (between(0, 1), (0.1, 0.5, 0.9), R),
        (between(0, 1), (-1, 0.5, 2), I),
        (between(0, 1), (2, 3, 4), N),
        (equals(2, within=0.1), (1.95, 2, 2.05), R),
        (equals(2, within=0.1), (2.2, 2.3, 2.4), N),
        (reported(), (0, 1, 2), R),
    ],
)
def test_verdicts(criterion, interval, verdict):
    assert criterion.judge(of(*interval)) is verdict


finite = st.floats(-100, 100)
criteria = st.one_of(
    st.builds(above, finite),
    st.builds(below, finite),
    st.builds(lambda b, d: above(b, clear_of=b - d), finite, st.floats(0, 10)),
    st.builds(lambda b, d: below(b, clear_of=b + d), finite, st.floats(0, 10)),
    st.builds(lambda b, d: between(b, b + d), finite, st.floats(0.1, 10)),
)
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
    assert order[above(bound).judge(moved)] >= order[above(bound).judge(of(*interval))]
    assert order[below(bound).judge(moved)] <= order[below(bound).judge(of(*interval))]


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
    assert str(criterion) != str(reported())


@pytest.mark.parametrize(
    "make",
    [lambda: above(math.nan), lambda: between(2, 1), lambda: equals(1, within=0), lambda: above(1, clear_of=2)],
)
def test_impossible_criteria(make):
    with pytest.raises(ValueError, match="criterion|margin|bound"):
        make()


def test_a_claim_needs_a_criterion_that_can_fail():
    with pytest.raises(ValueError, match="can fail"):
        named({"only shown": reported()})


def claim(criterion, interval=None, **options):
    c = Claim("x", "statement", named(criterion), **options)
    if interval:
        c.estimates = {"": of(*interval)}
    return c


@pytest.mark.parametrize(("control", "verdict"), [((2, 3, 4), R), ((-1, 0, 0.5), I), ((0, 2, 4), I), (None, I)])
def test_a_control_that_does_not_hold_leaves_the_claim_open(control, verdict):
    guard = claim(above(1), control)
    result, reason = final_verdict(claim(above(1), (2, 3, 4), needs=("guard",)), {"guard": guard})
    assert result is verdict
    assert (verdict is R) == (reason == "")
    if verdict is I:
        assert "guard" in reason
        assert "replicated" in reason


def test_not_tested_stays_not_tested_whatever_the_controls():
    untested = claim(above(1), needs=("guard",), reason="no GPU")
    assert final_verdict(untested, {"guard": claim(above(1), (0, 0.5, 0.9))}) == (T, "no GPU")


def test_the_bound_itself_is_outside():
    assert above(1).judge(of(1, 1, 1)) is N
    assert below(1).judge(of(1, 1, 1)) is N
