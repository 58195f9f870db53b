"""A SLURM cluster of two nodes on one machine, for tests: one controller and two node daemons on different ports.

Needs root, and Debian's slurm-wlm and munge. The configuration lies in the default place, where every SLURM
command finds it; a cluster that is already configured there is left alone.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

CONFIGURATION = Path("/etc/slurm/slurm.conf")
MARK = "# a test cluster of the book of replications, removed by its test"
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "munged")
NODES = ("node1", "node2")
TEMPLATE = """\
{mark}
ClusterName=book
SlurmctldHost=localhost
SlurmUser=root
SlurmctldPort=16817
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MinJobAge=3600
ReturnToService=2
SlurmdParameters=config_overrides
MailProg=/bin/true
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
NodeName=node1 NodeHostname=localhost NodeAddr=127.0.0.1 Port=17001 CPUs=1 RealMemory=4000
NodeName=node2 NodeHostname=localhost NodeAddr=127.0.0.1 Port=17002 CPUs=1 RealMemory=4000
PartitionName=main Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why no cluster can be started here; empty if one can."""
    absent = [p for p in PROGRAMS if shutil.which(p) is None]
    if absent:
        return f"no SLURM here ({', '.join(absent)} missing): install slurm-wlm and munge"
    if os.geteuid():
        return "starting SLURM needs root"
    if CONFIGURATION.exists() and MARK not in CONFIGURATION.read_text():
        return f"{CONFIGURATION} configures another cluster"
    return ""


def scontrol(*arguments: str) -> str:
    """The answer of one scontrol command."""
    return subprocess.run(["scontrol", *arguments], check=True, capture_output=True, text=True).stdout


def jobs() -> list[dict[str, str]]:
    """All jobs the controller remembers, as it shows them."""
    lines = scontrol("--oneliner", "show", "jobs").splitlines()
    return [dict(field.split("=", 1) for field in line.split() if "=" in field) for line in lines if "JobId=" in line]


def _wait(what: str, condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after a minute there is still no {what}")
        time.sleep(0.2)


def _answers(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[None]:
    """Start the daemons, and end them and remove the configuration afterwards, whatever happened."""
    (folder / "state").mkdir(parents=True)
    CONFIGURATION.parent.mkdir(exist_ok=True)
    CONFIGURATION.write_text(TEMPLATE.format(mark=MARK, folder=folder))
    started = []

    def start(*command: str) -> None:
        quiet = subprocess.DEVNULL  # each daemon has a log file
        started.append(subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True))

    try:
        if not _answers("munge", "-n"):
            runtime = Path("/run/munge")
            runtime.mkdir(exist_ok=True)
            shutil.chown(runtime, "munge", "munge")
            start("runuser", "-u", "munge", "--", "munged", "--foreground")
            _wait("munge", lambda: _answers("munge", "-n"))
        start("slurmctld", "-D")
        for node in NODES:
            start("slurmd", "-D", "-N", node)
        _wait("idle nodes", lambda: idle() == set(NODES))
        yield
    finally:
        subprocess.run(["scancel", "--user=root"], capture_output=True, check=False)
        for process in reversed(started):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)
            if process.poll() is None:
                process.kill()
                process.wait()
        CONFIGURATION.unlink(missing_ok=True)


def idle() -> set[str]:
    """The names of the nodes that wait for work."""
    done = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--states=idle", "--format=%N"], capture_output=True, text=True, check=False
    )
    return set(done.stdout.split())
