"""Rare tokens and n-gram entropies, against counting by hand and closed forms."""

import math

import numpy as np
import pytest

from lm_experiments import rarity
from lm_experiments.plan import Corpus
from tests.lm_experiments.tiny import LENGTH, Text


def test_counts_are_those_of_the_inputs_of_the_first_windows():
    store = Text(0)
    assert rarity.counts(store, 7, LENGTH).tolist() == np.bincount(store.tokens[: 7 * LENGTH], minlength=64).tolist()


def test_rare_mass_is_the_share_of_tokens_seen_seldom():
    seen, of = np.array([100, 9, 10]), np.array([5, 3, 1, 1])
    assert rarity.rare_mass(seen, of) == pytest.approx(0.4), "ids 1 (9 times) and 3 (never)"
    assert rarity.rare_mass(np.array([100, 100, 100, 100, 0]), of) == 0


def test_entropies_of_a_chain_and_of_its_answers():
    """Three steps, equally likely: ln 3 after any token, ln V without; counted labels alone, as if the others were not there."""
    tokens = Text(0, size=200_000).tokens
    unigram, bigram = rarity.entropies(tokens)
    assert unigram == pytest.approx(math.log(64), abs=0.01)
    assert bigram == pytest.approx(math.log(3), abs=0.01)
    fixed = np.array([1, 7, 2, 8] * 50)
    assert rarity.entropies(fixed, np.array([7, 8])) == pytest.approx((math.log(2), 0.0), abs=1e-12)


def test_columns_come_from_their_own_corpus():
    class Store(Text):
        fingerprint = "0"

        def __init__(self, tokens):
            self.tokens = np.asarray(tokens)

    stores = {
        "pre/train~3": Store([0, 1] * 100), "post/train~3": Store([0, 2] * 100), "ft/train~3": Store([0, 0, 0, 5] * 50),
        "post/train": Store([0, 2] * 100),
    }  # fmt: skip
    corpora = {kind: Corpus(store=f"{kind}/train~3", windows=4, count=4) for kind in ("pre", "post", "ft")}
    found = rarity.gate_columns(corpora, stores.__getitem__, 16, {}, False)
    assert found["lm.rare_post"] == pytest.approx(0.5)
    assert found["lm.rare_ft"] == pytest.approx(0.25)
    assert found["lm.unigram_post"] == pytest.approx(math.log(2), abs=1e-4)
    assert found["lm.bigram_post"] == pytest.approx(0.0, abs=1e-12)


def test_what_is_kept_is_known_by_content_not_by_name():
    class Store(Text):
        def __init__(self, tokens, fingerprint):
            self.tokens, self.fingerprint = np.asarray(tokens), fingerprint

    kept: dict = {}
    corpora = {kind: Corpus(store="same/train", windows=4, count=4) for kind in ("pre", "post", "ft")}
    first, second = (
        {"same/train": Store(tokens, name)} for name, tokens in (("a", [0, 1] * 100), ("b", [0, 1, 2, 3] * 50))
    )
    found = [
        rarity.gate_columns(corpora, stores.__getitem__, 16, kept, False)["lm.unigram_post"]
        for stores in (first, second)
    ]
    assert found == pytest.approx([math.log(2), math.log(4)], abs=1e-3)
