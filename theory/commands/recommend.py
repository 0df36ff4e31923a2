"""`python -m theory recommend` and `python -m theory next`: which exposure to choose, and what to measure to know it better."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from common.console import Command, Json, Output, plain, seconds_since
from common.files import write_json
from common.settings import WrongUse
from theory.recommend.choice import Goal

TOO_FEW = "too few measurements for a law of their own"


@dataclass(frozen=True, kw_only=True)
class Asked(Command):
    """What recommend and next share."""

    table: Positional[tuple[str, ...]] = ()
    """Tables or a CSV of one lambda study of yours (as for crosscheck), or: published, which is the default."""
    tokens_post: float | None = None
    """Size of D_post in tokens [default: the largest of the study]."""
    tokens_pre: float | None = None
    """Size of D_pre in tokens [default: that of the study]."""
    split: Literal["independent", "compute-matched"] | None = None
    """independent: stage 2 sees all of D_post; compute-matched: not what stage 1 took [default: the study's, else independent]."""
    passes: float | None = None
    """Passes of an independent stage 2 [default: early stopping]."""
    budget: float | None = None
    """Tokens of D_post that both stages together see, compute-matched [default: one pass]."""
    goal: Annotated[Goal, arg(name="")] = field(default_factory=Goal)
    measured: tuple[str, ...] = ()
    """Your own few runs of what is planned, as LAMBDA:LOSS_IM:LOSS_RET."""
    noise: float = 0.01
    """Standard deviation of a measured loss, nats."""
    lr_ft: float | None = None
    """Fine-tuning rate, where the study has several."""
    seed: int = 0
    """Of the draws; the same seed gives the same answer."""
    json: Json = False

    def basis(self) -> tuple[Any, Any, Any, Any]:
        """Ensemble, plan, measured loss_pre and the study. Raises `WrongUse`."""
        import numpy as np

        from theory.crosscheck.outside import points_of, scaled
        from theory.crosscheck.reading import PUBLISHED, read_studies
        from theory.fitting.points import SPLITS, Points
        from theory.recommend.choice import Known
        from theory.recommend.members import fitted, published
        from theory.recommend.plan import PUBLISHED_PRE, Plan
        from theory.recommend.updating import updated

        if self.noise <= 0 or self.seed < 0:
            raise WrongUse(
                f"noise = {self.noise:g} and seed = {self.seed}: noise must be positive and seed not negative."
            )
        theirs = self.table in ((), (PUBLISHED,))
        study = read_studies(self.table or (PUBLISHED,), tokens_post=self.tokens_post, split=self.split)
        curves = _of_one_rate(study, self.lr_ft)
        points = points_of(curves)
        if not len(points.tokens) and any(np.isfinite(curve.tokens) for curve in curves):
            most = max(float(curve.exposure.max()) for curve in curves)
            raise WrongUse(
                f"{study.source}: compute-matched exposures are shares of one pass over D_post, and the table has exposure = {most:g}. "
                "Write them as fractions of at most 1, or give --split independent."
            )
        if not len(points.tokens):
            raise WrongUse(f"{study.source} does not say how large D_post is. Give --tokens-post.")
        own_pre = None if theirs else _tokens_pre(study)
        halves = set(points.matched.tolist())
        plan = Plan(
            tokens_post=self.tokens_post or float(points.sizes[-1]),
            tokens_pre=self.tokens_pre or own_pre or PUBLISHED_PRE,
            split=self.split or (SPLITS[halves.pop()] if len(halves) == 1 else SPLITS[0]),  # type: ignore[arg-type]
            passes=self.passes,
            budget=self.budget,
        )
        mine = _measured(self.measured, plan)
        likest = [c for c in curves if c.pre is not None and c.split == plan.split]
        known = None
        if likest:
            nearest = min(likest, key=lambda c: abs(np.log(c.tokens / plan.tokens_post)))
            known = Known(nearest.exposure, nearest.pre)
        if theirs:
            ensemble = published(plan, self.seed)
            corrected = updated(ensemble, mine, plan, self.noise, self.seed) if len(mine.tokens) else ensemble
            return corrected, plan, known, study
        points = Points(*(np.concatenate(pair) for pair in zip(_columns(points), _columns(mine), strict=True)))
        near = scaled(points)
        unit = float(near.tokens[0] / points.tokens[0])
        inner = replace(
            plan, tokens_post=plan.tokens_post * unit, budget=None if plan.budget is None else plan.budget * unit
        )
        own = fitted(near, inner, study.source, self.seed, tokens_pre=own_pre)
        if own is None:
            ensemble = updated(published(plan, self.seed), points, plan, self.noise, self.seed)
            return replace(ensemble, left=(f"{study.source}: {TOO_FEW}", *ensemble.left)), plan, known, study
        return replace(own, unit=unit), plan, known, study


@dataclass(frozen=True, kw_only=True)
class Recommend(Asked):
    """Say which exposure lambda minimises the predicted loss after fine-tuning, how sure that is, what it costs, and what is as good.

    Laws and linear models are weighted by what they predict out of sample; each brings the parameters that its errors allow. By
    default they are those of the published Figure 3; a study of your own is fitted instead, and a few runs of your own (--measured,
    or a small table) correct the published ones. --held-out says what such recommendations would have cost where the answer is known.
    Example: python -m theory recommend --tokens-post 2e8 --split compute-matched
    """

    held_out: bool = False
    """Instead: recommend for published curves that were held back; regret in nats beside the dullest rules."""
    out: Path | None = None
    """File for the answer as JSON; none writes nothing."""

    def run(self, out: Output) -> Any:
        """Recommend, print one screen, write if asked to."""
        began = time.perf_counter()
        document = self._held_out(out) if self.held_out else self._recommend(out)
        document["seconds"] = seconds_since(began)
        if self.out is not None:
            write_json(self.out, plain(document))
            out.show(f"Wrote {self.out}.")
        return document

    def _recommend(self, out: Output) -> dict[str, Any]:
        from theory.recommend.choice import contradicted, recommend

        ensemble, plan, known, study = self.basis()
        found = recommend(ensemble, plan, self.goal, known)
        share = found.exposure * plan.tokens_post / (plan.tokens_pre + found.exposure * plan.tokens_post)
        out.show(
            f"{found.sentence} (Best on average {found.exposure:.2f}; the best exposure lies in [{found.low:.2f}, {found.high:.2f}] "
            f"with 90 %; within {self.goal.tolerance:g} nats of the best on average.)"
        )
        out.show(
            f"D_post {plan.tokens_post:.4g} tokens, D_pre {plan.tokens_pre:.4g}, {plan.split}; at lambda = {found.exposure:.2f} D_post is "
            f"{share:.2%} of stage 1. From {ensemble.source}."
        )
        against = "" if self.goal.weight_pre else contradicted(_of_one_rate(study, self.lr_ft), plan, self.goal, found)
        for remark in filter(None, (ensemble.spread, against)):
            out.show(remark)
        pre = "not known" if found.pre is None else f"{found.pre:+.3f} measured"
        out.table(
            f"At lambda = {found.exposure:.2f} against lambda = 0, nats [90 %]",
            ("loss_ret", "loss_im", "loss_pre", "better than 0 with probability", *(f"regret of {name}" for name in found.regret)),
            [[str(found.ret), str(found.im), pre, f"{found.better:.2f}", *(f"{value:.3f}" for value in found.regret.values())]],
        )  # fmt: skip
        out.table(
            f"Accounts, weighted by {ensemble.how}",
            ("account", "weight", "error out of sample", "draws", "lambda", "90 %", "loss there - at 0"),
            [
                [one.name, f"{one.weight:.3f}", f"{one.error:.4f}", one.draws, f"{one.exposure:.2f}", f"{one.low:.2f} to {one.high:.2f}",
                 f"{one.gain:+.3f}"]
                for one in found.opinions
            ],
        )  # fmt: skip
        absent = [*ensemble.left, *(() if plan.usual else ("linear models (they know neither --passes nor --budget)",))]
        if absent:
            out.show("Left out: " + "; ".join(absent) + ".")
        if found.pre is None:
            out.show("loss_pre: no account predicts it in nats; a table with a column loss_pre does.")
        return {"plan": plan, "goal": self.goal, "recommendation": found, "answer": found.sentence, "source": ensemble.source,
                "weights": ensemble.how, "left_out": absent, "share_of_stage_1": share, "contradicted": against}  # fmt: skip

    def _held_out(self, out: Output) -> dict[str, Any]:
        from theory.recommend.held_out import trials

        if self.table:
            raise WrongUse(f"--held-out is about the published study. Leave {self.table[0]} out.")
        found = trials(seed=self.seed)
        names = list(dict.fromkeys(one.name for one in found))
        for name in names:
            here = [one for one in found if one.name == name]
            who = list(here[0].chosen)
            out.table(
                f"{name}: lambda chosen, regret in nats (best measured lambda: {', '.join(f'{one.curve} {one.best:g}' for one in here)})",
                ("", *(one.curve for one in here), "mean regret"),
                [
                    [one, *(f"{trial.chosen[one]:g}: {trial.regret[one]:.3f}" for trial in here),
                     f"{sum(trial.regret[one] for trial in here) / len(here):.3f}"]
                    for one in who
                ],
            )  # fmt: skip
        return {"trials": found}


@dataclass(frozen=True, kw_only=True)
class Next(Asked):
    """Say which runs would shrink the interval of the best exposure most, as command lines of `python -m lm_experiments run`.

    The criterion is the expected reduction of the standard deviation of the best exposure over accounts and parameters, by linear
    regression on what the runs would measure; not D-optimality.
    """

    cells: int = 4
    """How many cells (split, size, lambda)."""
    seeds: int = 5
    """Seeds behind every cell; --noise is that of their mean."""
    sizes: tuple[float, ...] = ()
    """Sizes of D_post that may be measured, tokens [default: that asked for, and a quarter of it]."""
    scale: str | None = None
    """Size of the model in the commands [default: that of the table, else nano]."""

    def run(self, out: Output) -> Any:
        """Choose, print."""
        began = time.perf_counter()
        from theory.recommend.cells import SCALE, next_cells

        ensemble, plan, known, study = self.basis()
        scale = self.scale or _scale(study)
        found = next_cells(
            ensemble,
            plan,
            self.goal,
            count=self.cells,
            noise=self.noise,
            sizes=self.sizes,
            seeds=self.seeds,
            scale=scale or SCALE,
            known=known,
        )
        out.table(
            f"Cells to measure, the most telling first ({plan.split}, D_post {plan.tokens_post:.4g} tokens; noise {self.noise:g} nats)",
            ("split", "tokens_post", "lambda", "standard deviation of the best lambda after it"),
            [
                ["now", "", "", f"{found.deviation:.3f}"],
                *(
                    [one.split, f"{one.tokens_post:.0f}", f"{one.exposure:g}", f"{one.deviation:.3f}"]
                    for one in found.cells
                ),
            ],
        )
        out.show(
            f"The 90 % interval of the best exposure is {found.width:.2f} wide, and would be about {found.expected:.2f}."
        )
        if found.cells:
            out.show(_belonging(study, scale, chosen=self.scale is not None))
        else:
            out.show(
                "Every draw of every account has its best exposure at the same place: by what they know no run would tell more."
            )
        for line in found.commands:
            out.show(line)
        return {"plan": plan, "cells": found.cells, "commands": found.commands, "width": found.width, "expected": found.expected,
                "source": ensemble.source, "seconds": seconds_since(began)}  # fmt: skip


def _belonging(study: Any, scale: str | None, *, chosen: bool) -> str:
    """Which studies, and at which scale, the commands of `next` are cells of."""
    from theory.recommend.cells import SCALE, STUDY

    named = " and ".join(f"{name} ({split})" for split, name in STUDY.items())
    origin = "" if chosen else f", as in {study.source}" if scale else f", as {study.source} names none (--scale)"
    return (
        f"The commands are cells of the studies {named} at scale {scale or SCALE}{origin}; `python -m lm_experiments plan` says what they "
        "cost. Corpora, rates and sizes are that study's: where yours differ, train the same cells in your own pipeline."
    )


def _columns(points: Any) -> tuple[Any, ...]:
    return points.exposure, points.tokens, points.matched, points.loss


def _of_one_rate(study: Any, lr_ft: float | None) -> list[Any]:
    """The curves of one fine-tuning rate. Raises `WrongUse` where there are several and none is chosen."""
    import math

    rates = sorted({c.lr_ft for c in study.curves if not math.isnan(c.lr_ft)})
    if lr_ft is None and len(rates) < 2:
        return list(study.curves)
    listed = ", ".join(f"{rate:g}" for rate in rates)
    if lr_ft is None or not any(math.isclose(lr_ft, rate) for rate in rates):
        raise WrongUse(f"{study.source} has the fine-tuning rates {listed or 'none'}. Choose one of them with --lr-ft.")
    return [c for c in study.curves if math.isclose(c.lr_ft, lr_ft)]


def _scale(study: Any) -> str | None:
    """Size of the model in a study, as `lm_experiments run` calls it, where it has one."""
    found = set(study.table["scale"].to_pylist()) if study.table is not None else set()
    return str(found.pop()).lower() if len(found) == 1 and found != {None} else None


def _tokens_pre(study: Any) -> float | None:
    """Size of D_pre in a study, where it says."""
    import numpy as np

    if study.table is None or "tokens_pre" not in study.table.column_names:
        return None
    from common.results import column

    values: Any = column(study.table, "tokens_pre")
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else None


def _measured(texts: Sequence[str], plan: Any) -> Any:
    """Runs of one's own as points at the plan. Raises `WrongUse` where one is not understood."""
    import numpy as np

    from theory.fitting.points import SPLITS, Points

    rows = []
    for text in texts:
        try:
            exposure, im, ret = (float(part) for part in text.split(":"))
        except ValueError as error:
            raise WrongUse(
                f"--measured {text} is not understood. Write LAMBDA:LOSS_IM:LOSS_RET, as 0.25:1.78:2.12."
            ) from error
        if not (0 <= exposure <= plan.most and np.isfinite([im, ret]).all()):
            raise WrongUse(
                f"--measured {text}: lambda must lie between 0 and {plan.most:g}, and losses must be finite."
            )
        rows.append((exposure, im, ret))
    found = np.array(rows).reshape(-1, 3)
    matched = np.full(len(rows), SPLITS.index(plan.split))
    return Points(found[:, 0], np.full(len(rows), plan.tokens_post), matched, found[:, 1:])
