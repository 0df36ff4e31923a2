"""The Slurm executor: every stage is a job of its own, handed over through submitit with its dependencies, all at once.

    pre --afterany--> post --afterany--> ft        a job begins when its parent's has ended, however that was

Whether a stage is done is said by its sealed folder, never by an exit code. A job whose parent's folder is not sealed writes down why
it does not begin, so that nothing waits for ever, and it needs no driver for that: a driver that is killed leaves the jobs to
go on, and the next one finds them by the number that lies in <root>/.jobs. Before its time limit, or when it is pre-empted, a
job is sent a signal: it writes a checkpoint, puts itself back into the queue, and goes on there.

submitit hands the stage over as a pickle, in a folder beside the runs (<root>-jobs); nothing is unpickled from the runs themselves.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from common.settings import Settings, WrongUse, setting
from lm_experiments import interruption, journal
from lm_experiments.launch import Launch, StoreFactory
from lm_experiments.paths import Damaged
from lm_experiments.safe_files import read_json, write_json
from lm_experiments.stages import Node, attempt, finished, folder_of, told

PATIENT = """sh -c 'trap "" TERM USR2; exec "$0" "$@"'"""
"""Before Python can handle signals it must not die of them: a job that is pre-empted while it loads would end, not be put back."""
GONE = 2
"""Looks at the queue in a row that must miss a job before it counts as gone."""
ALIVE = ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "REQUEUED", "RESIZING", "STOPPED", "SIGNALING",
         "REQUEUE_HOLD", "SPECIAL_EXIT", "STAGE_OUT")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SlurmSettings(Settings):
    """What a stage asks Slurm for; decides nothing about the result."""

    partition: str = ""
    """Partition; empty is the cluster's default."""
    account: str = ""
    """Account that pays."""
    qos: str = ""
    """Quality of service."""
    minutes: int = setting(240, low=1)
    """Time limit of a job; a stage that needs longer goes on in the next one."""
    gpus: int = setting(0, low=0)
    """GPUs on every node; one process each."""
    nodes: int = setting(1, low=1)
    """Nodes of a stage."""
    processes: int = setting(1, low=1)
    """Processes on every node where there are no GPUs."""
    cpus: int = setting(1, low=1)
    """Cores of a process."""
    notice: int = setting(90, low=1)
    """Seconds before the time limit at which a job is told to write its checkpoint."""
    poll: float = setting(10.0, low=0, open_low=True)
    """Seconds between two looks at the queue."""


