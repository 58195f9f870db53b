r"""Reading weights on the residues modulo p as sums of cosines.

For j = 0, ..., p - 1 and w_k = 2 pi k / p, with k = 1, ..., K = floor(p / 2):

theta[j] = mean + sum_k alpha_k cos(w_k j + phi_k).
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Harmonics:
    """Cosines of weights (..., p).

    Attributes:
        mean: (...,).
        amplitude: (..., K) alpha_k >= 0; entry 0 is frequency 1.
        phase: (..., K) phi_k in (-pi, pi].
        power: (..., K) squared lengths of the weights' projections on the frequencies; with p mean² they sum to the
            squared norm of the weights.
    """

    mean: Tensor
    amplitude: Tensor
    phase: Tensor
    power: Tensor

    @property
    def frequency(self) -> Tensor:
        """(...,) the strongest frequency, from 1 to K."""
        return self.power.argmax(-1) + 1

    @property
    def purity(self) -> Tensor:
        """(...,) the strongest frequency's share of the power, without the mean."""
        return self.power.amax(-1) / self.power.sum(-1)


def harmonics(weights: Tensor) -> Harmonics:
    """The real Fourier decomposition along the last axis, of length p >= 3."""
    p = weights.shape[-1]
    if p < 3:
        raise ValueError(f"harmonics need at least 3 residues, got {p}")
    spectrum = torch.fft.rfft(weights)
    size = spectrum[..., 1:].abs() / p
    doubled = torch.full((p // 2,), 2.0, dtype=weights.dtype, device=weights.device)
    if p % 2 == 0:
        doubled[-1] = 1  # the alternating frequency p / 2 has no partner
    return Harmonics(
        mean=spectrum[..., 0].real / p,
        amplitude=doubled * size,
        phase=spectrum[..., 1:].angle(),
        power=p * doubled * size.square(),
    )


def ipr(power: Tensor) -> Tensor:
    """Inverse participation ratio (...,) of powers (..., K): sum P_k² / (sum P_k)², from 1/K (flat) to 1 (one)."""
    return power.square().sum(-1) / power.sum(-1).square()


def wrap(angle: Tensor) -> Tensor:
    """Angles modulo 2 pi, in (-pi, pi]."""
    return torch.pi - torch.remainder(torch.pi - angle, 2 * torch.pi)
