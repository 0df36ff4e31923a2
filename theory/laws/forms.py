"""The laws of provenance and their null, as models of the three-stage pipeline and as terms of a linear least-squares problem.

One learning curve for D_post, the same in both stages, counted in tokens of stage 1 (millions here; any unit will do):

    L(e)     = E + A (e + d0)^-a
    x        = alpha t_pre            what stage 1 sees of D_post, lambda D
    z        = m R t_post             what stage 2 sees of it, in stage-1 tokens
    loss_im  = L(x + z)

    null     loss_ret = loss_im + psi                                  constant forgetting
    S        loss_ret = loss_im + psi + phi [L(x) - loss_im]           what only stage 2 learned is lost at rate phi
    S5       S, and omega where the passes of stage 2 are repeated     repetition makes a memory more fragile, or less
    S8       loss_ret = loss_im + psi + b ln(1 + z/(x + c D))          free of scale in lambda
    Smax     S with loss_im = L(max(x, z))                             what redundant pathways with sharp thresholds would do
    Slin     loss_ret = loss_im + psi + kappa^2 [L(x) - loss_im] + 2 kappa (1 - kappa) [L(x + z/2) - loss_im]
                                                                       what a linear model does whose features are redundant

Slin is derived (`theory.laws.mechanism`, `prove law-derived`): stage 3 undoes the share kappa of what stage 2 moved. S is the same
where every feature is either learned or not, with phi = kappa^2.

m is the worth of a stage-2 token, R that of the passes of an early-stopped stage 2 (1 for a single pass). In a fit the coefficients
E, A, psi, A phi, omega and b are linear and solved for; a, d0, m, R and c are searched for. Laws say nothing of loss_ft and loss_pre.
Source: not in the paper; fitted to the points of its Figure 3.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Array, Number, is_zero, namespace
from common.losses import Losses
from common.recipe import cannot_realise
from common.settings import Settings, WrongUse, check, ranges, setting

PREDICTED = ("loss_im", "loss_ret")
"""The losses that a law knows."""


@dataclass(frozen=True, kw_only=True)
class LearningCurve(Settings):
    """The null: a learning curve, and a forgetting that does not depend on exposure. Defaults: the fit of S to Figure 3."""

    floor: float = setting(0.915, low=0)
    """E: loss after endless exposure, nats."""
    amplitude: float = setting(3.801, low=0)
    """A: scale of what is left to learn."""
    power: float = setting(0.257, low=0, open_low=True)
    """a: exponent of the learning curve."""
    offset: float = setting(40.67, low=0, open_low=True)
    """d0: what D_pre is worth for D_post, in tokens of it (millions)."""
    post_worth: float = setting(2.598, low=0)
    """m: worth of a stage-2 token in stage-1 tokens."""
    passes: float = setting(1.0, low=0)
    """R: worth of the passes of stage 2; 1 is a single pass (3.2 in the fit to the early-stopped stage 2 of Figure 3a)."""
    constant: float = setting(0.170)
    """psi: forgetting that exposure does not change, nats."""


@dataclass(frozen=True, kw_only=True)
class Provenance(LearningCurve):
    """S, Smax: what only stage 2 learned is lost at a rate."""

    lost: float = setting(0.246, low=0, high=1)
    """phi: the share of what only stage 2 learned that stage 3 erases."""


@dataclass(frozen=True, kw_only=True)
class Repeated(Provenance):
    """S5: repetition in stage 2 has a forgetting of its own."""

    repetition: float = setting(0.053)
    """omega: forgetting where the passes of stage 2 are repeated (R other than 1), nats."""


@dataclass(frozen=True, kw_only=True)
class ScaleFree(LearningCurve):
    """S8: forgetting by the ratio of what the two stages saw."""

    slope: float = setting(0.058)
    """b: forgetting per logarithm of that ratio, nats."""
    share: float = setting(0.23, low=0, open_low=True)
    """c: what D_pre counts in the ratio, as a fraction of D_post."""
    corpus: float = setting(150.0, low=0, open_low=True)
    """D: size of D_post (millions of tokens); its share c stands beside the exposure."""


@dataclass(frozen=True, kw_only=True)
class Redundant(LearningCurve):
    """Slin: stage 3 undoes a share of what stage 2 moved. Defaults: its own fit to Figure 3."""

    floor: float = setting(0.873, low=0)
    """E: loss after endless exposure, nats."""
    amplitude: float = setting(3.523, low=0)
    """A: scale of what is left to learn."""
    power: float = setting(0.2342, low=0, open_low=True)
    """a: exponent of the learning curve, that of the spectrum of D_post's features."""
    offset: float = setting(35.80, low=0, open_low=True)
    """d0: what D_pre is worth for D_post, in tokens of it (millions)."""
    post_worth: float = setting(2.846, low=0)
    """m: worth of a stage-2 token in stage-1 tokens; step ratio over 1 - overlap."""
    constant: float = setting(0.1455)
    """psi: forgetting that exposure does not change, nats: where D_ft pulls."""
    undone: float = setting(0.4396, low=0, high=1)
    """kappa: the share of stage 2's displacement that stage 3 undoes; the overlap at most."""


