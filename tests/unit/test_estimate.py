"""Intervals against scipy, closed forms and brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replib import estimate
from scipy import stats

VALUES = np.random.default_rng(1).normal(3.0, 1.0, 40)


def scipy_interval(samples, statistic, paired=False):
    interval = stats.bootstrap(
        samples, statistic, n_resamples=20_000, method="percentile", paired=paired, rng=np.random.default_rng(9)
    ).confidence_interval
    return interval.low, interval.high


def test_mean_agrees_with_scipy_and_with_the_normal_interval():
    e = estimate.mean(VALUES)
    assert e.value == pytest.approx(VALUES.mean())
    assert (e.low, e.high) == pytest.approx(scipy_interval((VALUES,), np.mean), abs=0.03)
    half = 1.96 * VALUES.std() / np.sqrt(len(VALUES))
    assert (e.low, e.high) == pytest.approx((VALUES.mean() - half, VALUES.mean() + half), abs=0.05)


def test_bootstrap_of_three_values_agrees_with_all_27_resamples():
    values = [1.0, 2.0, 6.0]
    everything = np.sort([np.mean(r) for r in itertools.product(values, repeat=3)])
    e = estimate.mean(values)
    # 1/27 is above 2.5 %, so both ends are the extreme resamples
    assert (e.low, e.high) == (everything[0], everything[-1])


def test_equal_values_give_equal_intervals():
    assert estimate.mean(VALUES) == estimate.mean(VALUES)


def test_coverage_of_the_interval_of_a_normal_mean():
    rng = np.random.default_rng(5)
    hits = sum((e := estimate.mean(rng.normal(size=30))).low < 0 < e.high for _ in range(200))
    # percentile intervals are a little short at n = 30; 95 % of 200 is 190
    assert 176 <= hits <= 199


def test_geometric_mean_is_the_exponential_of_the_mean_logarithm():
    e = estimate.geometric_mean(np.exp(VALUES))
    plain = estimate.mean(VALUES)
    assert (e.value, e.low, e.high) == pytest.approx(tuple(np.exp([plain.value, plain.low, plain.high])))


def test_paired_statistics_equal_those_of_the_pairs():
    a, b = np.exp(VALUES), np.exp(VALUES[::-1] / 2)
    difference = estimate.paired_difference(a, b)
    assert (difference.low, difference.high) == pytest.approx(scipy_interval((a - b,), np.mean), rel=0.05)
    ratio = estimate.paired_ratio(a, b)
    assert ratio.value == pytest.approx(stats.gmean(a) / stats.gmean(b))


def test_loglog_slope_recovers_a_power_law_and_agrees_with_linregress():
    x = np.geomspace(1, 100, 12)
    rng = np.random.default_rng(2)
    noisy = 3 * x**-1.7 * np.exp(0.1 * rng.normal(size=(6, 12)))
    e = estimate.loglog_slope(x, noisy)
    expected = [stats.linregress(np.log(x), np.log(row)).slope for row in noisy]
    assert e.values == pytest.approx(expected)
    assert (e.low, e.high) == pytest.approx(scipy_interval((np.array(expected),), np.mean), abs=1e-3)
    exact = estimate.loglog_slope(x, np.stack([x**-1.7] * 2))
    assert exact.value == pytest.approx(-1.7)


def test_spearman_agrees_with_scipy_ties_included():
    rng = np.random.default_rng(3)
    x = rng.integers(0, 8, 60).astype(float)
    y = x + rng.normal(size=60)
    e = estimate.spearman(x, y)
    assert e.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert e.low < e.value < e.high


def test_exact_and_count_have_no_width():
    assert estimate.exact(1e-15, tolerance=1e-12).low == 1e-15
    e = estimate.count([True, True, False, True, True])
    assert (e.value, e.low, e.high, e.n) == (4, 4, 4, 5)


@pytest.mark.parametrize("values", [[], [1.0]])
def test_too_few_replicates(values):
    with pytest.raises(ValueError, match="at least 2 replicates"):
        estimate.mean(values)


def test_bad_values_are_refused():
    with pytest.raises(ValueError, match="positive"):
        estimate.geometric_mean([1.0, 0.0])
    with pytest.raises(ValueError, match="positive"):
        estimate.paired_ratio([1.0, 2.0], [1.0, -1.0])
    with pytest.raises(ValueError, match="equally many"):
        estimate.paired_difference([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="different x"):
        estimate.slope([1.0, 1.0], [[1.0, 2.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match="does not hold"):
        estimate.Estimate(5.0, 0.0, 1.0, 3, "wrong")


def test_a_seed_that_diverged_makes_the_estimate_undefined():
    assert not estimate.mean([1.0, np.nan, 2.0]).finite


@settings(max_examples=60)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_the_value_lies_in_its_interval_and_the_interval_in_the_range(values):
    e = estimate.mean(values)
    slack = 1e-9 * max(1, max(map(abs, values)))
    assert min(values) - slack <= e.low <= e.value <= e.high <= max(values) + slack


def test_resampling_groups_equals_scipy_and_known_error():
    rng = np.random.default_rng(3)
    a, b = rng.normal(3, 1, 400), rng.normal(1, 2, 100)
    ours = estimate.resampled([a, b], lambda a, b: a.mean() - b.mean(), "difference")
    peer = stats.bootstrap((a, b), lambda a, b, axis: a.mean(axis) - b.mean(axis), method="percentile", rng=rng)
    assert ours.value == pytest.approx(a.mean() - b.mean())
    assert (ours.low, ours.high) == pytest.approx(tuple(peer.confidence_interval), abs=0.06)
    assert ours.high - ours.low == pytest.approx(2 * 1.96 * np.sqrt(1 / 400 + 4 / 100), rel=0.15)


def test_resampling_in_pairs_keeps_pairs():
    x = np.arange(10.0)
    assert estimate.resampled([x, x + 2], lambda a, b: (b - a).mean(), "gap", paired=True).high == pytest.approx(2)
    assert estimate.resampled([x, x + 2], lambda a, b: (b - a).mean(), "gap").high > 2.5


def test_resampling_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="at least 2"):
        estimate.resampled([[1.0], [1.0, 2.0]], lambda a, b: 0.0, "nothing")
    with pytest.raises(ValueError, match="equally many"):
        estimate.resampled([[1.0, 3.0, 4.0], [1.0, 2.0]], lambda a, b: 0.0, "nothing", paired=True)
    assert not estimate.resampled([[1.0, np.nan]], np.mean, "undefined").finite
