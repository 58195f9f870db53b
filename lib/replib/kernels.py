r"""Arc-cosine kernels, the two-layer ReLU tangent kernel, kernel regression.

With theta the angle between x and z and w a standard Gaussian vector (Cho and Saul, 2009, up to
their factor 2):

    kappa_0(x, z) = E[1(w.x > 0) 1(w.z > 0)]   = (pi - theta) / (2 pi)
    kappa_1(x, z) = E[relu(w.x) relu(w.z)]     = |x||z| (sin theta + (pi - theta) cos theta) / (2 pi)

and the tangent kernel of f(x) = sum_i a_i relu(w_i.x) / sqrt(width) at infinite width is
<x, z> kappa_0 from the first layer plus kappa_1 from the second (Jacot et al., 2018).
"""

from typing import Literal

import numpy as np


def _products(x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inner products, products of norms, angles; each (n, m)."""
    x, z = np.asarray(x, dtype=float), np.asarray(z, dtype=float)
    if x.ndim != 2 or z.ndim != 2 or x.shape[1] != z.shape[1]:
        raise ValueError(f"need two sets of points of one dimension, got shapes {x.shape} and {z.shape}")
    inner = x @ z.T
    norms = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(z, axis=1)
    cosine = np.divide(inner, norms, out=np.ones_like(inner), where=norms > 0)
    return inner, norms, np.arccos(np.clip(cosine, -1.0, 1.0))


def arc_cosine(x: np.ndarray, z: np.ndarray, order: Literal[0, 1]) -> np.ndarray:
    """kappa_0 or kappa_1 of all pairs: (n, d), (m, d) -> (n, m), in float64."""
    _, norms, theta = _products(x, z)
    if order == 0:
        return (np.pi - theta) / (2 * np.pi)
    if order == 1:
        return norms * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi)
    raise ValueError(f"the order must be 0 or 1, got {order!r}")


def relu_tangent(x: np.ndarray, z: np.ndarray, layers: Literal["first", "both"] = "both") -> np.ndarray:
    """Tangent kernel of the two-layer ReLU network without biases; append a coordinate 1 for a bias.

    Args:
        layers: ``first`` trains the hidden weights only, ``both`` the output weights as well.

    Shapes:
        (n, d), (m, d) -> (n, m), in float64.
    """
    inner, norms, theta = _products(x, z)
    first = inner * (np.pi - theta) / (2 * np.pi)
    if layers == "first":
        return first
    if layers == "both":
        return first + norms * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi)
    raise ValueError(f"layers must be 'first' or 'both', got {layers!r}")


def dual_coefficients(kernel: np.ndarray, y: np.ndarray, ridge: float = 0.0) -> np.ndarray:
    """alpha with (K + ridge I) alpha = y; a prediction is K(x, X) alpha.

    Raises:
        ValueError: K + ridge I is singular to working precision: points repeat, or lie on one ray.
    """
    system = kernel + ridge * np.eye(len(kernel))
    if np.linalg.cond(system) > 1 / np.finfo(float).eps:
        raise ValueError("the kernel matrix is singular: remove repeated points, or use a ridge above 0")
    return np.linalg.solve(system, y)
