"""A verdict, the same in every engine; `common.verdict_table` keeps them.

A verdict compares a number, with its interval over seeds, with a range that was named beforehand. It is *supported* where the whole
interval lies inside, *refuted* where it lies wholly beyond one end of the range, and *undecided* otherwise, with the effect that
the data could have told (`detectable`). Where nothing is random the value decides; with fewer than `common.seeds.FEWEST` seeds
nothing is decided.

The field `p` is twice the one-sided p-value of that decision: for support the largest over the ends of the range (two one-sided tests),
for refutation the smallest. A verdict that stands alone is decided exactly where `p < 0.05`, as its 95 % interval says; among
several about one claim, `holm` asks more of all but the primary one.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from common.claims import PREDICTIONS, STATEMENTS, UNPREDICTED
from common.seeds import FEWEST, LEVEL, Interval
from common.settings import WrongUse, config_hash

__all__ = [
    "PREDICTIONS",
    "STATUSES",
    "UNPREDICTED",
    "Verdict",
    "all_of",
    "around",
    "holm",
    "mark_exploratory",
    "untestable",
    "within",
]

Status = Literal["supported", "refuted", "undecided", "not testable here", "missing"]
STATUSES: tuple[Status, ...] = ("supported", "refuted", "undecided", "not testable here", "missing")
UNJUDGED = ("not testable here", "missing")
"""Statuses of what was not measured."""
SIGNIFICANT = 1 - LEVEL


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What data say about a claim, in one model and group of settings."""

    claim: str
    """P1 to P16, C1 to C8, T1 to T3, or `UNPREDICTED`."""
    engine: str = ""
    model: str = ""
    variant: str = ""
    where: str = ""
    status: Status
    effect: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    criterion: str
    supported_from: float | None = None
    supported_to: float | None = None
    equivalence: bool = False
    detectable: float | None = None
    p: float | None = None
    primary: bool = False
    criterion_hash: str = ""
    exploratory: bool = False
    gates: str = ""
    """Whether the testbed met its gates (`common.gates.standing`); empty where there are none."""
    data: str = ""
    study: str = ""
    command: str = ""
    code_version: str = ""

    def __post_init__(self) -> None:
        """Check claim and status. Raises `WrongUse`."""
        if self.claim not in STATEMENTS:
            raise WrongUse(f"{self.claim} is no claim. Use one of {', '.join(STATEMENTS)}.")
        if self.status not in STATUSES:
            raise WrongUse(f"{self.status!r} is no status of a verdict. Use one of {', '.join(STATUSES)}.")

    @property
    def said(self) -> str:
        """Its status for people: exploratory where its criterion was made after the data were seen."""
        return f"{self.status} (exploratory)" if self.exploratory else self.status


def ends(measured: Interval) -> tuple[float, float] | None:
    """Both ends of an interval, the value itself where nothing is random; None where there are too few seeds to decide."""
    if measured.n is None:
        return (
            (measured.value, measured.value)
            if measured.low is None or measured.high is None
            else (measured.low, measured.high)
        )
    if measured.n < FEWEST or measured.low is None or measured.high is None:
        return None
    return measured.low, measured.high


def decide(measured: Interval, at_least: float | None = None, at_most: float | None = None) -> Status:
    """Supported where the whole interval is inside [at_least, at_most], refuted where it is wholly beyond one end, else undecided."""
    found = ends(measured)
    if found is None:
        return "undecided"
    lower, upper = (-math.inf if at_least is None else at_least), (math.inf if at_most is None else at_most)
    if found[0] >= lower and found[1] <= upper:
        return "supported"
    return "refuted" if found[1] < lower or found[0] > upper else "undecided"


