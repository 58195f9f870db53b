# ruff: noqa: E402
"""Limit kernels against neural-tangents: same points, depths, activations and bias, one thread, in one process.

neural-tangents 0.6.5 needs jax 0.4.30 and so a Python of at most 3.12. First it is checked that both compute the same
to 1e-6; the peer's values on a few points go to tests/unit/peers/neural_tangents.json, which the library's tests
compare with.
"""

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import harness
import jax

# the package imports a part that needs TensorFlow, which nothing here uses
sys.modules["neural_tangents.experimental"] = ModuleType("neural_tangents.experimental")
import neural_tangents
import numpy as np
from harness import Case
from neural_tangents import stax
from replib.kernels import limit
from replib.kernels.dual import ERF, RELU
from replib.record import write_atomically

REFERENCE = Path(__file__).parents[1] / "tests" / "unit" / "peers" / "neural_tangents.json"
ACTIVATIONS = {"relu": (RELU, stax.Relu), "erf": (ERF, stax.Erf)}
DEPTHS, BIASES = (2, 3, 5), (0.0, 0.1, 0.7)


def peer(name: str, depth: int, bias: float):
    dense = lambda: stax.Dense(1, W_std=1.0, b_std=bias or None, parameterization="ntk")
    layers = [dense()]
    for _ in range(depth - 1):
        layers += [ACTIVATIONS[name][1](), dense()]
    kernel = jax.jit(stax.serial(*layers)[2], static_argnums=2)
    return lambda x, z: kernel(x, z, ("nngp", "ntk"))


def cases() -> Iterator[Case]:
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((4, 3)), rng.standard_normal((5, 3))
    found = []
    for name in ACTIVATIONS:
        for depth in DEPTHS:
            for bias in BIASES:
                theirs, ours = peer(name, depth, bias)(x, z), limit.mlp(x, z, depth, ACTIVATIONS[name][0], bias)
                np.testing.assert_allclose(ours.covariance, theirs.nngp, rtol=1e-6, atol=1e-9)
                np.testing.assert_allclose(ours.tangent, theirs.ntk, rtol=1e-6, atol=1e-9)
                case = {"activation": name, "depth": depth, "bias": bias}
                found.append(case | {"nngp": theirs.nngp.tolist(), "ntk": theirs.ntk.tolist()})
    version = f"neural-tangents {neural_tangents.__version__}, jax {jax.__version__}"
    text = json.dumps({"source": version, "x": x.tolist(), "z": z.tolist(), "cases": found})
    write_atomically(REFERENCE, text + "\n")
    for points in (100, 1000):
        a = rng.standard_normal((points, 20))
        for name in ACTIVATIONS:
            for depth in (2, 5):
                ours = partial(limit.mlp, a, a, depth, ACTIVATIONS[name][0], 0.1)
                kernel = peer(name, depth, 0.1)
                theirs = lambda kernel=kernel, a=a: kernel(a, a).ntk.block_until_ready()
                np.testing.assert_allclose(ours().tangent, theirs(), rtol=1e-6, atol=1e-9)  # compiles too
                yield Case(
                    f"limit kernels, {name}, {depth} layers, {points} points",
                    f"neural-tangents {neural_tangents.__version__}",
                    ours,
                    theirs,
                    "kernels to 1e-6",
                )


if __name__ == "__main__":
    harness.main("kernels", __doc__, cases)
