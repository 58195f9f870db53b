"""Bodies under gravity in the plane, many videos at once.

A state is (..., bodies, 5): mass, x, y, v_x, v_y. The units and the softening are those of the
interaction-network benchmark (Battaglia et al., 2016) as used by Xu et al. (2021).
"""

import numpy as np

GRAVITY = 1e5
STEP = 1e-3


def orbits(
    videos: int, bodies: int, rng: np.random.Generator, *, mass_scale: float = 1.0, gravity: float = GRAVITY
) -> np.ndarray:
    """Initial states: a heavy body at rest at the origin, the others moving at right angles to it.

    Masses 100 and U[0.02, 9] times ``mass_scale``, distances U[10, 100], angles uniform, speed
    ``gravity * m_0 / (1000 * distance)``, counter-clockwise.

    Returns:
        (videos, bodies, 5).
    """
    if videos < 1 or bodies < 2:
        raise ValueError(f"need at least 1 video and 2 bodies, got {videos} and {bodies}")
    state = np.zeros((videos, bodies, 5))
    state[:, 0, 0] = 100.0 * mass_scale
    others = (videos, bodies - 1)
    state[:, 1:, 0] = rng.uniform(0.02, 9.0, others) * mass_scale
    distance, angle = rng.uniform(10.0, 100.0, others), rng.uniform(0.0, 2 * np.pi, others)
    direction = np.stack([np.cos(angle), np.sin(angle)], -1)  # (videos, bodies - 1, 2)
    speed = gravity * state[:, :1, 0] / (1000.0 * distance)
    state[:, 1:, 1:3] = distance[..., None] * direction
    state[:, 1:, 3:5] = speed[..., None] * np.stack([-direction[..., 1], direction[..., 0]], -1)
    return state


def pull(state: np.ndarray, gravity: float = GRAVITY) -> np.ndarray:
    """Acceleration of receiver i by sender j: G m_j (x_j - x_i) / max(|x_j - x_i|, 1)^3.

    Args:
        state: (..., bodies, 5).

    Returns:
        (..., bodies, bodies, 2), zero on the diagonal.
    """
    position, mass = state[..., 1:3], state[..., 0]
    difference = position[..., None, :, :] - position[..., :, None, :]  # (..., i, j, 2)
    distance = np.maximum(np.linalg.norm(difference, axis=-1), 1.0)
    return gravity * mass[..., None, :, None] * difference / distance[..., None] ** 3


def simulate(state: np.ndarray, steps: int, *, step: float = STEP, gravity: float = GRAVITY) -> np.ndarray:
    """Semi-implicit Euler: v' = v + a(x) dt, x' = x + v' dt.

    Args:
        state: (..., bodies, 5), the first frame.
        steps: number of frames, the first one counted.

    Returns:
        (steps, ..., bodies, 5).
    """
    frames = np.empty((steps, *state.shape))
    frames[0] = state
    for now, following in zip(frames, frames[1:], strict=False):
        following[..., 0] = now[..., 0]
        following[..., 3:5] = now[..., 3:5] + pull(now, gravity).sum(-2) * step
        following[..., 1:3] = now[..., 1:3] + following[..., 3:5] * step
    return frames


def pair_distances(state: np.ndarray) -> np.ndarray:
    """Distances of all pairs i < j: (..., bodies, 5) -> (..., pairs)."""
    position = state[..., 1:3]
    i, j = np.triu_indices(state.shape[-2], 1)
    return np.linalg.norm(position[..., i, :] - position[..., j, :], axis=-1)