def within(
    claim: str,
    model: str,
    effect: str,
    measured: Interval | float,
    criterion: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    p: float | None = None,
    statistic: str = "",
    **others: Any,
) -> Verdict:
    """A verdict by the criterion that a number lies in a range, ends included.

    Args:
        claim: or `UNPREDICTED`.
        model: what was tested.
        effect: what the number is, with its unit.
        measured: the number; a plain number is not random.
        criterion: the range in words.
        at_least: its lower end; None for none.
        at_most: its upper end.
        p: of the decision, where `measured` cannot say it (see this module).
        statistic: a further name for what decides, part of the criterion's hash.
        others: further fields of the verdict: engine, variant, where, primary, ...

    Raises:
        WrongUse: an unknown claim, or no range.
    """
    if at_least is None and at_most is None:
        raise WrongUse(f"The criterion {criterion!r} of {claim} has no range. Give at_least, at_most or both.")
    found = measured if isinstance(measured, Interval) else Interval(value=float(measured))
    if not math.isfinite(found.value):
        return untestable(claim, model, effect, f"the value is not finite; otherwise: {criterion}", **others)
    status = decide(found, at_least, at_most)
    width = None if found.low is None or found.high is None else (found.high - found.low) / 2
    if p is None and ends(found) is not None:
        p = decision_p(found, at_least, at_most)
    return Verdict(
        claim=claim, model=model, effect=effect, status=status, criterion=criterion,
        value=found.value, low=_finite(found.low), high=_finite(found.high), n=found.n, p=p,
        supported_from=at_least, supported_to=at_most, detectable=_finite(width) if status == "undecided" else None,
        criterion_hash=criterion_hash(claim, model, criterion, at_least, at_most, statistic),
        **({"equivalence": at_least is not None and at_most is not None} | others),
    )  # fmt: skip


def around(
    claim: str, model: str, effect: str, measured: Interval | float, centre: float, margin: float, **others: Any
) -> Verdict:
    """A verdict by the criterion that a number is equivalent to another: its whole interval within a margin of it."""
    said = f"within {margin:g} of {centre:.3g}"
    return within(claim, model, effect, measured, said, at_least=centre - margin, at_most=centre + margin, **others)


def all_of(parts: Sequence[Verdict], criterion: str, **others: Any) -> Verdict:
    """A verdict on a claim that asks several things at once: supported where all are, refuted where one is, else undecided.

    It keeps the numbers of the part that decides: the least certain of the supported, the most certain of the refuted, the
    least certain of the undecided. One refuted part of k refutes the whole only if `k p < 0.05`, because each had a chance to fail.

    Args:
        parts: verdicts by `within`, on the same claim and model.
        criterion: all of it in words.
        others: fields that differ from the first part's.
    """

    def doubt(part: Verdict) -> float:
        return 0.0 if part.p is None and part.status != "undecided" else 1.0 if part.p is None else part.p

    refuted = [part for part in parts if part.status == "refuted"]
    status: Status = "supported"
    if refuted:
        binding = min(refuted, key=doubt)
        p = None if binding.p is None else min(1.0, len(parts) * binding.p)
        status = "refuted" if p is None or p < SIGNIFICANT else "undecided"
    else:
        undecided = [part for part in parts if part.status != "supported"]
        binding = max(undecided or parts, key=doubt)
        p, status = binding.p, "undecided" if undecided else "supported"
    wide = None if binding.low is None or binding.high is None else (binding.high - binding.low) / 2
    seeds = [part.n for part in parts if part.n is not None]
    made = replace(
        binding, status=status, p=p, criterion=criterion, n=min(seeds) if seeds else None,
        detectable=wide if status == "undecided" else None,
        criterion_hash=config_hash(criterion, sorted(part.criterion_hash for part in parts)),
    )  # fmt: skip
    return replace(made, **others)


def untestable(claim: str, model: str, effect: str, reason: str, **others: Any) -> Verdict:
    """The verdict that an engine, or its data here, cannot express a claim, and why."""
    hashed = criterion_hash(claim, model, "not testable here", None, None, "")
    return Verdict(
        claim=claim,
        model=model,
        effect=effect,
        status="not testable here",
        criterion=reason,
        criterion_hash=hashed,
        **others,
    )


