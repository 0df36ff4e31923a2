"""The numbers of the experiments that are to decide between accounts, E2 to E5, and of D1 over the testbeds."""

import re
from functools import partial
from typing import Any

import numpy as np

from common.seeds import Interval
from common.settings import WrongUse
from paper.macros import Macro, Rows
from paper.reading import by_seed, cell, found, judged, paired, said, verdict_row

STUDY, TABLE, PROBES = "deciding", "lm/nano/deciding", "lm/nano/deciding-probes"
WHERE = "general>instruction>chemistry, lambda 1: {}"
MIDDLE = 3e-4
PRIMARY = (
    ("E2", "held", r"$\Lret$ beside unexposed held as near by L2"),
    ("E3", "noise_03", r"rise of the loss under noise of $.03$"),
    ("E4", "share_im", r"share of $\Dft$'s gradient in $\Dpost$'s directions"),
    ("E5", "relearned_24", "log of what 24 steps leave of the forgetting"),
)
SECONDARY = (
    ("E2", "loss_ret extra", r"$\Lret$ beside nine passes of stage~2, unexposed"),
    ("E2", "loss_ret slow", r"$\Lret$ beside a slow stage~2, unexposed"),
    ("E3", "noise_10", "rise of the loss under noise of $.1$"),
    ("E3", "noise_bend_03", "second difference along noise of $.03$"),
    ("E3", "noise_bend_10", "second difference along noise of $.1$"),
    ("E3", "step_along", r"rise of the loss after a step of fine-tuning"),
    ("E3", "SAM", r"effect on $\Lret$ under SAM minus without"),
    ("E4", "fisher_share_im", "the share by Fisher information"),
    ("E4", "given", r"$\Lret$ of unexposed, given the change, minus its own$^\dagger$"),
    ("E4", "taken", r"$\Lret$ of exposed, without the change, minus its own$^\dagger$"),
    *(("E5", f"relearned_{steps}", f"log of what {steps} steps leave") for steps in (6, 12, 48)),
)
"""Experiment, statistic as `common.mechanisms` names it, and its words in the text."""


def deciding() -> list[Macro]:
    """All of them."""
    verdicts = "results/lm/verdicts.parquet"
    own: dict[str, Any] = {"claim": "D1", "study": STUDY, "primary": True}
    over: dict[str, Any] = {"claim": "D1", "variant": "over testbeds"}
    made = [
        Macro(name="DecidingRows", table=verdicts, column="value, low, high, status", value=_rows,
              reduction=f"study {STUDY}: a row per statistic, D_post and its shuffled decoy"),
        *(said(f"{word}Status", "lm", **_of(*one[:2])) for word, one in zip(("Held", "Noise", "Share", "Relearned"), PRIMARY, strict=True)),
        *judged("DecoyDeciding", "lm", **own),
        *judged("DecoyOver", "lm", **over),
        *(
            Macro(name=f"DecoyOver{word}", table=verdicts, column="effect", reduction=f"D1 over testbeds: {start}",
                  value=partial(_testbed, start, over))
            for word, start in (("Chemistry", "general>instruction>chemistry"), ("Facts", "facts:pre"))
        ),
        *(
            Macro(name=f"Sims{word}", table="results/sims/verdicts.parquet", column="status", reduction=f"E1 to E5: {which}",
                  value=partial(_simulated, some))
            for word, which, some in (("Promised", "count of supported", {"status": "supported"}), ("Accounts", "count", {}))
        ),
    ]  # fmt: skip
    return made + _beside() + _grafts()


def _of(claim: str, name: str, variant: str = "") -> dict[str, Any]:
    return {"claim": claim, "study": STUDY, "variant": variant, "where": WHERE.format(name)}


def _rows() -> Rows:
    """A row per statistic, the primary ones first."""

    def line(claim: str, name: str, words: str) -> str:
        own = verdict_row("lm", **_of(claim, name))["status"]
        return " & ".join([claim, words, *(cell("lm", **_of(claim, name, of)) for of in ("", "shuffled")), own])

    first, second = (" \\\\\n".join(line(*one) for one in some) + " \\\\" for some in (PRIMARY, SECONDARY))
    return Rows(f"{first}\n\\addlinespace\n{second}")


def _testbed(start: str, over: dict[str, Any]) -> Interval:
    """One testbed's part in D1 over all, which the verdict says in words. Raises `WrongUse` where it does not."""
    effect = verdict_row("lm", **over)["effect"]
    number = r"([+-][\d.]+)"
    part = re.search(rf"{re.escape(start)}\S* {number} \[{number}, {number}\]", effect)
    if part is None:
        raise WrongUse(
            f"D1 over testbeds says {effect!r}, and nothing of {start}. Say in paper/deciding.py which is quoted."
        )
    value, low, high = map(float, part.groups())
    return Interval(value=value, low=low, high=high)


def _simulated(some: dict[str, Any]) -> int:
    return sum(len(found("sims", claim=f"E{number}", **some)) for number in range(1, 6))


def _beside() -> list[Macro]:
    """What unexposed models lose less or more under more care in stage 2, and how far L2 keeps them from where they began."""
    table = f"results/{TABLE}.parquet"
    least = 1e-3

    def unexposed(arm: str, loss: str, weight: float = 0.0) -> dict[int, float]:
        wanted = {"lm.variant": arm, "exposure": 0.0, "l2_to_start": weight, "lr_ft": MIDDLE}
        return by_seed(TABLE, loss, wanted)

    def nearer() -> int:
        far, near = (
            np.mean(list(unexposed(arm, "lm.moved_post", weight).values()))
            for arm, weight in (("real", 0.0), ("anchored", least))
        )
        return round(100 * float(1 - near / far))  # fmt: skip

    def against_none(arm: str, weight: float) -> Interval:
        return paired(unexposed(arm, "loss_ret", weight), unexposed("real", "loss_ret"))

    arms = (("Held", "anchored", least), ("Extra", "extra", 0.0), ("Slow", "slow", 0.0))
    return [
        Macro(name="HeldNearer", table=table, column="lm.moved_post", reduction="anchored, L2 0.001, below real, exposure 0: percent",
              value=nearer),
        *(
            Macro(name=f"{word}Ret", table=table, column="loss_ret", reduction=f"{arm} minus real, exposure 0, lr_ft 0.0003, by seed",
                  value=partial(against_none, arm, weight))
            for word, arm, weight in arms
        ),
    ]  # fmt: skip


def _grafts() -> list[Macro]:
    """The loss on D_post right after weights were moved from one model to another."""

    def mean(column: str, exposure: float) -> float:
        wanted = {"lm.variant": "real", "exposure": exposure, "lr_ft": MIDDLE}
        return float(np.mean(list(by_seed(PROBES, column, wanted).values())))

    return [
        Macro(name=f"Graft{word}", table=f"results/{PROBES}.parquet", column=column, digits=1,
              reduction=f"real, exposure {exposure:g}: mean over seeds", value=partial(mean, column, exposure))
        for word, column, exposure in (("Whole", "loss_im", 0.0), ("Given", "probe.given_im", 1.0), ("Taken", "probe.taken_im", 1.0))
    ]  # fmt: skip
