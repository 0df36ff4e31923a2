"""A lambda study as arrays: losses by seed and lambda, of rows that agree in everything else."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from common import recipe
from common.arrays import Float
from common.curves import at_matched
from common.gates import together
from common.settings import WrongUse
from lm_experiments.studies.settings import COLUMNS
from lm_experiments.verdicts.testbeds import standings

RECIPE = tuple(name for name in recipe.COLUMNS if name != "exposure")
KEY = (
    "engine",
    "study",
    "scale",
    "model",
    "pipeline",
    *RECIPE,
    "tokens_post",
    "tokens_ft",
    "lr_pre",
    "lr_post",
    "lr_ft",
)
"""What rows of a group agree in, with the arm (`lm.variant`) and the stage settings that tell rows apart; tokens_pre grows with lambda."""
TOLD = ("lr_pre", "lr_post", "tokens_ft", *COLUMNS)
"""What titles say where it differs among rows of one arm."""
MATCHED = "matched loss_ft"


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows that differ in lambda and seed only; seeds that lack a lambda are left out, so that all is paired.

    The arms of several groups side by side make a group too (`side_by_side`): what is an exposure here are then recipes.
    """

    key: dict[str, Any]
    """Column -> value. `lr_ft` and `tokens_post` are absent from groups that were matched or averaged over them."""
    seeds: tuple[int | None, ...]
    exposure: Float[np.ndarray, " lambdas"]
    im: Float[np.ndarray, "seeds lambdas"]
    ret: Float[np.ndarray, "seeds lambdas"]
    ft: Float[np.ndarray, "seeds lambdas"] | None
    sizes: tuple[int, ...] = ()
    """Sizes of D_post that it is the mean of."""
    told: tuple[str, ...] = ()
    """Columns besides the recipe's that differ among the rows of an arm, so that a title must say them."""
    recipes: str = field(default="")
    """What the pipelines have in common besides lambda, in words, where it is not this group's key that says so."""
    gates: str = ""
    """Whether its testbed met its gates (`lm_experiments.verdicts.testbeds`)."""

    @property
    def model(self) -> str:
        """Size of the model, or its architecture where no size has a name."""
        return self.key["scale"] or self.key["model"] or ""

    @property
    def is_matched(self) -> bool:
        """Whether it is compared at equal loss_ft, over the stage-3 learning rates."""
        return "lr_ft" not in self.key

    @property
    def without_intervention(self) -> bool:
        """Whether nothing but the exposure and the split differs from a plain pipeline."""
        return all(self.key[name] in (None, recipe.OFF[name]) for name in RECIPE if name != "split")

    @property
    def recipe(self) -> str:
        """What the pipelines have in common besides lambda, for people: whatever is not as in a plain one."""
        if self.recipes:
            return self.recipes
        words = [self.key["split"] or ""]
        for name in RECIPE:
            if name != "split" and self.key[name] not in (None, recipe.OFF[name]):
                words.append(f"{name} {_spelled(self.key[name])}")
        if variant := self.key.get("lm.variant"):
            words.append(variant)
        words += [f"{name.removeprefix('lm.')} {_spelled(self.key[name])}" for name in self.told]
        return ", ".join(words)

    @property
    def title(self) -> str:
        """What tells it from the other groups, for people."""
        rate = self.key.get("lr_ft")
        at = MATCHED if self.is_matched else "lr_ft unknown" if rate is None else f"lr_ft {rate:g}"
        return f"{self.recipe}, D_post {' and '.join(f'{size:,}' for size in self.sizes)}, {at}"


