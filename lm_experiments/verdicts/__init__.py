"""Verdicts on the paper's claims from any lambda study in a results table: measured here, or published."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from common.gates import MET, together
from common.gates import testbeds as by_testbed  # a module of this package has the same name
from common.results import as_table, verify
from common.settings import WrongUse
from common.verdicts import Verdict, data_hash, holm
from lm_experiments.studies.sensitivity import FEW_SENSITIVITY
from lm_experiments.verdicts.across import over_testbeds
from lm_experiments.verdicts.claims import BY_SPLIT, unpredictive
from lm_experiments.verdicts.controls import PROBES, beyond_decoys, controlled
from lm_experiments.verdicts.frontiers import frontiers
from lm_experiments.verdicts.groups import Group, apart, groups, matched, pooled, side_by_side
from lm_experiments.verdicts.mechanisms import are_probes, asks, mechanisms
from lm_experiments.verdicts.provenance import provenance
from lm_experiments.verdicts.sensitivity import sensitivity

__all__ = ["Verdict", "judge", "verdicts"]


def verdicts(tables: Sequence[Any], names: Sequence[str] = ()) -> list[Verdict]:
    """C1 or C2 for every group, D1 where a group has decoys, E1 where half of D_post was exposed, and C8 across the recipes; C3 to C6 of
    studies of frontiers (`frontiers`), of which nothing else is asked.

    E2 to E5 where the arms are there that these are about, or probes of their models.

    C8 is asked of the recipes of a group and of all groups of a size and model.
    Each at every stage-3 learning rate, at matched loss_ft, and that pooled over the sizes of D_post. The last is the one primary
    endpoint of a claim in a model, where nothing but the exposure differs from a plain pipeline (for C8: all recipes together); all
    others are secondary, corrected for their number (Holm).

    Args:
        tables: results tables or data frames with their columns, one study each; rows that differ in lambda and seed only are compared.
        names: what errors call the tables; "table 1", "table 2", ... where they are left out.

    Raises:
        WrongUse: something is no results table, a table holds no lambda study, two rows that nothing tells apart, or tables share a row.

    Example:
        >>> from common.published import load
        >>> sorted({verdict.claim[:2] for verdict in verdicts([load(3)])})
        ['C1', 'C2', 'C8']
    """
    tables = _checked(tables)
    made: list[Verdict] = []
    every: list[Group] = []
    data: dict[str, set[str]] = {}
    called = names or [f"table {i}" for i in range(1, len(tables) + 1)]
    for kind in (True, False):  # the probes of a study have its rows once more
        alike = [(table, name) for table, name in zip(tables, called, strict=True) if are_probes(table) == kind]
        apart([table for table, _ in alike], [name for _, name in alike])
    told = [part for table in tables if are_probes(table) or asks(table) for _, _, part in by_testbed(table)]
    made += [verdict for part in told for verdict in mechanisms(part)]
    for table in (one for one in tables if not are_probes(one)):
        if asked := frontiers(table):
            made += asked
            continue
        found = groups(table)
        every += found
        hashed = data_hash(table)
        data.setdefault(found[0].key["study"], set()).add(hashed)
        stamp = {"study": found[0].key["study"], "data": hashed}
        single = [_marked(BY_SPLIT[group.key["split"]](group), group, main) for group, main in endpoints(found)]
        ranks = [unpredictive(group) for group, _ in endpoints(found)]
        beyond = _controls(found) + ([provenance(table)] if found[0].key["study"] in PROBES else [])
        beyond.append(sensitivity(found))
        gates = together(group.gates for group in found)  # of probes, which are judged by table
        made += [replace(one, **stamp, gates=one.gates or gates) for some in [*single, *ranks, *beyond] for one in some]
    by_size: dict[tuple[Any, ...], list[Group]] = {}
    for group in every:
        names = ("engine", "scale", "model", "pipeline", "tokens_post", "lr_ft")
        by_size.setdefault(tuple(group.key[name] for name in names), []).append(group)
    beside = [one for some in by_size.values() if len(some) > 1 if (one := side_by_side(some)) is not None]
    stamp = {"study": ", ".join(sorted(data)), "data": ", ".join(sorted(set().union(*data.values())))}
    for group, main in endpoints(beside):
        made += [replace(one, primary=main, **stamp) for one in unpredictive(group)]
    made += [replace(one, **stamp, gates=MET) for one in over_testbeds(_valid(every))]
    return holm(made)


def _valid(found: Iterable[Group]) -> list[tuple[Sequence[str], Group]]:
    """Real exposure beside its decoys at matched loss_ft, of the testbeds that met their gates; choices are no testbeds."""
    valid = _by_decoys(one for one in found if one.gates == MET and one.key["study"] != FEW_SENSITIVITY.name)
    return [(decoys, group) for decoys, some in valid.items() for group in matched(some)]


def _by_decoys(found: Iterable[Group]) -> dict[tuple[str, ...], list[Group]]:
    """Real exposure beside its decoys, by the names of these."""
    made: dict[tuple[str, ...], list[Group]] = {}
    for names, group in controlled(found):
        made.setdefault(tuple(names), []).append(group)
    return made


def _checked(tables: Any) -> list[Any]:
    """Results tables from tables or data frames. Raises `WrongUse`."""
    if not isinstance(tables, Sequence) or isinstance(tables, str):
        raise WrongUse(
            f"{type(tables).__name__} is no list of results tables. Write judge([table]), each as `read` gives it."
        )
    made = [as_table(one) for one in tables]
    for one in made:
        verify(one)
    return made


def _controls(found: Sequence[Group]) -> list[list[Verdict]]:
    """D1 at every rate and at matched loss_ft, the first reading of which is primary."""
    made = []
    for decoys, some in _by_decoys(found).items():
        for group, main in endpoints(some):
            judged = beyond_decoys(decoys, group)
            made.append([replace(one, primary=main and not one.variant) for one in judged])
    return made


def endpoints(found: Iterable[Group]) -> list[tuple[Group, bool]]:
    """Groups, the same at matched loss_ft, and those pooled over sizes; with each whether it is what a claim is judged by first."""
    found = list(found)
    at_matched = matched(found)
    over_sizes = pooled(at_matched)
    covered = [group.sizes for group in over_sizes]
    alone = [not any(set(group.sizes) <= set(sizes) for sizes in covered) for group in at_matched]
    return (
        [(group, False) for group in found]
        + list(zip(at_matched, alone, strict=True))
        + [(group, True) for group in over_sizes]
    )


def _marked(judged: list[Verdict], group: Group, main: bool) -> list[Verdict]:
    """The first reading is primary where the endpoint is, in a pipeline without interventions."""
    return [replace(one, primary=main and group.without_intervention and one.variant == "") for one in judged]


judge = verdicts
"""The name under which `lm_experiments` offers it, whose `verdicts` is this package."""
