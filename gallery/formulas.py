"""The closed forms as JavaScript, made from sympy expressions: what the explorer computes with is derived here and nowhere else.

    stage            one mode through one stage: strength and shortfall           docs/theory.md, section 1
    drive1, 2, 3     what each stage does to a mode: variance, growth rate, pull  theory.stage_maps.mixture
    realise          a recipe's flow times and mixture weight                     theory.realise
    separate, shared velocities and Jacobians of the redundant pathways           theory.pathways_flow
    law              the law S: loss_im and loss_ret                              theory.laws

A test runs every function in a JavaScript engine and compares it with Python.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp
from sympy.codegen.cfunctions import expm1

from theory.proofs.symbols import nonnegative, positive, real

_NAMES = {"expm1": "Math.expm1"}


def phi(x: Any) -> Any:
    """(1 - e^-x)/x, 1 at x = 0."""
    return sp.Piecewise((1, sp.Eq(x, 0)), (-expm1(-x) / x, True))


a, h, c, g, r, t = sp.symbols("a h c g r t", real=True)


def stage() -> dict[str, Any]:
    """Strength and shortfall of a balanced mode after a stage: `theory.two_layer.balanced`.

    Where g = c s this is the logistic of `theory.proofs.symbols`.
    """
    x = 4 * g * t
    gain = 4 * t * phi(x) * a
    scale = sp.exp(-x) + c * gain
    return {"strength": a / scale, "shortfall": (sp.exp(-x) * h + gain * r) / scale}


alpha, replay, dropout = nonnegative("alpha replay dropout")
c_pre, c_post, c_ft = nonnegative("c_pre c_post c_ft")
s_pre, s_post, s_ft = nonnegative("s_pre s_post s_ft")


def drives() -> dict[str, dict[str, Any]]:
    """What the three stages do to a mode, by name of the function."""
    first = _mixture(alpha)
    second = _mixture(1 - replay)
    more = second["variance"] * dropout / (1 - dropout)
    second |= {"variance": second["variance"] + more, "pull": second["pull"] + more * s_post}
    third = {"variance": c_ft, "growth": c_ft * s_ft, "pull": c_ft * (s_post - s_ft)}
    return {"drive1": first, "drive2": second, "drive3": third}


def _mixture(post: Any) -> dict[str, Any]:
    pre = (1 - post) * c_pre
    return {
        "variance": pre + post * c_post,
        "growth": pre * s_pre + post * c_post * s_post,
        "pull": pre * (s_post - s_pre),
    }


exposure, pre_time, post_time, step_ratio = nonnegative("exposure pre_time post_time step_ratio")


def realised() -> dict[str, Any]:
    """A recipe's mixture weight and flow times: exposure is added to D_pre; `matched` is t_post of a compute-matched split."""
    seen = step_ratio * exposure * post_time
    total = pre_time + seen
    return {"alpha": seen / total, "t_pre": total, "matched": (1 - exposure) * post_time / (1 - replay)}


x, y = real("x y")
pull = m_aa, m_ab, m_bb, r_a, r_b = real("m_aa m_ab m_bb r_a r_b")
sigma_pre, sigma_post, sigma_ft, beta, chi = nonnegative("sigma_pre sigma_post sigma_ft beta chi")
joint = sp.Symbol("joint")
"""1 where both pathways share a hidden unit, 0 where each has its own."""


def pulls() -> dict[str, dict[str, Any]]:
    """The effective loss of each stage on the two pathways: `theory.pathways`."""
    gamma = dropout / (1 - dropout)
    first, second = _pull(alpha), _pull(1 - replay)
    second |= {
        "m_aa": (1 + gamma) * second["m_aa"],
        "m_ab": (1 + joint * gamma) * second["m_ab"],
        "m_bb": (1 + gamma) * second["m_bb"],
    }
    third: dict[str, Any] = {"m_aa": 1, "m_ab": 0, "m_bb": 0, "r_a": sigma_ft, "r_b": 0}
    return {"pull1": first, "pull2": second, "pull3": third}


def _pull(post: Any) -> dict[str, Any]:
    return {
        "m_aa": sp.Integer(1),
        "m_ab": post * chi,
        "m_bb": post,
        "r_a": (1 - post) * sigma_pre + post * (sigma_post + chi * beta),
        "r_b": post * (beta + chi * sigma_post),
    }