def _spelled(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def groups(table: Any) -> list[Group]:
    """The lambda studies in a results table, in a fixed order.

    Raises:
        WrongUse: it holds none, or two rows agree in all columns that decide a result and in the seed.
    """
    present = [name for name in ("lm.variant", *COLUMNS) if name in table.column_names]
    told = _apart(table, [name for name in TOLD if name in table.column_names])
    key = [*KEY, *(name for name in present if name == "lm.variant" or name in told)]
    rows = table.select([*key, "exposure", "seed", "loss_im", "loss_ret", "loss_ft"]).to_pylist()
    rows = [row for row in rows if None not in (row["exposure"], row["loss_im"], row["loss_ret"], row["split"])]
    alike: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        alike.setdefault(tuple(row[name] for name in key), []).append(row)
    beds = standings(table)
    found = [_group(dict(zip(key, values, strict=True)), members, told, beds) for values, members in alike.items()]
    kept = [group for group in found if len(group.exposure) > 1 and len(group.seeds)]
    if not kept:
        raise WrongUse(
            "The table holds no lambda study: no rows with loss_im and loss_ret that differ in exposure. Give the table of a study "
            "such as fig3a."
        )
    return sorted(
        kept,
        key=lambda group: (group.key["split"] == "compute-matched", group.recipe, group.sizes, group.key["lr_ft"] or 0),
    )


def apart(tables: Sequence[Any], names: Sequence[str]) -> None:
    """See that no row is in two tables, where it would be judged twice and counted twice in the correction for many verdicts.

    Args:
        tables: results tables.
        names: what to call each.

    Raises:
        WrongUse: two rows agree in all columns that decide a result and in the seed; names both tables.
    """
    decides = (*KEY, "lm.variant", *COLUMNS, "exposure", "seed")
    studies = [set(table["study"].to_pylist()) for table in tables]
    for (i, one), (j, other) in combinations(enumerate(tables), 2):
        if not studies[i] & studies[j]:
            continue
        common = [name for name in decides if name in one.column_names and name in other.column_names]
        rows = [set(zip(*(table[name].to_pylist() for name in common), strict=True)) for table in (one, other)]
        if twice := rows[0] & rows[1]:
            row = dict(zip(common, min(twice, key=repr), strict=True))
            short = ("study", "scale", "lm.variant", "split", "tokens_post", "lr_ft", "exposure", "seed")
            said = ", ".join(f"{name} = {_spelled(row[name])}" for name in short if row.get(name) not in (None, ""))
            raise WrongUse(
                f"{names[i]} and {names[j]} share {len(twice)} rows, which would be judged twice (one has {said}). Give every row once."
            )


def _apart(table: Any, names: Sequence[str]) -> tuple[str, ...]:
    """Those columns that take several values among the rows of one arm."""
    found: dict[tuple[str, Any], set[Any]] = {}
    arm = ["lm.variant"] if "lm.variant" in table.column_names else []
    for row in table.select([*arm, *names]).to_pylist():
        for name in names:
            found.setdefault((name, row.get("lm.variant")), set()).add(row[name])
    several = {name for (name, _), values in found.items() if len(values) > 1}
    return tuple(name for name in names if name in several)


def _group(
    key: dict[str, Any], rows: Sequence[dict[str, Any]], told: tuple[str, ...], beds: Mapping[tuple[str, str], str]
) -> Group:
    exposure = sorted({row["exposure"] for row in rows})
    by_seed: dict[int | None, dict[float, dict[str, Any]]] = {}
    for row in rows:
        at = by_seed.setdefault(row["seed"], {})
        if row["exposure"] in at:
            said = ", ".join(f"{name} = {_spelled(value)}" for name, value in key.items() if value not in (None, ""))
            raise WrongUse(
                f"Two rows have exposure = {row['exposure']:g} and seed = {row['seed']} with {said}. Nothing tells them apart, so neither "
                "can be judged; name what differs in a column of the recipe or in lm.variant, or remove one."
            )
        at[row["exposure"]] = row
    whole = {seed: at for seed, at in by_seed.items() if len(at) == len(exposure)}

    def losses(name: str) -> Any:
        found = [[at[one][name] for one in exposure] for at in whole.values()]
        return None if any(None in row for row in found) else np.array(found, dtype=float).reshape(-1, len(exposure))

    return Group(
        key=key, seeds=tuple(whole), exposure=np.array(exposure), sizes=(key["tokens_post"] or 0,), told=told,
        im=losses("loss_im"), ret=losses("loss_ret"), ft=losses("loss_ft"),
        gates=beds.get((key["scale"] or "", key["pipeline"] or ""), ""),
    )  # fmt: skip


def families(found: Iterable[Group], *names: str) -> list[list[Group]]:
    """Groups that agree in everything but some columns, and in lambda."""
    made: dict[tuple[Any, ...], list[Group]] = {}
    for group in found:
        rest = tuple((name, value) for name, value in group.key.items() if name not in names)
        made.setdefault((rest, group.recipes, group.exposure.tobytes()), []).append(group)
    return list(made.values())


def shared(members: Sequence[Group], name: str) -> tuple[tuple[int | None, ...], list[Any]]:
    """The seeds that all groups have, and the losses of each group in those."""
    seeds = tuple(seed for seed in members[0].seeds if all(seed in group.seeds for group in members))
    return seeds, [getattr(group, name)[[group.seeds.index(seed) for seed in seeds]] for group in members]


def matched(found: Iterable[Group]) -> list[Group]:
    """Groups that differ in the stage-3 learning rate as one at matched loss_ft. A description, no causal control: it selects afterwards.

    For every seed and lambda, loss_ret is read off the line through its end points (loss_ft, loss_ret), one per learning rate,
    and averaged over the range of loss_ft that all lambda of the seed reach. Seeds without such a range are left out. Groups whose
    learning rate is unknown are not matched.
    """
    made = []
    usable = [group for group in found if group.ft is not None and group.key.get("lr_ft") is not None]
    for members in families(usable, "lr_ft"):
        seeds, ft = shared(members, "ft")
        if len(members) < 2 or not seeds:
            continue
        _, ret = shared(members, "ret")
        pairs = zip(np.stack(ft, axis=-1), np.stack(ret, axis=-1), strict=True)
        value = np.stack([at_matched(one, other) for one, other in pairs])
        kept = np.isfinite(value).all(axis=1)
        if kept.any():
            here = tuple(seed for seed, keep in zip(seeds, kept, strict=True) if keep)
            key = {name: one for name, one in members[0].key.items() if name != "lr_ft"}
            im = shared(members, "im")[1][0][kept]
            made.append(replace(members[0], key=key, seeds=here, im=im, ret=value[kept], ft=None))
    return made


def pooled(found: Iterable[Group]) -> list[Group]:
    """Groups that differ in the size of D_post as their mean, seed by seed; nothing of those that have one size only."""
    made = []
    for members in families(found, "tokens_post"):
        seeds, im = shared(members, "im")
        if len(members) < 2 or not seeds:
            continue
        key = {name: one for name, one in members[0].key.items() if name != "tokens_post"}
        sizes = tuple(sorted(size for group in members for size in group.sizes))
        ret = np.mean(shared(members, "ret")[1], axis=0)
        made.append(replace(members[0], key=key, seeds=seeds, sizes=sizes, im=np.mean(im, axis=0), ret=ret, ft=None))
    return made


def side_by_side(members: Sequence[Group]) -> Group | None:
    """The recipes of several groups beside one another, in the seeds that all have; None where there is no such seed."""
    seeds, im = shared(members, "im")
    if not seeds:
        return None
    ret = shared(members, "ret")[1]
    ft = None if any(group.ft is None for group in members) else np.concatenate(shared(members, "ft")[1], axis=1)
    recipes = "; ".join(dict.fromkeys(group.recipe for group in members))
    exposure = np.concatenate([group.exposure for group in members])
    key = {name: members[0].key[name] for name in ("engine", "scale", "model", "pipeline", "tokens_post", "lr_ft")}
    return Group(key=key, seeds=seeds, exposure=exposure, im=np.concatenate(im, axis=1), ret=np.concatenate(ret, axis=1),
                 ft=ft, sizes=members[0].sizes, recipes=recipes, gates=together(group.gates for group in members))  # fmt: skip
