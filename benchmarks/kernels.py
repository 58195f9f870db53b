"""Limit kernels against neural-tangents: same points, depths, activations and bias, one thread, in one process.

    OMP_NUM_THREADS=1 XLA_FLAGS=--xla_cpu_multi_thread_eigen=false python benchmarks/kernels.py [--write]

neural-tangents 0.6.5 needs jax 0.4.30 and so a Python of at most 3.12; the book does not depend on it:

    pip install neural-tangents==0.6.5 jax==0.4.30 jaxlib==0.4.30

First it is checked that both compute the same to 1e-6. With ``--write`` its values on a few points go to
tests/unit/peers/neural_tangents.json, which the library's tests compare with.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import jax
import neural_tangents
import numpy as np
from neural_tangents import stax
from replib.kernels import limit
from replib.kernels.dual import ERF, RELU

REFERENCE = Path(__file__).parents[1] / "tests" / "unit" / "peers" / "neural_tangents.json"
ACTIVATIONS = {"relu": (RELU, stax.Relu), "erf": (ERF, stax.Erf)}
DEPTHS, BIASES, ROUNDS = (2, 3, 5), (0.0, 0.1, 0.7), 7


def peer(name: str, depth: int, bias: float):
    dense = lambda: stax.Dense(1, W_std=1.0, b_std=bias or None, parameterization="ntk")
    layers = [dense()]
    for _ in range(depth - 1):
        layers += [ACTIVATIONS[name][1](), dense()]
    kernel = jax.jit(stax.serial(*layers)[2], static_argnums=2)
    return lambda x, z: kernel(x, z, ("nngp", "ntk"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {REFERENCE.name}")
    write = parser.parse_args().write
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((4, 3)), rng.standard_normal((5, 3))
    cases = []
    for name in ACTIVATIONS:
        for depth in DEPTHS:
            for bias in BIASES:
                theirs, ours = peer(name, depth, bias)(x, z), limit.mlp(x, z, depth, ACTIVATIONS[name][0], bias)
                np.testing.assert_allclose(ours.covariance, theirs.nngp, rtol=1e-6, atol=1e-9)
                np.testing.assert_allclose(ours.tangent, theirs.ntk, rtol=1e-6, atol=1e-9)
                case = {"activation": name, "depth": depth, "bias": bias}
                cases.append(case | {"nngp": theirs.nngp.tolist(), "ntk": theirs.ntk.tolist()})
    if write:
        version = f"neural-tangents {neural_tangents.__version__}, jax {jax.__version__}"
        text = json.dumps({"source": version, "x": x.tolist(), "z": z.tolist(), "cases": cases})
        REFERENCE.write_text(text + "\n", encoding="utf-8")
    print("points  activation  depth  ours s  neural-tangents s  theirs / ours (range over rounds)")
    for points in (100, 1000):
        a = rng.standard_normal((points, 20))
        for name in ACTIVATIONS:
            for depth in (2, 5):
                their_kernel = peer(name, depth, 0.1)
                run = {
                    "ours": lambda: limit.mlp(a, a, depth, ACTIVATIONS[name][0], 0.1).tangent,
                    "theirs": lambda: their_kernel(a, a).ntk.block_until_ready(),
                }
                np.testing.assert_allclose(run["ours"](), run["theirs"](), rtol=1e-6, atol=1e-9)  # compiles too
                seconds: dict[str, list[float]] = {k: [] for k in run}
                for _ in range(ROUNDS):
                    for k, call in run.items():
                        start = time.perf_counter()
                        call()
                        seconds[k].append(time.perf_counter() - start)
                ratios = [t / o for o, t in zip(seconds["ours"], seconds["theirs"], strict=True)]
                mid = {k: statistics.median(v) for k, v in seconds.items()}
                print(
                    f"{points:>6}  {name:<10}  {depth:>5}  {mid['ours']:.4f}  {mid['theirs']:.4f}  "
                    f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                )


if __name__ == "__main__":
    main()