class Slurm:
    """Jobs on a cluster."""

    name = "slurm"

    def __init__(self, chosen: SlurmSettings) -> None:
        """Args: chosen: what a stage asks for. Raises `WrongUse` where there is no Slurm."""
        import shutil

        if lacking := [name for name in ("sbatch", "srun", "squeue", "scontrol") if shutil.which(name) is None]:
            raise WrongUse(
                f"--executor slurm needs {', '.join(lacking)}, which {'is' if len(lacking) == 1 else 'are'} not on the PATH. "
                "Run this on a machine of the cluster, or choose --executor local."
            )
        self._chosen = chosen

    def carry_out(self, launch: Launch, opener: StoreFactory) -> None:
        """Submit what waits, then watch the folders until every stage is done, failed, or left behind by an ancestor.

        Interrupted, it leaves the jobs in the queue; the same command watches them again.
        """
        missed: dict[str, int] = {}
        jobs = {node.hash: self._submitted(node, launch.root, opener) for node in list(launch.waiting.values())
                if not _hopeless(node, launch)}  # fmt: skip
        try:
            while self._look(launch, jobs, missed):
                time.sleep(self._chosen.poll)
        except KeyboardInterrupt:
            launch.lines.out.errors.print(
                "The jobs stay in the queue. `python -m lm_experiments status` shows them, `cancel` ends them.",
                markup=False,
            )
            raise

    def _look(self, launch: Launch, jobs: Mapping[str, str], missed: dict[str, int]) -> bool:
        """Settle what has ended; False when nothing is left that could still end."""
        alive = queue()
        for node in list(launch.waiting.values()):
            if _hopeless(node, launch):  # its job finds out by itself too, but may be far down the queue
                _give_up(node, launch, jobs.get(node.hash))
                continue
            folder = folder_of(node, launch.root)
            if (folder / "done").exists():
                try:
                    outcome = finished(node, launch.root)
                    assert outcome is not None
                    what = told(node, launch.root, outcome)
                except WrongUse as error:
                    launch.settle(node, "failed", str(error))
                    continue
                launch.settle(node, "done", what)
                launch.lines.done(node, what)
                continue
            missed[node.hash] = 0 if alive is None or jobs[node.hash] in alive else missed.get(node.hash, 0) + 1
            if missed[node.hash] > GONE:
                seen = journal.look(launch.root, node.hash)
                message = (
                    seen.about if seen.state == "failed" else f"job {jobs[node.hash]} left the queue without a result"
                )
                journal.failed(folder, message)
                _forget(node.hash, launch.root)
                launch.settle(node, "failed", f"{message} (log: {_logs(launch.root)}/{jobs[node.hash]}_0_log.err)")
        return bool(launch.waiting)

    def _submitted(self, node: Node, root: Path, opener: StoreFactory) -> str:
        """The number of the stage's job: the one that is in the queue, or a new one."""
        record = root / ".jobs" / f"{node.hash}.json"
        record.parent.mkdir(exist_ok=True)
        with FileLock(record.with_suffix(".lock")):  # two drivers submit one job
            if (alive := queue()) is None:
                raise OSError(
                    "squeue does not answer, so that a job could be submitted twice, or before its parent. Run this again when it does."
                )
            if (job := job_of(node.hash, root)) and job in alive:
                return job
            (folder_of(node, root) / "failed.json").unlink(missing_ok=True)
            parent = job_of(node.parent.hash, root) if node.parent else None
            job = self._submit(node, root, opener, parent if parent in alive else None)
            write_json(record, {"job": job, "time": time.strftime("%Y-%m-%dT%H:%M:%S")})
            return job

    def _submit(self, node: Node, root: Path, opener: StoreFactory, after: str | None) -> str:
        import submitit

        chosen = self._chosen
        executor = submitit.SlurmExecutor(folder=_logs(root), python=f"{PATIENT} {shlex.quote(sys.executable)}")
        more: dict[str, Any] = {"requeue": True}
        if after:
            more["dependency"] = f"afterany:{after}"
        asked: dict[str, Any] = {
            "job_name": f"stage-{node.hash}", "time": chosen.minutes, "nodes": chosen.nodes, "cpus_per_task": chosen.cpus,
            "ntasks_per_node": chosen.gpus or chosen.processes, "signal_delay_s": chosen.notice, "stderr_to_stdout": False,
            "additional_parameters": more,
        }  # fmt: skip
        asked |= {name: value for name in ("partition", "account", "qos") if (value := getattr(chosen, name))}
        if chosen.gpus:
            asked["gpus_per_node"] = chosen.gpus
        executor.update_parameters(**asked)
        try:
            return str(executor.submit(StageJob(node, root.resolve(), opener)).job_id)
        except Exception as error:  # submitit has many kinds
            raise OSError(f"Slurm did not take the job of {node.hash} ({error})") from error


