"""Tables of studies that nobody trained: a row per cell as its settings say, with losses by a rule."""

from functools import cache

from common import results
from lm_experiments.rows import EXTRA
from lm_experiments.studies import named
from lm_experiments.studies.settings import Axis


def settled(name, scale, losses, seeds=None):
    """A results table of a study.

    Args:
        name: of the study; scale: its scale.
        losses: settings of a cell and its arm -> loss_im, loss_ret, loss_ft, loss_pre; None leaves the row out.
        seeds: of it; its own, where they are left out.
    """
    rows = []
    for number, (chosen, arm, columns) in enumerate(_cells(name, scale, seeds and tuple(seeds))):
        if (values := losses(chosen, arm)) is not None:
            measured = zip(("loss_im", "loss_ret", "loss_ft", "loss_pre"), values, strict=True)
            rows.append({**columns, **dict(measured), "config_hash": f"{number:x}"})
    return results.table({key: [row[key] for row in rows] for key in rows[0]}, EXTRA)


@cache
def _cells(name, scale, seeds):
    """Settings and arm of every cell, and what its row says of them."""
    study = named(name, scale)
    made = []
    for cell in (study.over(Axis("seed", seeds)) if seeds else study).cells():
        chosen, recipe = cell.settings, cell.settings.recipe
        about = {
            "engine": "lm", "study": name, "model": "llama", "scale": chosen.scale, "pipeline": chosen.pipeline,
            "method": "mixed" if recipe.exposure else "unmixed", **recipe.columns, "tokens_post": chosen.tokens_post,
            "lr_pre": chosen.stage1.lr, "lr_post": chosen.stage2.lr, "lr_ft": chosen.stage3.lr, "seed": chosen.seed,
            "code_version": "0", "lm.variant": cell.arm,
        }  # fmt: skip
        made.append((chosen, cell.arm, about | {key: value for key, value in chosen.columns.items() if key in EXTRA}))
    return made
