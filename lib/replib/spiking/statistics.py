"""Rates, synchrony and spectra of recorded spikes.

Spikes are counted on the simulation's grid: ``counts[b, t]`` spikes of a population of N neurons in step t of
replica b.
"""

import numpy as np
from scipy import signal

from replib.spiking.leaping import Spikes


class Recorder:
    """Counts of spikes per step and population, and optionally who spiked.

    Args:
        excitatory: number of E neurons: smaller indices are E.
        replicas, steps: size of the recording.
        spikes: whether to keep every spike.
    """

    def __init__(self, excitatory: int, replicas: int, steps: int, *, spikes: bool = False) -> None:
        self.excitatory, self.steps, self.at = excitatory, steps, 0
        self.e, self.i, self.recurrent = (np.zeros((steps, replicas), dtype=np.int32) for _ in range(3))
        self.raster: list[tuple[int, Spikes]] | None = [] if spikes else None

    def add(self, spikes: Spikes) -> None:
        """Record one step.

        Raises:
            IndexError: the recording is full.
        """
        if self.at >= self.steps:
            raise IndexError(f"the recorder was made for {self.steps} steps")
        self.e[self.at], self.i[self.at], self.recurrent[self.at] = spikes.counts(self.excitatory, self.e.shape[1])
        if self.raster is not None:
            self.raster.append((self.at, spikes))
        self.at += 1


def rate(counts: np.ndarray, neurons: int, step: float) -> np.ndarray:
    """Spikes per second and neuron of each replica: (B, T) -> (B,). ``step`` in ms."""
    return counts.mean(1) / neurons / step * 1000


def spike_synchrony(counts: np.ndarray, neurons: int, step: float, window: float) -> np.ndarray:
    """Spike synchrony index: mean over spikes of the share of neurons that spike within ``window``/2, itself included.

    On a grid lags below window/2 count in full, the lag window/2 by one half. Without a spike it is 0.

    Shapes:
        (B, T) -> (B,).

    Raises:
        ValueError: half the window is no whole number of steps.
    """
    lags = window / 2 / step
    reach = round(lags)
    if reach < 1 or abs(lags - reach) > 1e-6:
        raise ValueError(f"half of a window of {window} ms must be a whole number of steps of {step} ms")
    kernel = np.ones(2 * reach + 1)
    kernel[[0, -1]] = 0.5
    near = signal.fftconvolve(counts, kernel[None], mode="same", axes=1)
    spikes = counts.sum(1)
    pairs = (counts * near).sum(1)
    return np.divide(pairs, spikes * neurons, out=np.zeros(len(counts)), where=spikes > 0)


def spectrum(counts: np.ndarray, neurons: int, step: float, *, bin: float = 2.5, window: float = 200.0) -> tuple:
    """Power of the spike density, averaged over sliding windows: frequencies in Hz (F,), power (B, F).

    The density in spikes per second and neuron, in bins of ``bin`` ms; each window of ``window`` ms has its mean
    removed. Frequencies are interpolated to below 1 Hz by padding with zeros.

    Raises:
        ValueError: a recording shorter than the window.
    """
    per_bin = round(bin / step)
    length = counts.shape[1] // per_bin * per_bin
    density = counts[:, :length].reshape(len(counts), -1, per_bin).sum(2) / neurons / bin * 1000
    points = round(window / bin)
    if density.shape[1] < points:
        raise ValueError(
            f"a window of {window} ms needs a recording at least as long, got {counts.shape[1] * step:g} ms"
        )
    return signal.welch(
        density,
        fs=1000 / bin,
        window="boxcar",
        nperseg=points,
        noverlap=points - points // 10,
        nfft=2048,
        detrend="constant",
    )


def peak_frequency(frequencies: np.ndarray, power: np.ndarray, low: float = 20.0, high: float = 80.0) -> float:
    """The frequency of most power between ``low`` and ``high`` Hz; (F,) and (F,) -> Hz."""
    inside = (frequencies >= low) & (frequencies <= high)
    return float(frequencies[inside][np.argmax(power[inside])])
