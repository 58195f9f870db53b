"""What a run runs on: one thread, deterministic algorithms, and a description of the machine."""

import datetime
import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path

import threadpoolctl
import torch

from replib.record import Cost, Environment

THREADS_VARIABLE = "REPLIB_THREADS"
_PACKAGES = ("matplotlib", "numpy", "scipy", "torch")


def requested_threads() -> int:
    """One, unless the environment variable REPLIB_THREADS asks for more.

    More threads change the order of sums and so the last bits: such a run is good for seeing
    whether that matters, and the build refuses to publish it.
    """
    text = os.environ.get(THREADS_VARIABLE, "1")
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"{THREADS_VARIABLE} must be a positive whole number, got {text!r}: unset it")
    return int(text)


def active_threads() -> int:
    """The largest number of threads any numerical library in this process would use."""
    pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    return max([torch.get_num_threads(), *pools])


def pin_threads() -> None:
    """Limit torch and every BLAS and OpenMP pool, then assert that it worked.

    Raises:
        RuntimeError: a pool kept more threads; set OMP_NUM_THREADS=1 before Python starts.
    """
    wanted = requested_threads()
    torch.set_num_threads(wanted)
    threadpoolctl.threadpool_limits(limits=wanted)
    if active_threads() != wanted:
        raise RuntimeError(
            f"this process computes with {active_threads()} threads instead of {wanted}: "
            f"start it with OMP_NUM_THREADS={wanted}"
        )


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def describe() -> Environment:
    """The machine and the versions as they are now."""
    return Environment(
        python=platform.python_version(),
        packages={name: metadata.version(name) for name in _PACKAGES},
        platform=f"{platform.system()} {platform.machine()}",
        cpu=_cpu_name(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        threads=active_threads(),
        gpu=torch.cuda.get_device_name(0) if torch.cuda.is_available() else "",
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )


def _peak_mib() -> float:
    try:
        import resource
    except ImportError:  # Windows keeps no such count
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


class Clock:
    """Wall time, processor time and peak memory since its making."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def cost(self, download_mib: float = 0.0) -> Cost:
        """What has been spent so far."""
        return Cost(
            wall_s=round(time.perf_counter() - self._wall, 2),
            cpu_s=round(time.process_time() - self._cpu, 2),
            peak_mib=round(_peak_mib(), 1),
            download_mib=download_mib,
        )
