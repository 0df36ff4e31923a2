"""A lambda study as arrays: losses by seed and lambda, for one pipeline, split, replay, size of D_post and stage-3 learning rate."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from common.arrays import Float
from common.settings import WrongUse

MATCHED_POINTS = 33
"""Points of loss_ft, evenly spaced over the range that all lambda reach, at which curves are compared."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows that differ in lambda and seed only; seeds that lack a lambda are left out, so that all is paired."""

    engine: str
    model: str
    pipeline: str
    split: str
    replay: float
    tokens_post: int
    lr_ft: float | None
    """None for a group at matched loss_ft."""
    seeds: tuple[int | None, ...]
    exposure: Float[np.ndarray, " lambdas"]
    im: Float[np.ndarray, "seeds lambdas"]
    ret: Float[np.ndarray, "seeds lambdas"]
    ft: Float[np.ndarray, "seeds lambdas"] | None

    @property
    def title(self) -> str:
        """What tells it from the other groups, for people."""
        rate = "matched loss_ft" if self.lr_ft is None else f"lr_ft {self.lr_ft:g}"
        return f"{self.recipe}, D_post {self.tokens_post:,}, {rate}"

    @property
    def recipe(self) -> str:
        """What the pipelines have in common besides lambda."""
        return f"{self.split}, replay {self.replay:g}" if self.replay else self.split


def groups(table: Any) -> list[Group]:
    """The lambda studies in a results table, in a fixed order. Raises `WrongUse` where it holds none."""
    key = ("engine", "scale", "model", "pipeline", "split", "replay", "tokens_post", "lr_ft")
    names = (*key, "exposure", "seed")
    rows = table.select([*names, "loss_im", "loss_ret", "loss_ft"]).to_pylist()
    rows = [row for row in rows if None not in (row["exposure"], row["loss_im"], row["loss_ret"], row["split"])]
    alike: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        alike.setdefault(tuple(row[name] for name in key), []).append(row)
    found = [_group(values, members) for values, members in alike.items()]
    kept = [group for group in found if len(group.exposure) > 1 and len(group.seeds)]
    if not kept:
        raise WrongUse(
            "The table holds no lambda study: no rows with loss_im and loss_ret that differ in exposure. Give the table of a study "
            "such as fig3a."
        )
    return sorted(
        kept,
        key=lambda group: (
            group.engine,
            group.split == "compute-matched",
            group.replay,
            group.tokens_post,
            group.lr_ft or 0,
        ),
    )


def _group(key: tuple[Any, ...], rows: Sequence[dict[str, Any]]) -> Group:
    engine, scale, model, pipeline, split, replay, tokens_post, lr_ft = key
    exposure = sorted({row["exposure"] for row in rows})
    by_seed: dict[int | None, dict[float, dict[str, Any]]] = {}
    for row in rows:
        by_seed.setdefault(row["seed"], {})[row["exposure"]] = row
    whole = {seed: at for seed, at in by_seed.items() if len(at) == len(exposure)}

    def losses(name: str) -> Any:
        found = [[at[one][name] for one in exposure] for at in whole.values()]
        return None if any(None in row for row in found) else np.array(found, dtype=float).reshape(-1, len(exposure))

    return Group(
        engine=engine, model=scale or model or "", pipeline=pipeline or "", split=split, replay=replay or 0.0,
        tokens_post=tokens_post or 0, lr_ft=lr_ft, seeds=tuple(whole), exposure=np.array(exposure),
        im=losses("loss_im"), ret=losses("loss_ret"), ft=losses("loss_ft"),
    )  # fmt: skip


def matched(found: Iterable[Group]) -> list[Group]:
    """Groups that differ in the stage-3 learning rate as one at matched loss_ft.

    For every seed and lambda, loss_ret is read off the line through its end points (loss_ft, loss_ret), one a learning rate,
    and averaged over the range of loss_ft that all lambda of the seed reach. Seeds without such a range are left out.
    """
    families: dict[tuple[Any, ...], list[Group]] = {}
    for group in found:
        if group.ft is not None and group.lr_ft is not None:
            key = (group.engine, group.model, group.pipeline, group.recipe, group.tokens_post, group.exposure.tobytes())
            families.setdefault(key, []).append(group)
    made = []
    for members in families.values():
        seeds = [seed for seed in members[0].seeds if all(seed in group.seeds for group in members)]
        index = np.array([[group.seeds.index(seed) for seed in seeds] for group in members], dtype=int)
        if len(members) < 2 or not seeds:
            continue
        ft, ret = (
            np.stack([getattr(group, name)[at] for group, at in zip(members, index, strict=True)], axis=-1)
            for name in ("ft", "ret")
        )
        value = np.stack([_at_matched(one, other) for one, other in zip(ft, ret, strict=True)])
        kept = np.isfinite(value).all(axis=1)
        if kept.any():
            here = tuple(seed for seed, keep in zip(seeds, kept, strict=True) if keep)
            made.append(
                replace(members[0], lr_ft=None, seeds=here, im=members[0].im[index[0]][kept], ret=value[kept], ft=None)
            )
    return made


def _at_matched(
    ft: Float[np.ndarray, "lambdas rates"], ret: Float[np.ndarray, "lambdas rates"]
) -> Float[np.ndarray, " lambdas"]:
    """loss_ret of one seed, averaged over the common range of loss_ft; nan where there is none."""
    low, high = ft.min(axis=1).max(), ft.max(axis=1).min()
    if low >= high:
        return np.full(len(ft), np.nan)
    at = np.linspace(low, high, MATCHED_POINTS)
    order = np.argsort(ft, axis=1)
    ft, ret = np.take_along_axis(ft, order, axis=1), np.take_along_axis(ret, order, axis=1)
    return np.array([np.interp(at, x, y).mean() for x, y in zip(ft, ret, strict=True)])
