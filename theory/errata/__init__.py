"""The errata of arXiv 2605.12705, Appendix C: every item with a counterexample that is computed when it is asked for.

    ERRATA["step-count"].check()        # Finding(numbers={...}, confirmed=True)

The checks are independent of the closed forms wherever that is possible: matrices under gradient descent or an adaptive
integrator, and random draws with fixed seeds. `confirmed` says whether the numbers bear out what the item states.
"""

from theory.errata import fine_tuning, post_training, pretraining, setup
from theory.errata.core import Erratum, Finding

__all__ = ["ERRATA", "Erratum", "Finding"]

ERRATA: dict[str, Erratum] = {
    item.name: item for room in (setup, pretraining, post_training, fine_tuning) for item in room.ITEMS
}
"""All items by name, stage by stage: set-up, pretraining, post-training, fine-tuning."""
