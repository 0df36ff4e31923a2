"""Verdicts on the paper's claims from any lambda study in a results table: measured here, or published."""

from collections.abc import Sequence
from typing import Any

from lm_experiments.verdicts.claims import CLAIMS, Verdict, unpredictive
from lm_experiments.verdicts.groups import Group, groups, matched

__all__ = ["Verdict", "judge", "verdicts"]


def verdicts(tables: Sequence[Any]) -> list[Verdict]:
    """C1 or C2 for every group, at every stage-3 learning rate and at matched loss_ft, and C8 across the recipes of a group.

    Args:
        tables: results tables, one study each; rows that differ in lambda and seed are compared.

    Raises:
        WrongUse: a table holds no lambda study.

    Example:
        >>> from common.published import load
        >>> sorted({verdict.claim[:2] for verdict in verdicts([load(3)])})
        ['C1', 'C2', 'C8']
    """
    found = [group for table in tables for group in groups(table)]
    single = [verdict for group in [*found, *matched(found)] for verdict in CLAIMS[group.split](group)]
    recipes: dict[tuple[Any, ...], list[Group]] = {}
    for group in found:
        recipes.setdefault((group.engine, group.model, group.pipeline, group.tokens_post, group.lr_ft), []).append(
            group
        )
    across = [
        verdict
        for members in recipes.values()
        for some in ([[one] for one in members] + ([members] if len(members) > 1 else []))
        for verdict in unpredictive(some)
    ]
    return single + across


judge = verdicts
"""The name under which `lm_experiments` offers it, whose `verdicts` is this package."""
