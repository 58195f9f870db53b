r"""Expectations E[a(u) a(v)] and E[a'(u) a'(v)] over centred Gaussian pairs (u, v).

A limit kernel needs nothing else of an activation. An activation is data here: a name and a function
from the covariance of (u, v) to the two expectations. Arguments are variances of u and of v and their
covariance, arrays that broadcast, in float64.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Dual = Callable[[Array, Array, Array], tuple[Array, Array]]


@dataclass(frozen=True)
class Activation:
    """An activation as a limit kernel sees it.

    Attributes:
        name: for messages.
        dual: (var u, var v, cov) -> (E[a(u) a(v)], E[a'(u) a'(v)]).
    """

    name: str
    dual: Dual


def _correlation(var_u: Array, var_v: Array, cov: Array) -> tuple[Array, Array]:
    """Product of standard deviations, and the correlation within [-1, 1]; 1 where a variance is 0."""
    scale = np.sqrt(var_u * var_v)
    cov, scale = np.broadcast_arrays(cov, scale)
    rho = np.divide(cov, scale, out=np.ones(cov.shape), where=scale > 0)
    return scale, np.clip(rho, -1.0, 1.0)


def _relu(var_u: Array, var_v: Array, cov: Array) -> tuple[Array, Array]:
    """With phi the angle, cos phi = rho: sqrt(var_u var_v) (sin phi + (pi - phi) cos phi) / (2 pi) and
    (pi - phi) / (2 pi): the arc-cosine kernels of order 1 and 0 (Cho and Saul, 2009) up to their factor 2."""
    scale, rho = _correlation(var_u, var_v, cov)
    phi = np.arccos(rho)
    slope = (np.pi - phi) / (2 * np.pi)
    return scale * (np.sqrt((1 - rho) * (1 + rho)) / (2 * np.pi) + slope * rho), slope


def _erf(var_u: Array, var_v: Array, cov: Array) -> tuple[Array, Array]:
    """(2/pi) arcsin(2 cov / sqrt((1 + 2 var_u)(1 + 2 var_v))) and
    (4/pi) / sqrt((1 + 2 var_u)(1 + 2 var_v) - 4 cov^2) (Williams, 1997, and its derivative)."""
    product = (1 + 2 * var_u) * (1 + 2 * var_v)
    value = 2 / np.pi * np.arcsin(np.clip(2 * cov / np.sqrt(product), -1.0, 1.0))
    return value, 4 / np.pi / np.sqrt(product - 4 * cov**2)


RELU = Activation("relu", _relu)
ERF = Activation("erf", _erf)


def quadrature(
    name: str, function: Callable[[Array], Array], derivative: Callable[[Array], Array], nodes: int = 160
) -> Activation:
    """Any smooth activation by Gauss-Hermite quadrature in both variables.

    u = sqrt(var_u) g and v = sqrt(var_v) (rho g + sqrt(1 - rho^2) h) with g, h independent standard normal:
    exact for polynomials of degree below ``nodes``. A kink, as that of ReLU, would converge slowly.

    Raises:
        ValueError: fewer than 2 nodes.
    """
    if nodes < 2:
        raise ValueError(f"quadrature needs at least 2 nodes, got {nodes}")
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    weights = weights / weights.sum()

    def dual(var_u: Array, var_v: Array, cov: Array) -> tuple[Array, Array]:
        _, rho = _correlation(var_u, var_v, cov)
        var_u, var_v, rho = np.broadcast_arrays(var_u, var_v, rho)
        value, slope = np.empty(rho.shape), np.empty(rho.shape)
        for i in np.ndindex(rho.shape):  # one (nodes, nodes) table at a time
            u = np.sqrt(var_u[i]) * points
            v = np.sqrt(var_v[i]) * (rho[i] * points[:, None] + np.sqrt(1 - rho[i] ** 2) * points)
            value[i] = (weights * function(u)) @ (function(v) @ weights)
            slope[i] = (weights * derivative(u)) @ (derivative(v) @ weights)
        return value, slope

    return Activation(name, dual)
