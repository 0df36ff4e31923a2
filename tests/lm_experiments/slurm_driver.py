"""A driver of twelve tiny stages on Slurm, as a process that can be killed; prints what is done, and why other stages are not.

2 stage-1 models --> 4 stage-2 --> 3 stage-3 of which one is slow;    1 stage-1 whose data cannot be read --> 2 descendants
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.console import Output
from lm_experiments import launch
from lm_experiments.slurm import Slurm, SlurmSettings
from lm_experiments.stages import Node
from tests.lm_experiments.test_stages import DATA, STORES, Text, first, second

SLOW = "slow/report"


class Slow(Text):
    """A store that takes its time."""

    def window(self, index: int, length: int) -> Any:
        time.sleep(0.15)
        return super().window(index, length)


def stores() -> Any:
    """Those of the tests of stages, one that is slow, and one that cannot be read."""

    def open_named(name: str) -> Any:
        if name == "bad/report":
            raise OSError("unreadable")
        return Slow("a/train") if name == SLOW else STORES[name]

    return open_named


def graph() -> tuple[list[Node], Node, Node]:
    """The leaves, the slow stage, and the one that fails."""
    roots = [first(), first(exposure=0.25)]
    middle = [second(root, lr) for root in roots for lr in (1e-2, 2e-2)]
    bad = first(exposure=0.75, data=(*DATA, ("bad/report", "f")))
    slow = second(middle[0], lr=3e-3)
    slow = replace(
        slow, kind="ft", stop_on=None, data=(*DATA, (SLOW, "f")),
        plan=replace(slow.plan, parts=tuple(replace(part, store=SLOW) for part in slow.plan.parts)),
        settings=replace(slow.settings, eval_every=0, patience=0, log_every=1),
    )  # fmt: skip
    leaves = [slow, second(middle[1], 4e-3), second(middle[2], 4e-3), middle[3], second(bad), second(bad, 2e-2)]
    return leaves, slow, bad


def main(root: Path) -> None:
    """Drive the graph."""
    leaves, _, _ = graph()
    executor = Slurm(SlurmSettings(partition="low", minutes=10, poll=0.3))
    found = launch.run(leaves, root, stores, 1, Output(True), {}, lambda *_: None, executor=executor, name="twelve")
    print(json.dumps({"done": sorted(found.outcomes), "failed": {k: v.message for k, v in found.failures.items()}}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
