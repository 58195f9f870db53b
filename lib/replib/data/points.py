"""Points in a cube, on a sphere, in a ball."""

import numpy as np


def _check(points: int, dimension: int, radius: float) -> None:
    if points < 1 or dimension < 1 or not radius > 0:
        raise ValueError(f"need points, dimension and radius above 0, got {points}, {dimension}, {radius}")


def cube(points: int, dimension: int, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Every coordinate uniform in [-radius, radius]. Returns (points, dimension)."""
    _check(points, dimension, radius)
    return rng.uniform(-radius, radius, (points, dimension))


def sphere(points: int, dimension: int, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Directions of a Gaussian, scaled to length ``radius``. Returns (points, dimension)."""
    _check(points, dimension, radius)
    x = rng.standard_normal((points, dimension))
    return radius * x / np.linalg.norm(x, axis=1, keepdims=True)


def ball(points: int, dimension: int, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Directions of a Gaussian, lengths uniform in [0, radius]: denser near the centre than uniform
    in volume, as in Xu et al. (2021). Returns (points, dimension)."""
    directions = sphere(points, dimension, 1.0, rng)
    return directions * rng.uniform(0, radius, (points, 1))
