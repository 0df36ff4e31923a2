"""Stores that are made of other stores as they are read: decoys of a corpus, more of it, and text that a model has written.

    KIND:SEED:FIRST:SIZE:STORE         such as shuffled:3:0:256:music/train: made of windows FIRST .. FIRST + SIZE - 1 of music/train

    beyond      those windows themselves: other text of the same corpus
    shuffled    the tokens of each window in another order: the same unigrams, nothing else
    bigram      windows drawn so that every token follows the one before as often as in the corpus: its local statistics, nothing else
    generated   windows that the model wrote with which the stage begins, each from one token of the corpus, at temperature 1

What a window holds depends on its name and number (and, of generated ones, on the model) alone, so nothing is kept, and a stage that goes
on reads what it read before.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from common.arrays import Int
from common.settings import WrongUse
from lm_experiments.plan import Windows

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

KINDS = ("beyond", "shuffled", "bigram", "generated")
TOGETHER = 32
"""Windows that a model writes at a time: they decide nothing, each has random numbers of its own."""


class Name(NamedTuple):
    """The parts of a name."""

    kind: str
    seed: int
    first: int
    size: int
    store: str

    def __str__(self) -> str:
        """The name."""
        return ":".join(map(str, self))


def parsed(name: str) -> Name | None:
    """The parts of a derived store's name; None where it is the name of a store as it is."""
    parts = name.split(":", 4)
    if len(parts) < 5 or parts[0] not in KINDS or not all(part.isdecimal() for part in parts[1:4]):
        return None
    return Name(parts[0], int(parts[1]), int(parts[2]), int(parts[3]), parts[4])


def source(name: str) -> str:
    """The store that a derived one is made of; a name that is no derived one's is its own."""
    found = parsed(name)
    return found.store if found else name


def check(name: str, store: Windows, length: int) -> None:
    """Raise `WrongUse` where a derived store asks for more windows than the one that it is made of holds."""
    parts = parsed(name)
    if parts is not None and parts.first + parts.size > store.windows(length):
        raise WrongUse(
            f"{parts.store} holds {store.windows(length):,} windows of {length} tokens; {parts.kind} needs {parts.size:,} after the first "
            f"{parts.first:,}. Ask for a smaller D_post, or add text."
        )


def opened(
    names: Iterable[str], stores: Mapping[str, Windows], length: int, model: "LlamaForCausalLM | None"
) -> dict[str, Windows]:
    """The derived stores among some names.

    Args:
        names: of stores, of whatever kind.
        stores: those that they are made of, by name.
        length: tokens of a window.
        model: with which the stage begins; copied where it has to write.

    Raises:
        WrongUse: a store holds too few windows.
    """
    made: dict[str, Windows] = {}
    for name in names:
        if (parts := parsed(name)) is None:
            continue
        check(name, stores[parts.store], length)
        made[name] = _KINDS[parts.kind](parts, stores[parts.store], model)
    return made


class _Derived:
    """What all have in common."""

    def __init__(self, name: Name, store: Windows, model: "LlamaForCausalLM | None") -> None:
        self.name, self.store = name, store

    def windows(self, length: int) -> int:
        return self.name.size

    def original(self, index: int, length: int) -> Int[np.ndarray, " positions"]:
        if not 0 <= index < self.name.size:
            raise IndexError(f"{self.name} has {self.name.size} windows; there is no window {index}.")
        return self.store.window(self.name.first + index, length)

    def bits(self, index: int, count: int) -> Any:
        """Random 64-bit numbers of one window: of a counter-based generator, raw, which numpy promises for ever."""
        key = hashlib.sha256(f"{self.name.kind}/{self.name.seed}/{index}".encode()).digest()[:16]
        return np.random.Philox(key=np.frombuffer(key, dtype=np.uint64)).random_raw(count)


class _Beyond(_Derived):
    def window(self, index: int, length: int) -> Int[np.ndarray, " positions"]:
        return self.original(index, length)


class _Shuffled(_Derived):
    def window(self, index: int, length: int) -> Int[np.ndarray, " positions"]:
        found = self.original(index, length)
        return found[np.argsort(self.bits(index, len(found)), kind="stable")]


class _Bigram(_Derived):
    """The next token is the one that follows a place of the corpus, drawn evenly among those that hold the present token."""

    _length = 0

    def _read(self, length: int) -> None:
        found = [self.original(i, length) for i in range(self.name.size)]
        before, after = (np.concatenate([window[cut] for window in found]) for cut in (slice(-1), slice(1, None)))
        order = np.argsort(before, kind="stable")
        self._after, self._length = after[order], length
        ids = np.arange(int(max(before.max(), after.max())) + 2)
        self._starts = np.searchsorted(before[order], ids)
        self._first = before

    def window(self, index: int, length: int) -> Int[np.ndarray, " positions"]:
        if not 0 <= index < self.name.size:
            raise IndexError(f"{self.name} has {self.name.size} windows; there is no window {index}.")
        if self._length != length:
            self._read(length)
        bits = self.bits(index, length + 1)
        token = int(self._first[bits[0] % len(self._first)])
        found = [token]
        for number in bits[1:].tolist():
            low, high = int(self._starts[token]), int(self._starts[token + 1])
            after = (
                self._after[low:high] if low < high else self._first
            )  # the last token of all may have nothing after it
            token = int(after[number % len(after)])
            found.append(token)
        return np.array(found, dtype=np.int64)


class _Generated(_Derived):
    """Written when they are first read, several at a time."""

    def __init__(self, name: Name, store: Windows, model: "LlamaForCausalLM | None") -> None:
        super().__init__(name, store, model)
        if model is None:
            raise WrongUse(f"{name} is written by the model that a stage begins with, and the first stage has none.")
        import copy

        written_by: Any = model
        self.model = copy.deepcopy(written_by)
        self.model.eval()
        self._written: dict[int, Int[np.ndarray, " positions"]] = {}

    def window(self, index: int, length: int) -> Int[np.ndarray, " positions"]:
        if index not in self._written:
            first = index - index % TOGETHER
            chosen = range(first, min(first + TOGETHER, self.name.size))
            self._written.update(zip(chosen, self._write(chosen, length), strict=True))
        return self._written[index]

    def _write(self, chosen: range, length: int) -> Any:
        import torch

        device = next(self.model.parameters()).device
        start = [self.original(i, length)[0] for i in chosen]
        numbers = np.stack([self.bits(i, length) for i in chosen]) / 2.0**64
        ids = torch.tensor(np.array(start)[:, None], device=device)
        past, new = None, ids
        with torch.no_grad():
            for position in range(length):
                found = self.model(input_ids=new, past_key_values=past, use_cache=True)
                past = found.past_key_values
                below = found.logits[:, -1].double().softmax(-1).cumsum(-1)
                drawn = torch.tensor(numbers[:, position, None], device=device) * below[:, -1:]
                new = torch.searchsorted(below, drawn, right=True).clamp_max(below.shape[1] - 1)
                ids = torch.cat([ids, new], 1)
        return ids.cpu().numpy()


_KINDS: dict[str, Callable[..., Any]] = {
    "beyond": _Beyond,
    "shuffled": _Shuffled,
    "bigram": _Bigram,
    "generated": _Generated,
}