@dataclass(frozen=True, kw_only=True)
class LawSchedule(Settings):
    """What is trained on, in tokens (millions): a law knows neither stage 3 nor interventions."""

    alpha: float = setting(0.0, low=0, high=1)
    """Weight of D_post in the stage-1 mixture; 0 is unmixed."""
    t_pre: float = setting(9000.0, low=0)
    """Tokens of stage 1."""
    t_post: float = setting(150.0, low=0)
    """Tokens of D_post in one pass of stage 2."""


class Seen(NamedTuple):
    """What the stages saw of D_post, in stage-1 tokens; arrays that broadcast."""

    first: Number
    """x: in stage 1."""
    second: Number
    """z: in stage 2, worth and passes included."""
    corpus: Number
    """D."""
    repeated: Number
    """1 where the passes of stage 2 are repeated, else 0."""


class Term(NamedTuple):
    """One linear coefficient of a law: what it adds to loss_im and to loss_ret."""

    name: str
    loss_im: Number
    loss_ret: Number
    nonnegative: bool = False


@dataclass(frozen=True)
class Form:
    """A law."""

    name: str
    about: str
    settings: type[LearningCurve]
    shape: Mapping[str, tuple[float, float]]
    """What a fit searches for, with bounds."""
    terms: Callable[[Mapping[str, Any], Seen], list[Term]]
    """Shape parameters and exposures to the terms of its losses."""

    @property
    def numbers(self) -> int:
        """Fitted numbers where both splits and several sizes are there."""
        return len(self.shape) + len(self.terms(dict.fromkeys(self.shape, 1.0), Seen(0.0, 1.0, 1.0, 0.0)))


SHAPE = {"power": (0.02, 5.0), "offset": (0.1, 3000.0), "post_worth": (0.05, 100.0), "passes": (0.05, 100.0)}
"""Bounds of what all laws share; the offset in millions of tokens."""


def remaining(exposure: Number, v: Mapping[str, Any]) -> Array:
    """(e + d0)^-a: what is left to learn, in units of A."""
    xp = namespace(exposure, *v.values())
    return xp.exp(-v["power"] * xp.log(exposure + v["offset"]))


def _curve(v: Mapping[str, Any], known: Number) -> list[Term]:
    left = remaining(known, v)
    return [Term("floor", 1.0, 1.0, True), Term("amplitude", left, left, True), Term("constant", 0.0, 1.0)]


def _null(v: Mapping[str, Any], seen: Seen) -> list[Term]:
    return _curve(v, seen.first + seen.second)


def _provenance(v: Mapping[str, Any], seen: Seen, *, largest: bool = False) -> list[Term]:
    xp = namespace(*v.values(), *seen)
    known = xp.maximum(seen.first, seen.second) if largest else seen.first + seen.second
    return [*_curve(v, known), Term("lost", 0.0, remaining(seen.first, v) - remaining(known, v))]


def _repeated(v: Mapping[str, Any], seen: Seen) -> list[Term]:
    return [*_provenance(v, seen), Term("repetition", 0.0, seen.repeated)]


def _scale_free(v: Mapping[str, Any], seen: Seen) -> list[Term]:
    xp = namespace(*v.values(), *seen)
    ratio = seen.second / (seen.first + v["share"] * seen.corpus)
    return [*_curve(v, seen.first + seen.second), Term("slope", 0.0, xp.log1p(ratio))]


def _redundant(v: Mapping[str, Any], seen: Seen) -> list[Term]:
    kappa = v["undone"]
    after, between, before = (remaining(seen.first + share * seen.second, v) for share in (1.0, 0.5, 0.0))
    retained = (1 - kappa) ** 2 * after + 2 * kappa * (1 - kappa) * between + kappa**2 * before
    return [Term("floor", 1.0, 1.0, True), Term("amplitude", after, retained, True), Term("constant", 0.0, 1.0)]


FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        Form("null", "constant forgetting", LearningCurve, SHAPE, _null),
        Form("S", "what only stage 2 learned is lost at a rate", Provenance, SHAPE, _provenance),
        Form("S5", "S, and repetition has a forgetting of its own", Repeated, SHAPE, _repeated),
        Form("S8", "free of scale in lambda", ScaleFree, {**SHAPE, "share": (1e-4, 100.0)}, _scale_free),
        Form("Smax", "S of the larger of the two exposures", Provenance, SHAPE,
             lambda v, seen: _provenance(v, seen, largest=True)),
        Form("Slin", "S as a linear model with redundant features has it", Redundant, {**SHAPE, "undone": (1e-3, 1.0)}, _redundant),
    )
}  # fmt: skip
"""The laws by name; the null first."""


def form_named(name: str) -> Form:
    """The law of that name. Raises `WrongUse`."""
    if name not in FORMS:
        raise WrongUse(f"law = {name!r} is not known. Choose one of {', '.join(FORMS)}.")
    return FORMS[name]


def coefficients(values: Mapping[str, Any]) -> dict[str, Any]:
    """The linear coefficients that a law's settings mean: `lost` is a share of what the amplitude scales."""
    made = dict(values)
    if "lost" in made:
        made["lost"] = values["lost"] * values["amplitude"]
    return made


def losses(form: Form, values: Mapping[str, Any], seen: Seen) -> tuple[Array, Array]:
    """loss_im and loss_ret of a law, its settings and exposures being numbers or arrays that broadcast (numpy or JAX)."""
    terms, by = form.terms(values, seen), coefficients(values)
    im, ret = (sum(by[term.name] * getattr(term, name) for term in terms) for name in PREDICTED)
    return im, ret


def predict(name: str, values: Mapping[str, Any]) -> Losses:
    """The losses of a law after the three stages; loss_ft and loss_pre are nan, because it does not know them.

    Args:
        name: in `FORMS`.
        values: fields of the law's settings and of `LawSchedule`, defaults for the rest, numbers or arrays that broadcast.

    Raises:
        WrongUse: a name or value that does not exist, or replay, which a law cannot express.
    """
    form = form_named(name)
    known = {field.name: field for kind in (form.settings, LawSchedule) for field in fields(kind)}
    v: dict[str, Any] = {key: field.default for key, field in known.items()} | dict(values)
    if not is_zero(replay := v.pop("replay", 0)) and np.any(np.asarray(replay) != 0):
        raise cannot_realise(f"law {name}", "replay", replay, "it has no D_pre in stage 2", "Set replay to 0")
    if unknown := sorted(set(v) - set(known)):
        raise WrongUse(f"{unknown[0]} is no setting of law {name}. Use {', '.join(known)}.")
    for kind in (form.settings, LawSchedule):
        for key, bounds in ranges(kind).items():
            check(key, v[key], bounds)
    xp = namespace(*v.values())
    shape = np.broadcast_shapes(*(np.shape(value) for value in v.values()))
    repeated = xp.where(xp.asarray(v["passes"]) == 1, 0.0, 1.0)
    seen = Seen(v["alpha"] * v["t_pre"], v["post_worth"] * v["passes"] * v["t_post"], v.get("corpus", 1.0), repeated)
    im, ret = (xp.broadcast_to(xp.asarray(loss, dtype=float), shape) for loss in losses(form, v, seen))
    return Losses(im, ret, xp.full(shape, xp.nan), xp.full(shape, xp.nan))


def knowledge(name: str, values: Mapping[str, Any]) -> list[float]:
    """One setting's worth of what is known of D_post at the start and after each stage, in stage-1 tokens.

    After stage 3: the exposure at which the learning curve has loss_ret less psi.
    """
    v = dict(values)
    x, z = v["alpha"] * v["t_pre"], v["post_worth"] * v["passes"] * v["t_post"]
    known = max(x, z) if name == "Smax" else x + z
    gap = float(predict(name, v).loss_ret) - v["constant"] - v["floor"]
    left = (gap / v["amplitude"]) ** (-1 / v["power"]) - v["offset"] if gap > 0 and v["amplitude"] > 0 else np.inf
    return [0.0, float(x), float(known), float(max(left, 0.0))]
