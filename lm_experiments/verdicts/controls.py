"""What exposure does beyond its decoys: the same dose of something else in stage 1, at equal tokens and the same seeds (claim D1).

loss_ret   lambda = 0  ─────────────●
           decoy       ────────●    │   raw effect of exposure: real minus lambda = 0
           real        ──────●─┘────┘   what is left over the strongest decoy: D1

A decoy may do harm, and exposure that does nothing is then better than it: real exposure must be below no exposure too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from common.arrays import Float
from common.seeds import mean_interval
from common.verdicts import Verdict, all_of, within
from lm_experiments.verdicts.groups import Group, side_by_side

APART = ("exposed", "lm.variant", "lr_ft")
"""Columns in which a study's real exposure, its decoys and its stage-3 rates differ."""
REAL = (None, "post")
PROBES = ("provenance", "few-facts-halves")
"""Studies that expose to a part of D_post, which is no decoy of it."""
CRITERION = "loss_ret: real exposure below every decoy of it at the same lambda, and below none"
NOTHING = "no exposure"


def controlled(found: Iterable[Group]) -> list[tuple[list[str], Group]]:
    """Real exposure beside its decoys: for every family and stage-3 rate the names of the decoys, and a group whose columns are
    lambda = 0, real, then the decoys, all at the largest lambda that they share. Nothing where a study has no decoys."""
    families: dict[tuple[Any, ...], list[Group]] = {}
    for group in (one for one in found if one.key["study"] not in PROBES):
        rest = tuple((name, value) for name, value in group.key.items() if name not in APART)
        families.setdefault((rest, choice(group), group.key.get("lr_ft")), []).append(group)
    named = {(choice(members[0]), members[0].key["pipeline"]) for members in families.values()}
    several = len(named) > len({pipeline for _, pipeline in named})
    made = []
    for members in families.values():
        real = [group for group in members if group.key["exposed"] in REAL and group.exposure[0] == 0]
        decoys = [group for group in members if group.key["exposed"] not in REAL]
        doses = set.intersection(*(set(group.exposure) - {0.0} for group in [*real, *decoys])) if real else set()
        if len(real) != 1 or not decoys or not doses:
            continue
        dose = max(doses)
        beside = side_by_side([_at(real[0], (0.0, dose)), *(_at(decoy, (dose,)) for decoy in decoys)])
        if beside is not None:
            split = real[0].key["split"]
            names = [_name(decoy) for decoy in decoys]
            told = f", {choice(real[0])}" if several else ""
            made.append(
                (names, replace(beside, recipes=f"{split}, lambda {dose:g}{told}, real beside {', '.join(names)}"))
            )
    return made


def choice(group: Group) -> str:
    """What the name of an arm says after its first comma, in which real exposure and its decoys agree: a corpus, or a choice."""
    return (group.key.get("lm.variant") or "").partition(", ")[2]


def beyond_decoys(names: Sequence[str], group: Group) -> list[Verdict]:
    """D1 over no exposure and all decoys at once, and over each decoy alone.

    Args:
        names: of the decoys.
        group: as `controlled` makes it, or the same at matched loss_ft.
    """
    raw = mean_interval(group.ret[:, 1] - group.ret[:, 0])
    parts = [
        within("D1", group.model, f"loss_ret, real minus {name} (raw effect {raw.value:+.3f})",
               mean_interval(group.ret[:, 1] - other), CRITERION, at_most=0.0, statistic=name)
        for name, other in others(names, group).items()
    ]  # fmt: skip
    where = f"{group.key['pipeline']}: {group.title}"
    stamp: dict[str, Any] = {"engine": group.key["engine"], "where": where, "gates": group.gates}
    each = [replace(part, variant=name, **stamp) for part, name in zip(parts[1:], names, strict=True)]
    return [all_of(parts, CRITERION, **stamp), *each]


def others(names: Sequence[str], group: Group) -> dict[str, Float[np.ndarray, " seeds"]]:
    """loss_ret of what real exposure has to be below, without exposure first.

    Args:
        names: of the decoys.
        group: as `controlled` makes it.
    """
    return {NOTHING: group.ret[:, 0]} | {name: group.ret[:, 2 + place] for place, name in enumerate(names)}


def _at(group: Group, doses: Sequence[float]) -> Group:
    places = [list(group.exposure).index(dose) for dose in doses]
    ft = None if group.ft is None else group.ft[:, places]
    return replace(group, exposure=group.exposure[places], im=group.im[:, places], ret=group.ret[:, places], ft=ft)


def _name(group: Group) -> str:
    """The decoy; its arm where that is another corpus."""
    exposed = str(group.key["exposed"])
    return (group.key.get("lm.variant") or exposed).split(",")[0] if exposed == "other" else exposed
