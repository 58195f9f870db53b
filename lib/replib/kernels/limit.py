r"""Covariance and tangent kernel of networks of infinite width.

Fully connected, in the parametrisation of Jacot et al. (2018): layer l = 1..L computes
z^(l) = W^(l) a^(l-1) / sqrt(n_(l-1)) + beta b^(l), a^(0) = x, a^(l) = a(z^(l)), output z^(L), all entries
of W and b independent N(0, 1). With (u, v) a centred Gaussian pair of covariance Sigma^(l) on {x, z}:

    Sigma^(1)(x, z) = <x, z> / n_0 + beta^2,    Theta^(1)   = Sigma^(1),
    Sigma^(l+1)     = E[a(u) a(v)] + beta^2,    Theta^(l+1) = Theta^(l) E[a'(u) a'(v)] + Sigma^(l+1)

(their Proposition 1 and Theorem 1). Polynomial networks in that of Wu et al. (2022), see
:func:`polynomial_tangent`.
"""

from dataclasses import dataclass

import numpy as np

from replib.kernels.dual import RELU, Activation


@dataclass(frozen=True)
class Limit:
    """What a network of infinite width is at initialisation and how it trains.

    Attributes:
        covariance: (n, m) Sigma^(L), covariance of the outputs over initialisations.
        layers: (L, n, m), what the parameters of each layer add to the tangent kernel.
    """

    covariance: np.ndarray
    layers: np.ndarray

    @property
    def tangent(self) -> np.ndarray:
        """(n, m) Theta^(L) = sum over l of Sigma^(l) times the product of E[a' a'] of the layers above."""
        return self.layers.sum(0)


def _inner(x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """<x, x> (n, 1), <z, z> (m,), <x, z> (n, m)."""
    x, z = np.asarray(x, dtype=float), np.asarray(z, dtype=float)
    if x.ndim != 2 or z.ndim != 2 or x.shape[1] != z.shape[1]:
        raise ValueError(f"need two sets of points of one dimension, got shapes {x.shape} and {z.shape}")
    return (x**2).sum(1)[:, None], (z**2).sum(1), x @ z.T


def mlp(x: np.ndarray, z: np.ndarray, depth: int, activation: Activation = RELU, bias: float = 0.0) -> Limit:
    """Limit kernels of a fully connected network.

    Args:
        depth: L, the number of linear layers; 2 is one hidden layer.
        bias: beta.

    Shapes:
        (n, d), (m, d) -> two arrays (n, m) in float64.

    Raises:
        ValueError: sets of different dimension, a depth below 1 or a negative bias.
    """
    if depth < 1 or bias < 0:
        raise ValueError(f"the depth must be at least 1 and the bias not negative, got {depth} and {bias}")
    # variances of x, variances of z and covariances go through the same recursion
    xx, zz, xz = (inner / np.shape(x)[1] + bias**2 for inner in _inner(x, z))
    layers = [xz]
    for _ in range(depth - 1):
        value, slope = activation.dual(xx, zz, xz)
        xx, zz, xz = (
            activation.dual(xx, xx, xx)[0] + bias**2,
            activation.dual(zz, zz, zz)[0] + bias**2,
            value + bias**2,
        )
        layers = [*(layer * slope for layer in layers), xz]
    return Limit(xz, np.stack(layers))


def polynomial_tangent(x: np.ndarray, z: np.ndarray, degree: int, *, skip: bool = False) -> np.ndarray:
    """Tangent kernel of a polynomial network of degree N (Wu et al., 2022), see
    :class:`replib.models.polynomial.PolynomialNet`, without biases, at infinite width.

    With k0 = E[1(w.x > 0) 1(w.z > 0)] and k1 = E[relu(w.x) relu(w.z)], w standard normal:

        without skip:  2 N <x, z> k0 k1^(N-1) + 2 k1^N
        with skip:     2 <x, z> k0 [A^(N-1) + (N-1) k1 A^(N-2)] + 2 k1 A^(N-1),
                       A = E[(relu(w.x) + 1)(relu(w.z) + 1)] = k1 + (|x| + |z|) / sqrt(2 pi) + 1.

    Degree 1 is the two-layer ReLU network.

    Shapes:
        (n, d), (m, d) -> (n, m) in float64.
    """
    if degree < 1:
        raise ValueError(f"the degree must be at least 1, got {degree}")
    xx, zz, inner = _inner(x, z)
    k1, k0 = RELU.dual(xx, zz, inner)
    n = degree
    if not skip:
        return 2 * n * inner * k0 * k1 ** (n - 1) + 2 * k1**n
    a = k1 + (np.sqrt(xx) + np.sqrt(zz)) / np.sqrt(2 * np.pi) + 1
    first = a ** (n - 1) + ((n - 1) * k1 * a ** (n - 2) if n > 1 else 0)
    return 2 * inner * k0 * first + 2 * k1 * a ** (n - 1)
