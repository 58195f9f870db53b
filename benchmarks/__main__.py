"""Run benchmarks beside their peers: python benchmarks [name ...] writes benchmarks/results/<name>.json.

The peers are no dependencies of the book. What a script needs beyond the book's environment is put in a folder of
its own below ``_build/peers`` and seen by that script alone. A published repository is cloned there at the commit
named, or taken from ``REPLIB_PEERS/<name>`` where that variable names a folder of clones.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / "_build" / "peers"

# without their dependencies: those not in the book's environment are named too
PACKAGES = {
    "ensemble": [],
    "graphs": [],
    "kernels": [
        "neural-tangents==0.6.5",
        "jax==0.4.30",
        "jaxlib==0.4.30",
        "numpy==2.3.5",
        "ml-dtypes==0.6.0",
        "opt-einsum==3.4.0",
        "absl-py==2.5.1",
        "frozendict==2.5.1",
    ],
    "spiking": ["brian2==2.9.0", "numpy==2.3.5", "cython==3.3.1", "py-cpuinfo==9.0.0", "snntorch==1.0.0"],
    "domains": [],
    "convex": [],
    "splines": ["pykan==0.2.8"],
    "grokking": ["einops==0.8.1"],
    "build": [],
}
REPOSITORIES = {
    "ensemble": [
        (
            "nn-extrapolate/feedforward",
            "https://github.com/jinglingli/nn-extrapolate",
            "b41b52e463f676dd7fdd5a48d85e1f6517830875",
        )
    ],
    "grokking": [
        (
            "modular-addition-feature-learning/src",
            "https://github.com/Y-Agent/modular-addition-feature-learning",
            "bcb280dce4a6e6824b345bbd36c3503ead1ed80e",
        )
    ],
}


def prepared(name: str) -> dict[str, str]:
    """The script's environment, with its peers installed."""
    folder = PEERS / name
    wanted, marker = "\n".join(PACKAGES[name]), folder / "installed.txt"
    if wanted and not (marker.exists() and marker.read_text() == wanted):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", str(folder)]
        subprocess.run([*pip, *PACKAGES[name]], check=True)
        marker.write_text(wanted)
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    for modules, url, commit in REPOSITORIES.get(name, []):
        root = Path(os.environ.get("REPLIB_PEERS", PEERS))
        clone = root / Path(modules).parts[0]
        if not clone.is_dir():
            clone.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["git", "clone", "--quiet", url, str(clone)], check=True)
        subprocess.run(["git", "-C", str(clone), "checkout", "--quiet", commit], check=True)
        paths.append(str(root / modules))
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
        # as the build sets them for notebooks
        "MALLOC_MMAP_THRESHOLD_": "8388608",
        "MALLOC_TRIM_THRESHOLD_": "1073741824",
    }


def main() -> None:
    names = sys.argv[1:] or list(PACKAGES)
    if unknown := set(names) - set(PACKAGES):
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(PACKAGES)}")
    failed = []
    for name in names:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, str(HERE / f"{name}.py"), "--write"], env=prepared(name)).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
