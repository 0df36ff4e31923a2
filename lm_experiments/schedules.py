"""The learning rate of a step: linear warm-up, then a cosine to a minimum, exactly as printed.

    peak      /‾‾‾\\
             /     \\
            /       \\___  min
         0 /
           |--|-------|
           warm-up    max_steps

The paper's Table 8 has peaks (1e-5, 2e-5) below the minimum it prints (5e-5). The formula is applied all the same: the
"decay" then rises, and `warn_if_rising` says so.
"""

import math
import warnings


def learning_rate(step: int, *, peak: float, minimum: float, warmup_steps: int, max_steps: int) -> float:
    """Learning rate of optimiser step `step` = 0 .. max_steps - 1; the last step has exactly the minimum.

    `peak (step + 1) / warmup_steps` during warm-up, then `minimum + (peak - minimum) (1 + cos(pi t)) / 2` with t from 0 to 1.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    t = (step - warmup_steps) / max(1, max_steps - 1 - warmup_steps)
    return minimum + (peak - minimum) * (1 + math.cos(math.pi * t)) / 2


def warn_if_rising(peak: float, minimum: float) -> None:
    """Warn where the minimum exceeds the peak, so that the cosine goes up."""
    if minimum > peak:
        warnings.warn(
            f"min_lr = {minimum:g} exceeds the peak lr = {peak:g}: the cosine rises to it, as printed in the paper's Table 8. "
            f"Set min_lr to at most {peak:g} for a decay.",
            stacklevel=3,
        )
