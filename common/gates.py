"""Gates: whether a testbed of language models is valid, before anything may be claimed with it.

A small model can show "early exposure helps" because it has never seen some tokens of D_post: exposure then trains their embeddings, not a
capability. Each gate is a number that a results table holds, taken in the unexposed models (lambda = 0), and must hold in every seed.

    V1  less than 1 % of the tokens of D_post and D_ft occur fewer than ten times in what stage 1 shows of D_pre
    V2  loss on D_post after stage 1 is below that of guessing uniformly, ln V: a worse start is the artefact itself
    V3  loss_ret is below D_post's unigram entropy, at every rate: beyond that nothing is retained that could be protected
    V4  loss on D_pre after stage 2 is nearer to its value after stage 1 than to ln V: otherwise stage 2 erases the model
    V5  stage 2 stopped by itself (independent split)
    V6  stage 1 had at least 20 tokens per parameter (the paper: 64)

Tables of before rarity was measured cannot say V1 and V3.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from common.results import column
from common.settings import WrongUse

TOKENS_PER_PARAMETER = 20.0
RARE = 0.01
COLUMNS = ("lm.loss_post_after_pre", "lm.loss_pre_after_pre", "lm.loss_pre_after_post")
Passed = Literal["passed", "failed", "not in the table"]
MET = "met"
UNKNOWN = "not known"
"""Of a testbed whose table holds none of what gates are about."""
VOCABULARY = 1024
"""Ids of the tokenizer behind tables that name none: all of them are older than the second one."""


class Gate(NamedTuple):
    """A gate and what a table says about it."""

    name: str
    statement: str
    passed: Passed
    worst: float | None
    """In the seed that is furthest from passing; None where the table cannot say."""
    needed: str


def gates(table: Any, vocabulary: int, parameters: int | None) -> list[Gate]:
    """The gates of one study.

    Args:
        table: its results table.
        vocabulary: size of the tokenizer, V.
        parameters: of the model; None if unknown.

    Raises:
        WrongUse: the table holds no unexposed language models, or not their losses between the stages.
    """
    if missing := [name for name in COLUMNS if name not in table.column_names]:
        raise WrongUse(
            f"The table lacks {missing[0]}. Give the table of a study that `python -m lm_experiments run` wrote."
        )
    keep = (column(table, "engine") == "lm") & (column(table, "exposure") == 0)
    if not keep.any():
        raise WrongUse(
            "The table has no unexposed language models (exposure 0). Gates are about those: run the study with lambda 0."
        )
    start, before, after = (column(table, name)[keep] for name in COLUMNS)
    uniform = math.log(vocabulary)
    lost = (after - before) / (uniform - before)
    rare = _columns(table, ("lm.rare_post", "lm.rare_ft"), keep)
    unigram = _columns(table, ("lm.unigram_post", "loss_ret"), keep)
    made = [
        _below(
            "V1", "share of D_post or D_ft in tokens that stage 1 hardly shows", np.maximum(*rare), RARE, "below 0.01"
        )
        if rare
        else _unsaid("V1", "share of D_post or D_ft in tokens that stage 1 hardly shows", "below 0.01"),
        _below("V2", "loss on D_post after stage 1", start, uniform, f"below ln V = {uniform:.2f}"),
        _below("V3", "loss_ret minus D_post's unigram entropy", unigram[1] - unigram[0], 0.0, "below 0")
        if unigram
        else _unsaid("V3", "loss_ret minus D_post's unigram entropy", "below 0"),
        _below("V4", "D_pre loss after stage 2: share of the way from stage 1 to ln V", lost, 0.5, "below 0.5"),
    ]
    stopping = keep & (column(table, "split") == "independent")
    if "lm.stopped_early" in table.column_names and stopping.any():
        stopped = column(table, "lm.stopped_early")[stopping]
        made.append(_below("V5", "share of stage 2 that took all its steps", 1 - stopped, 0.5, "0"))
    if parameters:
        tokens, needed = column(table, "tokens_pre")[keep] / parameters, f"at least {TOKENS_PER_PARAMETER:g}"
        made.append(
            _unsaid("V6", "stage-1 tokens per parameter", needed) if np.isnan(tokens).any()  # a model of somebody else
            else Gate("V6", "stage-1 tokens per parameter", _said((tokens >= TOKENS_PER_PARAMETER).all()), float(tokens.min()), needed)
        )  # fmt: skip
    return made


def standing(made: Sequence[Gate]) -> str:
    """How a testbed stands, in the words of a verdict's column `gates`: met, or which gates fail and which its table cannot say."""
    failed, unsaid = (
        ", ".join(gate.name for gate in made if gate.passed == one) for one in ("failed", "not in the table")
    )
    if not failed and not unsaid:
        return MET if made else UNKNOWN
    return (f"fails {failed}" if failed else "none fails") + (f" ({unsaid} not in the table)" if unsaid else "")


def together(standings: Iterable[str]) -> str:
    """How several testbeds stand: what all have in common, or each in turn; empty where there are none."""
    return " / ".join(dict.fromkeys(one for one in standings if one))


def vocabulary_of(table: Any) -> int:
    """Size of the tokenizer that a table names, V."""
    said = table["lm.vocabulary"].unique().to_pylist() if "lm.vocabulary" in table.column_names else []
    return int(said[0]) if len(said) == 1 and said[0] else VOCABULARY


def testbeds(table: Any) -> list[tuple[str, str, Any]]:
    """The testbeds of a table: scale, pipeline and their rows; each has gates of its own."""
    import pyarrow.compute as pc

    pairs = dict.fromkeys(zip(table["scale"].to_pylist(), table["pipeline"].to_pylist(), strict=True))
    found = []
    for scale, pipeline in pairs:
        keep = [
            pc.is_null(table[name]) if value is None else pc.equal(table[name], value)
            for name, value in (("scale", scale), ("pipeline", pipeline))
        ]
        found.append((scale or "", pipeline or "", table.filter(pc.and_(*keep))))
    return found


def _columns(table: Any, names: tuple[str, ...], keep: Any) -> list[Any]:
    """Those columns in the rows that count; empty where the table lacks one, or a value of it."""
    if any(name not in table.column_names for name in names):
        return []
    found = [column(table, name)[keep] for name in names]
    return found if all(np.isfinite(np.asarray(one, dtype=float)).all() for one in found) else []


def _unsaid(name: str, statement: str, needed: str) -> Gate:
    return Gate(name, statement, "not in the table", None, needed)


def _below(name: str, statement: str, values: Any, most: float, needed: str) -> Gate:
    return Gate(name, statement, _said(bool(np.all(values < most))), float(np.max(values)), needed)


def _said(passed: Any) -> Passed:
    return "passed" if passed else "failed"
