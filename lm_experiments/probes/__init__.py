"""Measurements of trained models that tell accounts of protection apart (experiments E3 to E5): what `python -m lm_experiments probe` does.

    noise, direction     after stage 2: random weight noise, a step along D_ft's gradient
    subspaces            after stages 2 and 3: where D_ft's gradient falls
    transplant           after stage 1's exposure was moved from one model into another
    relearning           from after stage 3, at the middle rate: stage 2's first steps once more
    connectivity         lines between the models of a pipeline, and their last hidden layers

One idea per module; `table` carries them out and makes the table. Nothing here changes a model of a study.
"""

from lm_experiments.probes.table import PROBES, REALS, TEXTS, Probed, probed

__all__ = ["PROBES", "REALS", "TEXTS", "Probed", "probed"]
