"""The spiking network against exact simulation, closed forms and conservation laws."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replib.randomness import numpy_generator
from replib.spiking import events, gillespie, leaping
from replib.spiking import statistics as spikes
from replib.spiking.leaping import TauLeaping
from replib.spiking.network import Drive, Network, Neuron, State, Synapse
from scipy import special, stats

STEP = 0.1


def network(weights=(50.0, 20.0, 49.1, 49.1), delays=(1.3, 0.95, 4.5), sizes=(30, 10), **options):
    """30 + 10 neurons at the synchronous point, weights scaled for the size."""
    ee, ie, i = delays
    return Network(
        *sizes,
        ee=Synapse(0.15, weights[0], ee),
        ie=Synapse(0.5, weights[1], ie),
        ei=Synapse(0.5, weights[2], i),
        ii=Synapse(0.4, weights[3], i),
        **options,
    )


def simulate(net, replicas, ms, *key, step=STEP, drop=100.0):
    """Counts of E and I spikes per step after ``drop`` ms, the simulator and the mean waiting kicks by kind."""
    rng = numpy_generator(*key, "leaping")
    sim = TauLeaping(net, State.random(net, replicas, rng), rng, step=step)
    for _ in range(round(drop / step)):
        sim.advance()
    recorder = spikes.Recorder(net.excitatory, replicas, round(ms / step))
    before = {k: v.sum() for k, v in sim.sent.items()}
    waiting = dict.fromkeys(sim.sent, 0.0)
    for _ in range(recorder.steps):
        recorder.add(sim.advance())
        for k, v in sim.state.waiting(net).items():
            waiting[k] += v.sum() / recorder.steps
    sent = {k: (v.sum() - before[k]) / ms for k, v in sim.sent.items()}
    return recorder, sim, waiting, sent


def test_leaping_equals_exact_simulation():
    net = network()
    exact = gillespie.simulate(net, 6000.0, numpy_generator(1, "exact"))
    late = exact.times > 100
    recorder, *_ = simulate(net, 40, 1000, 2)
    for counts, neurons, chosen in ((recorder.e, 30, exact.neurons < 30), (recorder.i, 10, exact.neurons >= 30)):
        reference = (late & chosen).sum() / neurons / 5.9
        assert spikes.rate(counts.T, neurons, STEP).mean() == pytest.approx(reference, rel=0.05)


def test_exact_simulation_conserves_kicks_and_obeys_littles_law():
    net = network()
    run = gillespie.simulate(net, 3000.0, numpy_generator(3, "exact"))
    for kind, synapse in net.synapses.items():
        assert run.sent[kind] == run.acted[kind] + run.state.waiting(net)[kind][0]
        assert run.waiting[kind] == pytest.approx(run.sent[kind] / 3000 * synapse.delay, rel=0.03)


def test_leaping_conserves_kicks_and_obeys_littles_law():
    net = network()
    _, sim, waiting, sent = simulate(net, 20, 400, 4)
    for kind, synapse in net.synapses.items():
        assert waiting[kind] == pytest.approx(sent[kind] * synapse.delay, rel=0.02)
    # with an endless delay nothing acts: what was sent waits
    frozen = network(delays=(1e9, 1e9, 1e9), sizes=(5, 5))
    _, sim, _, _ = simulate(frozen, 10, 50, 5, drop=0.0)
    for kind, waits in sim.state.waiting(frozen).items():
        assert (waits == sim.sent[kind]).all()
        assert waits.sum() > 50  # 94 are expected of the rarest kind


@pytest.mark.parametrize("simulator", ["exact", "leaping"])
def test_isolated_neuron_fires_at_its_rate_in_closed_form(simulator):
    # a Poisson drive of size 1 needs a mean of 100 / 7 ms to the threshold, then 2.5 ms of rest
    net = network(weights=(0.0, 0.0, 0.0, 0.0), sizes=(20, 20))
    expected = 1000 / (100 / 7 + 2.5)
    if simulator == "exact":
        run = gillespie.simulate(net, 3000.0, numpy_generator(6, "exact"))
        rate = (run.times > 200).sum() / 40 / 2.8
    else:
        recorder, *_ = simulate(net, 20, 2000, 7, drop=200.0)
        rate = spikes.rate(recorder.e.T, 20, STEP).mean()
    # the step can only delay a spike, by half of it on average, and the first chance to leave rest is the next step
    assert rate == pytest.approx(expected, rel=0.015)


def test_a_smaller_step_comes_closer_to_the_exact_rate():
    net = network(weights=(0.0, 0.0, 0.0, 0.0), delays=(2.0, 2.0, 2.0), sizes=(50, 50))
    expected = 1000 / (100 / 7 + 2.5)
    error = {}
    for step in (0.5, 0.1):
        recorder, *_ = simulate(net, 10, 2000, 8, step=step, drop=200.0)
        error[step] = abs(spikes.rate(recorder.e.T + recorder.i.T, 100, step).mean() - expected)
    assert error[0.1] < error[0.5]


def test_replicas_with_their_own_parameters_equal_networks_of_their_own():
    delays = np.array([1.3, 4.0])
    both = network(weights=(np.array([50.0, 30.0]), 20.0, 49.1, np.array([49.1, 30.0])), delays=(delays, 0.95, 4.5))
    rng = numpy_generator(9, "pairs")
    sim = TauLeaping(both, State.random(both, 2, rng), rng)
    index = np.repeat([0, 1], 40)
    many = network(
        weights=(np.array([50.0, 30.0])[index], 20.0, 49.1, np.array([49.1, 30.0])[index]),
        delays=(delays[index], 0.95, 4.5),
    )
    recorder, *_ = simulate(many, 80, 600, 10)
    together = spikes.rate(recorder.e.T, 30, STEP).reshape(2, 40).mean(1)
    for k, (ee, ii, tau) in enumerate(((50.0, 49.1, 1.3), (30.0, 30.0, 4.0))):
        alone, *_ = simulate(network(weights=(ee, 20.0, 49.1, ii), delays=(tau, 0.95, 4.5)), 40, 600, 11, k)
        assert together[k] == pytest.approx(spikes.rate(alone.e.T, 30, STEP).mean(), rel=0.04)
    assert sim.state.v.shape == (2, 40)


def test_keeping_some_replicas_keeps_their_states_and_parameters():
    net = network(delays=(np.array([1.3, 2.0, 4.0]), 0.95, 4.5))
    rng = numpy_generator(12, "keep")
    sim = TauLeaping(net, State.random(net, 3, rng), rng)
    for _ in range(300):
        sim.advance()
    v, sent = sim.state.v.copy(), sim.sent["ee"].copy()
    sim.keep(np.array([True, False, True]))
    assert (sim.state.v == v[[0, 2]]).all()
    assert (sim.sent["ee"] == sent[[0, 2]]).all()
    for _ in range(10):
        assert sim.advance().replica.max(initial=0) < 2


def test_states_can_be_taken_put_and_joined():
    net = network()
    state = State.random(net, 4, numpy_generator(13, "states"))
    joined = State.join([state[[0, 1]], state[2:]])
    assert (joined.v == state.v).all()
    assert len(joined) == 4
    other = state[[3]]
    other.v += 1
    assert (state.v != other.v[0]).any()  # a copy
    state[np.array([0])] = other
    assert (state.v[0] == other.v[0]).all()


@settings(max_examples=25, deadline=None)
@given(n=st.integers(0, 255), p=st.floats(0.001, 0.999), seed=st.integers(0, 10**6))
def test_tables_draw_the_binomial_distribution(n, p, seed):
    if stats.binom.ppf(1 - 1e-15, 255, p) > 120:
        p = min(p, 0.2)
    table = leaping._binomials((0.5 * p, p), 255)
    drawn = table.draw(np.full(20_000, 256 + n, dtype=np.int32), leaping._Bits(numpy_generator(seed, "table")))
    assert drawn.max() <= n
    assert drawn.mean() == pytest.approx(n * p, abs=6 * np.sqrt(max(n * p * (1 - p), 1e-9) / 20_000) + 1e-9)
    expected = stats.binom.pmf(np.arange(n + 1), n, p) * 20_000
    counts = np.bincount(drawn, minlength=n + 1)
    common = expected > 20
    if common.sum() > 1:
        chi = ((counts - expected)[common] ** 2 / expected[common]).sum()
        assert chi < special.chdtri(common.sum(), 1e-7)


def test_rounding_keeps_the_mean():
    net = network()
    rng = numpy_generator(14, "rounding")
    sim = TauLeaping(net, State.random(net, 1, rng), rng)
    x = np.repeat([0.25, 3.9, 4.0], 40_000)
    rounded = sim._rounded(x).reshape(3, -1)
    assert np.abs(rounded - x.reshape(3, -1)).max() < 1
    assert rounded.mean(1) == pytest.approx([0.25, 3.9, 4.0], abs=0.01)


def test_inhibition_never_passes_the_reversal_and_rest_holds_the_reset():
    net = network(weights=(50.0, 20.0, 166.0, 166.0))
    _, sim, *_ = simulate(net, 10, 100, 15)
    assert sim.state.v.min() >= -66
    assert sim.state.v.max() < 100
    assert (sim.state.v[sim.state.refractory] == 0).all()


def test_synchrony_equals_brute_force():
    counts = numpy_generator(16, "ssi").poisson(0.3, (3, 400))
    fast = spikes.spike_synchrony(counts, 20, 0.1, 1.0)
    for row, value in zip(counts, fast, strict=True):
        times = np.repeat(np.arange(400), row)
        lag = np.abs(times[:, None] - times)
        slow = ((lag < 5) + 0.5 * (lag == 5)).sum(1).mean() / 20
        assert value == pytest.approx(slow)
    assert spikes.spike_synchrony(np.zeros((2, 100)), 20, 0.1, 1.0) == pytest.approx(0)


def test_spectrum_finds_a_known_rhythm():
    t = np.arange(20_000) * STEP / 1000
    wave = 1 + np.cos(2 * np.pi * 43 * t)
    counts = numpy_generator(17, "rhythm").poisson(3 * wave, (4, t.size))
    frequencies, power = spikes.spectrum(counts, 300, STEP)
    assert spikes.peak_frequency(frequencies, power.mean(0)) == pytest.approx(43, abs=1)
    assert power.shape == (4, frequencies.size)


def test_recorder_counts_what_it_is_given():
    net = network()
    rng = numpy_generator(18, "record")
    sim = TauLeaping(net, State.random(net, 3, rng), rng)
    recorder = spikes.Recorder(30, 3, 500, spikes=True)
    for _ in range(500):
        recorder.add(sim.advance())
    assert sum(s.neuron.size for _, s in recorder.raster) == recorder.e.sum() + recorder.i.sum()
    assert 0 < recorder.recurrent.sum() <= recorder.e.sum()
    with pytest.raises(IndexError, match="500 steps"):
        recorder.add(sim.advance())


def test_bad_input():
    with pytest.raises(ValueError, match="both populations"):
        network(sizes=(0, 10))
    with pytest.raises(ValueError, match="synapse ee"):
        network(delays=(0.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="below the reversal"):
        network(weights=(1, 1, 170, 1))
    with pytest.raises(ValueError, match="reset"):
        network(neuron=Neuron(reset=200))
    with pytest.raises(ValueError, match="drive"):
        network(drive=Drive(-1.0))
    net, rng = network(), numpy_generator(19, "bad")
    with pytest.raises(ValueError, match="not small"):
        TauLeaping(net, State.random(net, 1, rng), rng, step=1.0)
    with pytest.raises(ValueError, match="neurons"):
        TauLeaping(net, State.random(network(sizes=(3, 3)), 1, rng), rng)
    with pytest.raises(ValueError, match="for 1 replicas"):
        TauLeaping(network(delays=(np.ones(2), 1.0, 1.0)), State.random(net, 1, rng), rng)
    with pytest.raises(ValueError, match="one replica"):
        gillespie.simulate(network(delays=(np.ones(2), 1.0, 1.0)), 10.0, rng)
    with pytest.raises(ValueError, match="duration"):
        gillespie.simulate(net, 0.0, rng)
    with pytest.raises(ValueError, match="whole number of steps"):
        spikes.spike_synchrony(np.zeros((1, 10)), 3, 0.1, 0.5)
    with pytest.raises(ValueError, match="at least as long"):
        spikes.spectrum(np.zeros((1, 100)), 3, 0.1)


def test_a_network_that_runs_away_says_so():
    wild = replace(network(weights=(99.0, 99.0, 0.0, 0.0), sizes=(200, 10)), ee=Synapse(1.0, 99.0, 50.0))
    rng = numpy_generator(20, "wild")
    sim = TauLeaping(wild, State.random(wild, 2, rng), rng)

    def run():
        for _ in range(3000):
            sim.advance()

    with pytest.raises(OverflowError, match="runs away"):
        run()


def test_counts_within_a_window_equal_a_loop():
    counts = numpy_generator(21, "window").poisson(1.0, (30, 3))
    slow = [counts[max(0, t - 6) : t + 1].sum(0) for t in range(30)]
    assert (events.within_window(counts, 7) == np.array(slow)).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=60).filter(lambda c: len(set(c)) > 1))
def test_otsu_equals_brute_force(counts):
    x = np.sqrt(counts)
    best = {}
    for k in range(1, max(counts) + 1):
        upper = np.array(counts) >= k
        if upper.any() and not upper.all():
            within = upper.mean() * x[upper].var() + (~upper).mean() * x[~upper].var()
            best[k] = 1 - within / x.var()
    k, share = events.otsu_threshold(np.array(counts))
    assert share == pytest.approx(max(best.values()))
    assert best[k] == pytest.approx(share)
    with pytest.raises(ValueError, match="two different"):
        events.otsu_threshold(np.full(4, 3))


def test_otsu_shares_of_known_distributions():
    rng = numpy_generator(22, "otsu")
    # the square root of a Poisson variable of large mean is nearly normal
    assert events.otsu_threshold(rng.poisson(400, 200_000))[1] == pytest.approx(2 / np.pi, abs=0.01)
    two = np.concatenate([rng.poisson(1, 1000), rng.poisson(100, 1000)])
    k, share = events.otsu_threshold(two)
    assert k == two[two > 30].min()  # the smallest count of the upper class, not the end of the gap
    assert share > 0.95


def test_an_event_is_found_where_it_is():
    detector = events.EventDetector(2, threshold=4, window=3, quiet=2)
    #             c:  0  2  4  5  3  2  1  0
    recurrent = [0, 2, 2, 1, 0, 1, 0, 0]
    seen = []
    for t, r in enumerate(recurrent):
        begins, ends = detector.update(np.array([r, 0]), np.array([1, 1]), np.array([r, 0]))
        seen.append((begins.tolist(), ends.tolist()))
        if t == 2:
            assert detector.recent[0].tolist() == [0, 2, 2]
    # it begins at step 2; c is at most 2 at steps 5 and 6, so it has ended at step 6
    assert seen == [([], []), ([], []), ([0], []), ([], []), ([], []), ([], []), ([], [0]), ([], [])]
    assert detector.size[0].tolist() == [2, 4]  # of E and I at steps 3 to 6, not at the onset
    assert detector.duration[0] == 4
    assert not detector.inside.any()


def test_an_event_can_be_taken_up_again():
    first = events.EventDetector(1, threshold=4, window=3, quiet=2)
    steps = [np.array([r]) for r in (2, 2, 1, 3, 0, 0, 0, 0)]
    ended = [first.update(r, r, r)[1].size for r in steps[:2]]
    second = events.EventDetector(1, 4, 3, 2, recent=first.recent)
    for r in steps[2:]:
        assert first.update(r, r, r)[1].size == second.update(r, r, r)[1].size
    assert (first.size == second.size).all()
    assert sum(ended) == 0
    assert first.duration == second.duration > 0


def test_a_detector_can_forget_and_leave_out_replicas():
    detector = events.EventDetector(3, threshold=2, window=2, quiet=5)
    detector.update(*np.ones((2, 3), dtype=int), np.array([2, 0, 2]))
    assert detector.inside.tolist() == [True, False, True]
    detector.restart(np.array([0]))
    detector.keep(np.array([0, 2]))
    assert detector.inside.tolist() == [False, True]
    assert detector.recent.tolist() == [[0, 0], [0, 2]]
    with pytest.raises(ValueError, match="positive"):
        events.EventDetector(1, 0, 2, 2)