@dataclass
class StageJob:
    """What a job does."""

    node: Node
    root: Path
    opener: StoreFactory

    def __call__(self) -> str:
        """Train the stage, on all processes of the job; returns what became of it, for the job's log only."""
        interruption.on(signal.SIGUSR2, signal.SIGTERM)
        ranks = _ranks()
        parent = self.node.parent
        folder = folder_of(self.node, self.root)
        if parent is not None and finished(parent, self.root) is None:
            seen = journal.look(self.root, parent.hash)
            reason = f"not begun: its parent {parent.hash} is not done ({seen.about or seen.state})"
            if ranks[0] == 0:
                journal.failed(folder, reason)
            return reason
        import torch

        if not torch.cuda.is_available():
            torch.set_num_threads(int(os.environ.get("SLURM_CPUS_PER_TASK", "1")))
        until = time.monotonic() + 600
        while True:
            try:
                kind, what = attempt(self.node, self.root, self.opener(), lambda _: None)
            except interruption.Stopped as stopped:
                if ranks[0] == 0:
                    _again(folder)
                return str(stopped)
            if kind != "occupied" or time.monotonic() > until:
                return kind if kind == "done" else str(what)
            time.sleep(2)  # what was pre-empted may need a moment to let go of the folder


def _ranks() -> tuple[int, int]:
    """This process's number and how many there are; torch is told where they meet."""
    if (count := int(os.environ.get("SLURM_NTASKS", "1"))) == 1:
        return 0, 1
    import submitit

    submitit.helpers.TorchDistributedEnvironment().export(overwrite=True)
    return int(os.environ["SLURM_PROCID"]), count


def _again(folder: Path) -> None:
    """Put this job back into the queue, unless it is being cancelled or has got nowhere since it was last put there."""
    job = os.environ["SLURM_JOB_ID"]
    if (queue() or {}).get(job) != "RUNNING" or (folder / "failed.json").exists():
        return
    steps = sorted(int(path.name.removeprefix("checkpoint-")) for path in folder.glob("checkpoint-*"))
    newest, mark = steps[-1] if steps else 0, folder / "requeued.json"
    before = -1
    with contextlib.suppress(Damaged, WrongUse, KeyError):
        before = read_json(mark)["step"]
    if newest <= before:
        journal.failed(
            folder, f"it was stopped twice at step {newest}: the time limit is too short. Give more --minutes."
        )
        return
    write_json(mark, {"step": newest})
    subprocess.run(["scontrol", "requeue", job], check=False)
    time.sleep(60)  # the requeue ends this process


def queue() -> dict[str, str] | None:
    """Jobs that have not ended -> state; None where Slurm does not answer."""
    try:
        found = subprocess.run(
            ["squeue", "-h", "-a", "-t", "all", "-o", "%A %T"], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if found.returncode:
        return None
    lines = [line.split() for line in found.stdout.splitlines()]
    return {line[0]: line[1] for line in lines if len(line) == 2 and line[1] in ALIVE}


def job_of(name: str, root: Path) -> str | None:
    """The number of the job that a stage was last given."""
    try:
        return str(read_json(root / ".jobs" / f"{name}.json")["job"])
    except (Damaged, WrongUse, KeyError, OSError):
        return None


def cancel(names: Iterator[str] | list[str], root: Path) -> list[str]:
    """End the jobs of stages, if they have any; returns their numbers."""
    jobs = [job for name in names if (job := job_of(name, root))]
    if jobs:
        subprocess.run(["scancel", *jobs], check=False, capture_output=True)
    return jobs


def _forget(name: str, root: Path) -> None:
    (root / ".jobs" / f"{name}.json").unlink(missing_ok=True)


def _logs(root: Path) -> Path:
    return root.resolve().with_name(f"{root.resolve().name}-jobs")


def _hopeless(node: Node, launch: Launch) -> bool:
    return any(one.hash in launch.found.failures for one in node.lineage[:-1])


def _give_up(node: Node, launch: Launch, job: str | None) -> None:
    """Cancel a descendant of a stage that failed, with the reason."""
    failed = next(one for one in node.lineage if one.hash in launch.found.failures)
    message = launch.found.failures[failed.hash].message
    journal.failed(folder_of(node, launch.root), f"not begun: its ancestor {failed.hash} failed: {message}")
    if job:
        cancel([node.hash], launch.root)
    _forget(node.hash, launch.root)
    launch.waiting.pop(node.hash)
