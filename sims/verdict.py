"""A verdict on a prediction: supported, refuted, or not testable here, with its effect size, interval and criterion.

The predictions are those of the theory, P1 to P16; where a prediction says different things about different models there is one
verdict a model. Criteria are constants of the study that judges, fixed before it runs.
"""

import math
from typing import Any, Literal, NamedTuple

from common.seeds import Interval
from common.settings import WrongUse

Finding = Literal["supported", "refuted", "not testable here"]

PREDICTIONS: dict[str, str] = {
    "P1": "plain: moving D_post exposure between stages leaves the specialised block unchanged",
    "P2": "plain: no latent benefit; redundant pathways: loss_im flat, loss_ret falling",
    "P3": "compute-matched: interior optimum only at step ratio > 1 (plain), at equal steps (redundant pathways)",
    "P4": "redundant pathways: the best exposure rises with fine-tuning length",
    "P5": "plain: replay, dropout, decay never lower loss_ret; redundant pathways: replay multiplies with exposure",
    "P6": "forgetting of the shared block is exponential at rate 4 sigma_ft; leakage erodes as (1 + 2x)/(1 + x)^2",
    "P7": "decay or dropout during fine-tuning, and misaligned weights, erode protected features",
    "P8": "there is a mixing window; its price in L_pre is alpha^2 gap^2 (plain), 0 (redundant pathways)",
    "P9": "exposure needed: sharp onset with separate units, linear onset with a shared one",
    "P10": "D_pre damage after stage 2: g^2 unmixed and 0 mixed (redundant pathways), equal (plain)",
    "P11": "at matched loss_im > 0 mixing loses for short and wins for long fine-tuning (plain)",
    "P12": "low rank r in [k, 2k): unmixed loses (2k - r) beta^2 in loss_im; the gap closes at 2k",
    "P13": "the gain is unchanged up to misalignment .3 and two thirds gone at 1",
    "P14": "depth: same exposure law, sharper onset, escape time a0^-(1 - 2/L)",
    "P15": "sweeping t_ft, loss_ft is nearly equal while loss_ret shifts by k [(beta - b2u)^2 - (beta - b2m)^2]",
    "P16": "with N unique samples the benefit saturates at the noise floor n tau^2 k/(N - k - 1)",
}

UNPREDICTED = "-"
"""In place of a prediction: a finding that none of them is about. Supported says that its criterion is met."""


class Verdict(NamedTuple):
    """What the data say about a prediction."""

    prediction: str
    """P1 to P16, or `UNPREDICTED`."""
    model: str
    """plain, rp, rp-shared, relu, relu-corr, tanh, ..."""
    variant: str
    """What differs from that model's usual setup: depth 3, random start, momentum, ...; empty if nothing."""
    finding: Finding
    effect: str
    """What `value` measures, with its unit."""
    value: float | None
    """None where it is not testable."""
    low: float | None
    high: float | None
    """95 % interval over seeds; none where nothing is random."""
    criterion: str
    """When it counts as supported, or why it is not testable."""
    supported_from: float | None = None
    supported_to: float | None = None
    """The range of values that the criterion allows, ends included; none where it is not a plain range of the value."""


def verdict(
    prediction: str,
    model: str,
    supported: bool | None,
    effect: str,
    measured: Interval | float,
    criterion: str,
    variant: str = "",
) -> Verdict:
    """A verdict on a prediction, or on none, by a criterion that is not a plain range of the value; see `within`.

    It is not testable here where the value or its interval is not finite, or where `supported` is None: the interval leaves it open.

    Raises:
        WrongUse: the prediction is neither in the list nor `UNPREDICTED`.
    """
    if prediction not in PREDICTIONS and prediction != UNPREDICTED:
        raise WrongUse(
            f"{prediction} is no prediction. Use one of {', '.join(PREDICTIONS)}, or {UNPREDICTED} for none."
        )
    found = measured if isinstance(measured, Interval) else Interval(value=measured)
    if not all(math.isfinite(number) for number in (found.value, *ends(found))):
        reason = f"value or interval not finite: {found}; otherwise: {criterion}"
        return Verdict(prediction, model, variant, "not testable here", effect, None, None, None, reason)
    finding: Finding = "not testable here" if supported is None else "supported" if supported else "refuted"
    said = f"{criterion}; the interval leaves it open" if supported is None else criterion
    return Verdict(prediction, model, variant, finding, effect, found.value, found.low, found.high, said)


def within(
    prediction: str,
    model: str,
    effect: str,
    measured: Interval | float,
    criterion: str,
    variant: str = "",
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    whole: bool = False,
) -> Verdict:
    """A verdict by a criterion that is a range of the value (with `whole`, of its whole interval), which it keeps."""
    found = measured if isinstance(measured, Interval) else Interval(value=measured)
    low, high = ends(found) if whole else (found.value, found.value)
    supported = (at_least is None or low >= at_least) and (at_most is None or high <= at_most)
    made = verdict(prediction, model, supported, effect, measured, criterion, variant)
    return made._replace(supported_from=at_least, supported_to=at_most)


def around(
    prediction: str, model: str, effect: str, measured: Interval | float, centre: float, room: float, variant: str = ""
) -> Verdict:
    """A verdict by the criterion that the value is within some room of another."""
    said = f"within {room:g} of {centre:.3g}"
    return within(prediction, model, effect, measured, said, variant, at_least=centre - room, at_most=centre + room)


def untestable(prediction: str, model: str, effect: str, reason: str, variant: str = "") -> Verdict:
    """The verdict that the data here cannot test a prediction, and why."""
    return Verdict(prediction, model, variant, "not testable here", effect, None, None, None, reason)


def ends(found: Interval) -> tuple[float, float]:
    """Both ends of an interval; the value itself where nothing is random."""
    low = found.value if found.low is None else found.low
    high = found.value if found.high is None else found.high
    return low, high


class Check(NamedTuple):
    """Something that must hold whatever the predictions say: that the simulation is what it claims to be."""

    name: str
    passed: bool
    effect: str
    """What `value` measures, with its unit."""
    value: float
    criterion: str
    """When it counts as passed."""


class Report(NamedTuple):
    """What a study shows beside its verdicts: checks, and a small table."""

    checks: list[Check]
    title: str
    heads: list[str]
    rows: list[list[Any]]
    """Text or numbers."""
