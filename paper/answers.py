"""What the text quotes of commands that leave no table: their answers, stored with the command of each.

`python -m paper measure` carries the commands out and writes `results/theory/answers.json`; `python -m paper rerun theory/answers`
does it again and compares.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common.console import Failed
from common.published import RESULTS
from common.results import code_version

FILE = RESULTS / "theory" / "answers.json"
AXES = "alpha=0:0.5:20 beta=0.3:2.5:10 sigma_ft=0.1:1.3:10 t_post=0.05:5:25:log t_ft=0.01:10:20:log"
"""The sweep of `make demo`."""
COMMANDS: dict[str, tuple[str, ...]] = {
    "headline": (
        f"theory sweep {AXES} --out sweep.parquet",
        "theory study overlay --out .",
        "theory headline --sweep sweep.parquet --overlay overlay.parquet",
    ),
    "proofs": ("theory prove",),
    "errata": ("theory errata",),
    "held_out": ("theory recommend --held-out",),
    "recommended": ("theory recommend --tokens-post 1.5e8 --split compute-matched",),
}
"""Answer -> the commands after `python -m`, in one folder; the last one's JSON document is the answer."""


def _some(*names: str) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return lambda entries: [{name: entry[name] for name in names} for entry in entries]


KEPT: dict[str, Callable[[Any], Any]] = {
    "proofs": lambda found: _some("status", "grade", "holds")(found["proofs"]),
    "errata": lambda found: _some("name", "status", "confirmed")(found["errata"]),
    "held_out": lambda found: _some("name", "curve", "best", "spread", "chosen", "regret")(found["trials"]),
    "recommended": lambda found: {
        name: found["recommendation"][name] for name in ("exposure", "low", "high", "good", "regret")
    },
}
"""What is stored of an answer that says more."""


def measured(done: Callable[[int], None] = lambda count: None) -> dict[str, Any]:
    """Carry all commands out. Raises `Failed` where one fails.

    Args:
        done: called with 1 as each answer is there.
    """
    answers = {}
    with TemporaryDirectory() as folder:
        for name, commands in COMMANDS.items():
            said = ""
            for command in commands:
                said = _answer(command, Path(folder))
            found = json.loads(said)
            answers[name] = {
                "commands": [f"python -m {one}" for one in commands],
                "answer": KEPT.get(name, _same)(found),
            }
            done(1)
    return {"command": "python -m paper measure", "code_version": code_version(), "answers": answers}


def _same(found: Any) -> Any:
    return found


def _answer(command: str, folder: Path) -> str:
    root = Path(__file__).resolve().parent.parent
    path = os.pathsep.join(
        filter(None, (str(root), os.environ.get("PYTHONPATH")))
    )  # the commands write where they stand
    words = [sys.executable, "-m", *command.split(), "--json"]
    heard = subprocess.run(words, cwd=folder, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    if heard.returncode:
        raise Failed(f"`python -m {command}` failed: {heard.stderr.strip()}")
    return heard.stdout


def stored() -> dict[str, Any]:
    """Name -> answer, as stored."""
    document = json.loads(FILE.read_text())
    return {name: entry["answer"] for name, entry in document["answers"].items()}


def differences(before: Any, now: Any, tolerance: float = 1e-6, where: str = "") -> list[str]:
    """Where two answers differ: numbers by more than a relative tolerance, everything else at all."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = dict.fromkeys([*before, *now])
        return [
            one for name in names for one in differences(before.get(name), now.get(name), tolerance, f"{where}/{name}")
        ]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = enumerate(zip(before, now, strict=True))
        return [one for i, (a, b) in pairs for one in differences(a, b, tolerance, f"{where}/{i}")]
    if isinstance(before, int | float) and isinstance(now, int | float):
        near = abs(before - now) <= tolerance * max(abs(before), 1.0)
        return [] if near else [f"{where}: {before!r} stored, {now!r} now"]
    return [] if before == now else [f"{where}: {before!r} stored, {now!r} now"]
