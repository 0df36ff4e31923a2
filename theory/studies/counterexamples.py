"""Four counterexamples to Appendix C as printed, each as a curve (`theory.errata` has all of them, checked independently)."""

from typing import Any

import numpy as np

from theory.features import modes_from_blocks
from theory.modes import evolve
from theory.stages import DEFAULTS, predict, solve
from theory.studies.table import of_parts


def counterexamples() -> Any:
    """C.10: sufficient training is a window. C.15: a zero is a saddle. C.17: forgetting less is not retaining more.
    5.3: for long fine-tuning the mixed model forgets more.

    `problem.erratum` names the item, `problem.curve` the line, `problem.value` its height and `problem.printed` what the paper
    prints for it; the abscissa is t_pre, t_post, beta and t_ft in turn.
    """
    return of_parts([*_window(), _saddle(), *_retained(), _reversal()], "counterexamples", DEFAULTS)


def _window() -> list[dict[str, Any]]:
    """Mixed pretraining: printed (0, alpha beta); in truth beta, and the mixed target once the window has closed."""
    time = np.linspace(0.0, 45.0, 226)
    v = {
        **DEFAULTS,
        "alpha": 0.3,
        "beta": 1.5,
        "sigma_pre": 0.1,
        "sigma_post": 0.6,
        "init_scale": 1e-6,
        "t_pre": time,
        "t_post": 0.0,
        "t_ft": 0.0,
    }
    learned = np.broadcast_to(solve(modes_from_blocks(v, 1), v).strengths[1], (3, len(time)))
    losses = predict(v)._asdict()
    printed = {"inconsistent": 0.0, "specialised": v["alpha"] * v["beta"]}
    return [
        v | losses | {"problem.erratum": "C.10", "problem.curve": name, "problem.value": learned[i], "problem.printed": printed[name]}
        for i, name in ((1, "inconsistent"), (2, "specialised"))
    ]  # fmt: skip


def _saddle() -> dict[str, Any]:
    """Post-training of a mode at 1e-6: printed 0, in truth learned after its escape time."""
    time = np.linspace(0.0, 7.0, 141)
    v = {**DEFAULTS, "sigma_post": 1.0, "init_scale": 1e-3, "alpha": 0.0, "t_pre": 0.0, "t_post": time, "t_ft": 0.0}
    value = evolve(1e-6, variance=1.0, sigma=1.0, time=time)
    named = {"problem.erratum": "C.15", "problem.curve": "inconsistent", "problem.value": value, "problem.printed": 0.0}
    return v | predict(v)._asdict() | named


def _retained() -> list[dict[str, Any]]:
    """Retained loss of C.17's two idealised models after converged fine-tuning, against beta.

    Unmixed knows the inconsistent mode, loses it to sigma_ft and never knew the specialised one; mixed knows the specialised one only.
    """
    beta = np.linspace(0.05, 3.5, 140)
    post, ft = 3.0, 1.0
    curves = {"unmixed": (post - ft) ** 2 + beta**2, "mixed": np.full(beta.shape, post**2)}
    v = {**DEFAULTS, "sigma_post": post, "sigma_ft": ft, "beta": beta}
    return [
        v | {"loss_ret": value, "problem.erratum": "C.17", "problem.curve": name, "problem.value": value}
        for name, value in curves.items()
    ]


def _reversal() -> dict[str, Any]:
    """Forgetting of the mixed model minus that of the unmixed one, against fine-tuning time; printed: at most 0."""
    v = {**DEFAULTS, "t_post": 0.4, "t_ft": np.geomspace(0.01, 30.0, 160)}
    unmixed, mixed = (predict(v | {"alpha": alpha}) for alpha in (0.0, 0.5))
    value = (mixed.loss_ret - mixed.loss_im) - (unmixed.loss_ret - unmixed.loss_im)
    named = {"problem.erratum": "5.3", "problem.curve": "mixed", "problem.value": value, "problem.printed": 0.0}
    return v | {"alpha": 0.5} | mixed._asdict() | named
