r"""Spectra of kernels that depend on the angle alone, on the unit sphere S^(d-1)."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import special


def gegenbauer(degree: int, dimension: int, t: np.ndarray) -> np.ndarray:
    """P_k(t): the Gegenbauer polynomial of parameter (d - 2) / 2, P_k(1) = 1: Legendre in d = 3, Chebyshev in d = 2.

    x -> P_k(<x, zeta>) is a harmonic of degree k for every unit vector zeta.
    """
    if degree < 0 or dimension < 2:
        raise ValueError(f"need a degree of at least 0 and a dimension of at least 2, got {degree} and {dimension}")
    if dimension == 2:
        return special.eval_chebyt(degree, t)
    parameter = (dimension - 2) / 2
    return special.eval_gegenbauer(degree, parameter, t) / special.eval_gegenbauer(degree, parameter, 1.0)


def funk_hecke(
    kernel: Callable[[np.ndarray], np.ndarray], dimension: int, degrees: Sequence[int], nodes: int = 400
) -> np.ndarray:
    r"""Eigenvalues of K(x, z) = kernel(<x, z>) under the uniform measure on S^(d-1):

        mu_k = int K(t) P_k(t) (1 - t^2)^((d-3)/2) dt / int (1 - t^2)^((d-3)/2) dt,

    one per degree k, each for all harmonics of that degree (Funk-Hecke formula). Gauss-Legendre in the
    angle, where a kink of the kernel at t = +-1 is smooth.
    """
    if nodes < 2:
        raise ValueError(f"quadrature needs at least 2 nodes, got {nodes}")
    points, weights = np.polynomial.legendre.leggauss(nodes)
    angle = np.pi / 2 * (points + 1)
    t = np.cos(angle)
    weights = weights * np.sin(angle) ** (dimension - 2)
    weights /= weights.sum()
    values = kernel(t) * weights
    return np.array([values @ gegenbauer(k, dimension, t) for k in degrees])
