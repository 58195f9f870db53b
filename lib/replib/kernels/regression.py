r"""Kernel regression, and gradient descent in function space along a fixed kernel."""

import numpy as np


def dual_coefficients(kernel: np.ndarray, y: np.ndarray, ridge: float = 0.0) -> np.ndarray:
    """alpha with (K + ridge I) alpha = y; a prediction is K(x, X) alpha.

    Raises:
        ValueError: K + ridge I is singular to working precision: points repeat, or lie on one ray.
    """
    system = kernel + ridge * np.eye(len(kernel))
    if np.linalg.cond(system) > 1 / np.finfo(float).eps:
        raise ValueError("the kernel matrix is singular: remove repeated points, or use a ridge above 0")
    return np.linalg.solve(system, y)


class KernelDescent:
    r"""Training along a fixed kernel, on the sample and off it (Jacot et al., 2018, section 5).

    Gradient flow on C = (1/2) sum_i (f(x_i) - y_i)^2 with tangent kernel K obeys d f_t / dt = -K(., X) (f_t(X) - y),
    and gradient descent with step eta replaces exp(-t K) by (I - eta K)^steps. For a cost with a factor 1/N give
    K/N, on the sample and across.

    Args:
        kernel: (n, n) K(X, X), symmetric and positive semi-definite.

    Raises:
        ValueError: the kernel is not a symmetric matrix.
    """

    def __init__(self, kernel: np.ndarray) -> None:
        kernel = np.asarray(kernel, dtype=float)
        if kernel.ndim != 2 or not np.allclose(kernel, kernel.T, rtol=1e-8, atol=1e-12 * np.abs(kernel).max()):
            raise ValueError(f"a kernel on a sample is a symmetric matrix, got shape {kernel.shape}")
        values, self.eigenvectors = np.linalg.eigh(kernel)
        # what rounding cannot tell from zero is zero, and is never learned
        self.eigenvalues = np.where(values > len(values) * np.finfo(float).eps * values.max(), values, 0.0)

    def _remaining(self, time: np.ndarray, step: float | None) -> np.ndarray:
        """What is left of the residual along each eigenvector, (..., n)."""
        time, values = np.broadcast_arrays(np.asarray(time, dtype=float)[..., None], self.eigenvalues)
        if step is None:  # 0 times an infinite time is 0
            return np.exp(-np.multiply(time, values, out=np.zeros(values.shape), where=values > 0))
        return (1 - step * values) ** time

    def residual(self, start: np.ndarray, time: np.ndarray | float, *, step: float | None = None) -> np.ndarray:
        """f_t(X) - y from ``start`` = f_0(X) - y.

        Args:
            time: time of gradient flow, or with ``step`` the number of steps of gradient descent; an array gives
                one residual per entry.
            step: eta.

        Shapes:
            start (n,), time (...) -> (..., n).
        """
        return (self._remaining(time, step) * (self.eigenvectors.T @ start)) @ self.eigenvectors.T

    def operator(self, cross: np.ndarray, time: float, *, step: float | None = None) -> np.ndarray:
        """M with f_t(x) = f_0(x) + M (y - f_0(X)): M = K(x, X) K^-1 (I - exp(-t K)), or its version in steps.

        Directions that the kernel does not see are left alone: no inverse of a vanishing eigenvalue is formed.

        Args:
            cross: (m, n) K(x, X).
            time: a number, may be infinite.

        Returns:
            (m, n).
        """
        learned = 1 - self._remaining(np.asarray(time), step)
        factor = np.divide(learned, self.eigenvalues, out=np.zeros_like(learned), where=self.eigenvalues > 0)
        return (cross @ self.eigenvectors * factor) @ self.eigenvectors.T
