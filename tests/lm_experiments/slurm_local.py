"""A real Slurm on this machine, for a test: munged, slurmctld and slurmd with a configuration, keys and state of their own.

with cluster(folder) as environment: ...      SLURM_CONF and the like, for those who call sbatch, squeue, scontrol
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
SERVICES = "/usr/sbin:/usr/local/sbin"
CPUS = 4

CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld}
SlurmdPort={slurmd}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=50000,sched_interval=1,bf_interval=1,requeue_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=5
MinJobAge=60
CompleteWait=0
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobAcctGatherType=jobacct_gather/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 GraceTime=20 OverSubscribe=NO MaxTime=INFINITE
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE
"""


def missing() -> str:
    """Why there can be no Slurm here; empty if there can."""
    path = f"{os.environ['PATH']}:{SERVICES}"
    lacking = [name for name in NEEDED if shutil.which(name, path=path) is None]
    if lacking:
        return f"{', '.join(lacking)} not installed (apt-get install slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "only root can start slurmd"


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start all three services in a folder, wait until the node is idle, and stop them at the end.

    Raises:
        RuntimeError: it does not come up; the logs say why.
    """
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    host = socket.gethostname().split(".")[0]
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(folder=folder, host=host, ctld=_port(), slurmd=_port(), cpus=CPUS)
    )
    key = folder / "munge" / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    environment = {
        **os.environ,
        "PATH": f"{os.environ['PATH']}:{SERVICES}",
        "SLURM_CONF": str(folder / "slurm.conf"),
    }
    services = [
        ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.sock", "--num-threads=1",
         f"--pid-file={folder}/munge/pid", f"--log-file={folder}/munge/log", f"--seed-file={folder}/munge/seed"],
        ["slurmctld", "-D", "-c"],
        ["slurmd", "-D", "-N", host],
    ]  # fmt: skip
    with (folder / "services.log").open("wb") as log, contextlib.ExitStack() as stack:
        for command in services:
            started = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            stack.callback(_stop, started)
            time.sleep(0.2)
        until = time.monotonic() + 30
        while "idle" not in _told(["sinfo", "-h", "-o", "%T"], environment):
            if time.monotonic() > until:
                raise RuntimeError(f"Slurm does not come up; see the logs in {folder}.")
            time.sleep(0.1)
        yield environment
        _told(["scancel", "-u", "root"], environment)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _told(command: list[str], environment: dict[str, str]) -> str:
    try:
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=15).stdout
    except subprocess.TimeoutExpired:
        return ""