def criterion_hash(
    claim: str, model: str, criterion: str, at_least: float | None, at_most: float | None, statistic: str
) -> str:
    """Names what decides a verdict; ends of the range to six digits, so that rounding does not count as another criterion."""
    spelled = [None if end is None else f"{end:.6g}" for end in (at_least, at_most)]
    return config_hash(claim, model, criterion, spelled, statistic, LEVEL, FEWEST)


def decision_p(measured: Interval, at_least: float | None, at_most: float | None) -> float | None:
    """Twice the one-sided p-value of support (largest over the ends of the range) or of refutation (smallest), whichever is smaller."""
    if measured.low == -math.inf and measured.high == math.inf:
        return 1.0
    bounds = [(end, sign) for end, sign in ((at_least, True), (at_most, False)) if end is not None]
    inside = [measured.tail(end, above=sign) for end, sign in bounds]
    beyond = [measured.tail(end, above=not sign) for end, sign in bounds]
    if None in inside or None in beyond:
        return None
    return min(1.0, 2 * min(max(p for p in inside if p is not None), min(p for p in beyond if p is not None)))


def holm(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Verdicts where the secondary ones on a claim, in an engine, are corrected for their number (Holm); the order is kept.

    A secondary verdict is decided only if its corrected p-value is below 0.05; its criterion says so otherwise. Primary ones, and
    those that have no p-value because nothing is random, stand as they are. `p` becomes the corrected one.
    """
    made = list(verdicts)
    families: dict[tuple[str, str], list[int]] = {}
    for i, one in enumerate(made):
        if not one.primary and one.p is not None:
            families.setdefault((one.engine, one.claim), []).append(i)
    for members in families.values():
        corrected, count = 0.0, len(members)
        for rank, i in enumerate(sorted(members, key=lambda i: made[i].p or 0.0)):
            one = made[i]
            corrected = min(1.0, max(corrected, (count - rank) * (one.p or 0.0)))
            made[i] = replace(one, p=corrected)
            if corrected >= SIGNIFICANT and one.status in ("supported", "refuted"):
                wide = None if one.low is None or one.high is None else (one.high - one.low) / 2
                said = f"{one.criterion}; {one.status} alone, but not as one of {count} (Holm)"
                made[i] = replace(made[i], status="undecided", criterion=said, detectable=wide)
    return made


def data_hash(table: Any) -> str:
    """Names the rows of a results table by their configurations and seeds: what may have been seen before a criterion was made."""
    pairs = {(row["config_hash"], row["seed"]) for row in table.select(["config_hash", "seed"]).to_pylist()}
    return config_hash(sorted([str(one), -1 if seed is None else seed] for one, seed in pairs))


def mark_exploratory(verdicts: Iterable[Verdict], earlier: Iterable[Mapping[str, Any]]) -> list[Verdict]:
    """Verdicts, exploratory where the same data were judged before by other criteria.

    Args:
        verdicts: new ones; one that says so itself stays exploratory.
        earlier: rows of the table that stands so far (`common.verdict_table.stored`). A criterion that is among them keeps its
            mark; any other on data that they judge is exploratory. A row whose `data` is empty judges whatever its study
            holds, or everything if it names no study. Where nothing is random, other seeds give the same number: that is
            judged anew only by what its study was not judged by before.
    """
    earlier = list(earlier)
    known = {_identity(row): bool(row["exploratory"]) for row in earlier}
    fixed = {_identity(row)[:-1]: bool(row["exploratory"]) for row in earlier if row["n"] is None}
    seen = {(row["data"] or "", row["study"] or "") for row in earlier if row["status"] not in UNJUDGED}

    def marked(one: Verdict) -> bool:
        name = _identity(vars(one))
        before = known.get(name, fixed.get(name[:-1]) if one.n is None else None)
        if before is not None:
            return before
        return any(data == one.data if data and one.n is not None else study in ("", one.study) for data, study in seen)

    return [
        replace(one, exploratory=one.status not in UNJUDGED and (one.exploratory or marked(one))) for one in verdicts
    ]


def _finite(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else number


def _identity(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] or "" for name in ("claim", "engine", "model", "variant", "where", "criterion_hash", "data"))
