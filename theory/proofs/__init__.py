"""Proofs that run: every result of the theory as a derivation that is carried out when it is called.

    proof = prove("no-latent")      # raises nothing; proof.status says what came out
    proof.status                    # "proved", "argued", "numerical", "false as printed; repaired: proved", "FAILED: ..."
    latex(proof)                    # theorem, assumptions and steps as a LaTeX fragment

A module holds one `THEOREM` and one function `derive`, which makes steps of four kinds:

    symbolic   sympy shows that an expression vanishes identically, or that it has a sign
    argued     a sentence of ordinary mathematics (a comparison, a limit of schedules) that no machine checks
    numeric    a number with a tolerance, or an example; `needed` ones carry the claim, the others only corroborate it
    refuted    something printed in the paper that a counterexample, evaluated here, shows to be false

The weakest needed step gives a result its grade (`theory.proofs.grades`). A step that does not hold stops its proof
(`theory.proofs.core.ProofFailed`). Nothing here is imported when the command line starts; sympy is loaded with the first proof.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from theory.proofs.core import Proof

NAMES: tuple[str, ...] = (
    "setting",
    "mode-ode",
    "descent",
    "logistic",
    "convergence",
    "unbalanced",
    "deep",
    "sequential",
    "post-training",
    "frozen",
    "forgetting",
    "theorem-5-1",
    "theorem-5-2",
    "theorem-5-3",
    "exposure-law",
    "no-latent",
    "order",
    "deep-decay",
    "compute-matched",
    "lowered-feature",
    "dropout",
    "replay",
    "weight-decay",
    "l2-to-start",
    "lora",
    "leakage",
    "redundant",
    "shared-unit",
    "law-optimum",
    "law-derived",
)
"""All results, in the order in which they build on one another."""


def prove(name: str) -> "Proof":
    """Carry out one derivation. A step that fails is reported in the proof's status, not raised.

    Args:
        name: one of `NAMES`. Raises `KeyError` for another.
    """
    if name not in NAMES:
        raise KeyError(name)
    from theory.proofs.core import carry_out

    module = import_module(f"theory.proofs.{name.replace('-', '_')}")
    return carry_out(module.THEOREM, module.derive)
