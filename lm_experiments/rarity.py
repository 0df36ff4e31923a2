"""What gates V1 and V3 need of the corpora: tokens that stage 1 hardly shows, and what n-grams alone would know of D_post."""

from collections.abc import Callable
from typing import Any

import numpy as np

from common.arrays import Float, Int
from lm_experiments.plan import Corpus, Kind

SELDOM = 10
"""A token that stage 1 shows less often is rare."""
MOST = 50_000_000
"""Tokens of a corpus that are looked at."""


def counts(store: Any, windows: int, length: int) -> Int[np.ndarray, " ids"]:
    """How often each id occurs in the first windows of a store."""
    found: Int[np.ndarray, " ids"] = np.zeros(0, dtype=np.int64)
    for first in range(0, min(windows, MOST // length), 1024):
        rows = [store.window(i, length)[:-1] for i in range(first, min(windows, first + 1024))]
        here = np.bincount(np.concatenate(rows))
        found = np.pad(found, (0, max(0, len(here) - len(found))))
        found[: len(here)] += here
    return found


def rare_mass(seen: Int[np.ndarray, " ids"], of: Int[np.ndarray, " other"]) -> float:
    """Share of a corpus's tokens that occur fewer than `SELDOM` times in what stage 1 shows.

    Args:
        seen: how often each id occurs in stage 1.
        of: how often each id occurs in the corpus.
    """
    known = np.pad(seen, (0, max(0, len(of) - len(seen))))[: len(of)]
    return float(of[known < SELDOM].sum() / of.sum())


def entropies(
    tokens: Int[np.ndarray, " tokens"], counted: Int[np.ndarray, " ids"] | None = None
) -> tuple[float, float]:
    """Unigram entropy, and that of a token given the one before it, nats; of all tokens or of those that are counted.

    Plain frequencies: with few tokens the second is too small, so that a gate by it is strict.
    """
    before, after = tokens[:-1], tokens[1:]
    if counted is not None:
        keep = np.isin(after, counted)
        before, after = before[keep], after[keep]
    unigram = _entropy(np.bincount(after))
    pairs = _entropy(np.unique(before * (int(after.max()) + 1) + after, return_counts=True)[1])
    return unigram, pairs - _entropy(np.bincount(before))


def _entropy(numbers: Int[np.ndarray, " n"]) -> float:
    share: Float[np.ndarray, " n"] = numbers[numbers > 0] / numbers.sum()
    return float(-(share * np.log(share)).sum())


def gate_columns(
    corpora: dict[Kind, Corpus], open_store: Callable[[str], Any], length: int, kept: dict[Any, Any], answers: bool
) -> dict[str, float]:
    """Columns lm.rare_post, lm.rare_ft (gate V1), lm.unigram_post and lm.bigram_post (V3) of a pipeline.

    Args:
        corpora: D_pre, D_post and D_ft.
        open_store: opens a store by name.
        length: tokens of a window.
        kept: filled with what pipelines share.
        answers: whether only answers are measured.
    """

    def of(kind: Kind) -> Any:
        corpus = corpora[kind]
        store, windows = open_store(corpus.store), max(1, min(corpus.windows, corpus.count))
        # with the fingerprint, because the same name may have other tokens in another study
        name = (store.fingerprint, corpus.store, windows, length)
        if name not in kept:
            kept[name] = counts(store, windows, length)
        return kept[name]

    text = corpora["post"].store.partition("~")[0]
    store = open_store(text)
    name = (store.fingerprint, text, answers, length)
    if name not in kept:
        counted = open_store(f"{text}#answers").counted if answers else None
        whole = min(store.windows(length), max(1, MOST // length))
        tokens = np.concatenate([store.window(i, length)[:-1] for i in range(whole)])
        kept[name] = entropies(tokens, counted)
    unigram, bigram = kept[name]
    seen = of("pre")
    return {
        "lm.rare_post": rare_mass(seen, of("post")), "lm.rare_ft": rare_mass(seen, of("ft")),
        "lm.unigram_post": unigram, "lm.bigram_post": max(0.0, bigram),
    }  # fmt: skip


COLUMNS = dict.fromkeys(("lm.rare_post", "lm.rare_ft", "lm.unigram_post", "lm.bigram_post"), "real")
"""Of the results table."""