def velocities() -> dict[str, dict[str, Any]]:
    """The flow of two pathways in two coordinates and its Jacobian, by name of the function: `theory.pathways_flow`.

    separate: x = ln a, y = ln b. shared: x = ln |theta|, y = tan(angle/2).
    """
    one, two = sp.exp(x), sp.exp(y)
    separate = 4 * (r_a - m_aa * one - m_ab * two), 4 * (r_b - m_ab * one - m_bb * two)
    size, half = sp.exp(x), 1 / (1 + y**2)
    cosine, sine = 2 * half - 1, 2 * y * half
    g_a = size * (m_aa * cosine + m_ab * sine) - r_a
    g_b = size * (m_ab * cosine + m_bb * sine) - r_b
    shared = -4 * (cosine * g_a + sine * g_b), (sine * g_a - cosine * g_b) / half
    made = {}
    for name, (fx, fy) in {"separate": separate, "shared": shared}.items():
        made[name] = {"fx": fx, "fy": fy}
        made[f"{name}Jacobian"] = {f"{of}{by}": sp.diff(f, by) for of, f in made[name].items() for by in (x, y)}
    return made


theta_a, theta_b, late_a = real("theta_a theta_b late_a")


def pathway_loss() -> dict[str, Any]:
    """L_post of the two pathways."""
    rest = theta_b - beta
    together = theta_a - sigma_post + chi * rest
    return {"post": together**2 + (1 - chi**2) * rest**2}


first, second = nonnegative("first second")
floor, amplitude, power, offset, constant, lost = positive("floor amplitude power offset constant lost")


def law() -> dict[str, Any]:
    """The law S: `first` and `second` are what the stages saw of D_post, in stage-1 tokens."""
    known = (first + second + offset) ** -power
    early = (first + offset) ** -power
    immediate = floor + amplitude * known
    return {"loss_im": immediate, "loss_ret": immediate + constant + lost * amplitude * (early - known)}


MODE = (c_pre, c_post, c_ft, s_pre, s_post, s_ft)
TARGETS = (sigma_pre, sigma_post, sigma_ft, beta, chi)
ARGUMENTS: Mapping[str, Sequence[Any]] = {
    "stage": (a, h, c, g, r, t),
    "drive1": (alpha, *MODE),
    "drive2": (replay, dropout, *MODE),
    "drive3": MODE,
    "realise": (exposure, pre_time, post_time, step_ratio, replay),
    "pull1": (alpha, *TARGETS),
    "pull2": (replay, dropout, joint, *TARGETS),
    "pull3": TARGETS,
    **dict.fromkeys(("separate", "separateJacobian", "shared", "sharedJacobian"), (x, y, *pull)),
    "pathwayLoss": (theta_a, theta_b, *TARGETS),
    "law": (first, second, floor, amplitude, power, offset, constant, lost),
}
"""Function -> its arguments in order; it returns an array, the outputs in the order of the expressions."""


def expressions() -> dict[str, dict[str, Any]]:
    """Every function with its outputs by name, as sympy expressions."""
    return {
        "stage": stage(),
        **drives(),
        "realise": realised(),
        **pulls(),
        **velocities(),
        "pathwayLoss": pathway_loss(),
        "law": law(),
    }


def javascript() -> str:
    """All functions as JavaScript source.

    Example:
        >>> print(function("twice", [a], {"out": 2 * a}))
        function twice(a) {
          return [2*a];
        }
    """
    return "\n\n".join(function(name, ARGUMENTS[name], outputs) for name, outputs in expressions().items()) + "\n"


def function(name: str, arguments: Sequence[Any], outputs: Mapping[str, Any]) -> str:
    """One function as JavaScript, its common subexpressions computed once."""
    shared, results = sp.cse(list(outputs.values()), symbols=sp.numbered_symbols("k"))
    lines = [f"  const {symbol} = {_code(expression)};" for symbol, expression in shared]
    lines.append(f"  return [{', '.join(_code(one) for one in results)}];")
    return "\n".join([f"function {name}({', '.join(map(str, arguments))}) {{", *lines, "}"])


def _code(expression: Any) -> str:
    text: str = sp.jscode(expression, user_functions=_NAMES)
    return " ".join(text.split())
