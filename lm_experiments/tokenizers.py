"""Tokenizers: a byte-level BPE trained on chosen corpora, or any fast Hugging Face tokenizer.

A tokenizer is a folder that `transformers.AutoTokenizer` opens. Its fingerprint comes from its content. Text never turns into
a special token: where a document spells one out, its letters are encoded.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

from common.files import reason
from common.settings import WrongUse, config_hash
from lm_experiments import paths
from lm_experiments.corpora import Report, corpus, documents, hub

NANO_CORPORA = ("general", "music", "chemistry", "instruction")
"""What the tokenizer of the nano studies is trained on."""
NANO_VOCABULARY = 1024
END_OF_TEXT = "<|endoftext|>"
SAMPLE_BYTES = 2_000_000
"""Text a corpus gives to the training of a BPE, the same from each, so that the largest does not take all the merges."""
SMALLEST = 320
"""The 256 bytes, the end of text, and enough merges for the name of a subword tokenizer."""

_SPECIAL = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "unk_token": END_OF_TEXT}
_CLASS = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
_SETTINGS = {"tokenizer_config.json": {**_CLASS, **_SPECIAL}, "special_tokens_map.json": _SPECIAL}
"""The files beside tokenizer.json that say how it is used, the same for every tokenizer that is trained here."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokenizer:
    """An opened tokenizer."""

    folder: Path
    fingerprint: str
    """Sixteen hex digits: equal fingerprints give equal tokens."""
    vocabulary: int
    """One more than the largest id."""
    end_of_text: int
    """The id that stands after every document."""
    text: str = field(repr=False)
    """Its tokenizer.json as it was when it was opened."""

    @cached_property
    def backend(self) -> Any:
        """The tokenizer of the `tokenizers` library: nothing truncated or padded, special tokens never read out of text."""
        return backend(self.text)

    @cached_property
    def sha256(self) -> str:
        """Of its tokenizer.json, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, without an end-of-text token."""
        return [found.ids for found in self.backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens spelled out."""
        return str(self.backend.decode([int(index) for index in ids], skip_special_tokens=False))


def backend(text: str) -> Any:
    """The tokenizer of the `tokenizers` library that a tokenizer.json describes, made to encode plain text and all of it."""
    from tokenizers import Tokenizer as Backend

    made = Backend.from_str(text)
    made.no_truncation()
    made.no_padding()
    made.encode_special_tokens = True
    return made


def load(name: str) -> Tokenizer:
    """A Hugging Face tokenizer: a folder, its tokenizer.json, or a name on the hub with its revision, `ORGANISATION/NAME@REVISION`.

    Raises:
        WrongUse: there is none, it is not a fast one, or it has no end-of-text token.
        ConnectionError: it must come from the hub, which cannot be reached.
    """
    folder = Path(name).expanduser()
    if folder.name == "tokenizer.json":
        folder = folder.parent
    if not folder.is_dir():
        if name.startswith((".", "/", "~")) or name.count("/") > 1:
            raise WrongUse(
                f"There is no tokenizer folder {name}. Give a folder with a tokenizer.json, or a name on the hub."
            )
        folder = _from_hub(name)
    if not (folder / "tokenizer.json").is_file():
        raise WrongUse(
            f"{folder} has no tokenizer.json, so it is no fast tokenizer. Convert it with "
            "`AutoTokenizer.from_pretrained(folder).save_pretrained(other)`."
        )
    try:
        text = (folder / "tokenizer.json").read_text()
        made = backend(text)
    except Exception as error:  # the library raises plain Exception for a file it cannot read
        raise WrongUse(
            f"{folder / 'tokenizer.json'} cannot be read as a tokenizer ({error}). Fetch or save it again."
        ) from error
    ending = _end_of_text(folder)
    index = made.token_to_id(ending) if ending else None
    if index is None:
        raise WrongUse(
            f"The tokenizer {folder} names no end-of-text token that it knows (eos_token in tokenizer_config.json or "
            "special_tokens_map.json). Set one of its tokens there."
        )
    ids = made.get_vocab(with_added_tokens=True).values()
    content = {key: value for key, value in json.loads(text).items() if key not in ("truncation", "padding", "version")}
    return Tokenizer(
        folder=folder.absolute(),
        fingerprint=config_hash(hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(), index),
        vocabulary=max(ids) + 1,
        end_of_text=index,
        text=text,
    )


def _end_of_text(folder: Path) -> str | None:
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / file).is_file():
            try:
                entry: Any = json.loads((folder / file).read_text()).get("eos_token")
                if entry:
                    return str(entry["content"] if isinstance(entry, dict) else entry)
            except (OSError, ValueError, KeyError, AttributeError, RecursionError) as error:
                raise WrongUse(
                    f"{folder / file} cannot be read ({type(error).__name__}: {reason(error)}). Fetch or save the tokenizer again."
                ) from error
    return None


def _from_hub(name: str) -> Path:
    repository, _, revision = name.partition("@")
    if not re.fullmatch("[0-9a-f]{40}", revision):
        raise WrongUse(
            f"The tokenizer {name} needs its revision, the 40 hex digits of a commit: write {repository}@REVISION. It is shown at "
            f"https://huggingface.co/{repository}/commits/main. For a local copy give its folder, as ./FOLDER."
        )
    kept = paths.cache() / "tokenizers" / f"hub-{config_hash(repository, revision)}"
    if not kept.exists():
        hub.reach(repository, revision, model=True)
        from transformers import AutoTokenizer

        with paths.exclusive(kept):
            if not kept.exists():  # another process may have fetched it meanwhile, and be at work with it
                with paths.publishing(kept) as temporary:
                    AutoTokenizer.from_pretrained(repository, revision=revision).save_pretrained(temporary)
    return kept


def trained(
    corpora: Sequence[str] = NANO_CORPORA, vocabulary: int = NANO_VOCABULARY, *, progress: Report | None = None
) -> Tokenizer:
    """A byte-level BPE trained on the train splits of these corpora, from the cache or made now. The same everywhere.

    Args:
        corpora: names; each gives its first `SAMPLE_BYTES`.
        vocabulary: number of ids, the end of text included.
        progress: called with what is being done.

    Raises:
        WrongUse: no corpus, a vocabulary that is too small, or one that the text cannot fill.
        Damaged: the tokenizer in the cache was altered, or another one lies where this one belongs.
    """
    if not corpora:
        raise WrongUse("No corpus was named to train a tokenizer on. Name at least one.")
    if not SMALLEST <= vocabulary <= 1_000_000:
        raise WrongUse(
            f"A vocabulary of {vocabulary} is out of range: it must hold the 256 bytes, the end of text and some merges. "
            f"Choose from {SMALLEST} to 1000000."
        )
    key = config_hash("bpe", 1, [corpus(name).identity() for name in corpora], vocabulary, SAMPLE_BYTES)
    folder = paths.cache() / "tokenizers" / key
    if not folder.exists():
        with paths.exclusive(folder):
            if not folder.exists():
                if progress:
                    progress(f"train a tokenizer of {vocabulary} on {', '.join(corpora)}", None)
                _train(corpora, vocabulary, folder)
    try:
        recorded = json.loads((folder / "training.json").read_text())
        asked = _training(corpora, vocabulary, folder)
        for name, value in asked.items():
            if (found := recorded.get(name, value if name == "key" else None)) != value:  # older folders have no key
                raise ValueError(f"it was made for another request: its {name} is {found!r}, not {value!r}")
        for name, content in _SETTINGS.items():
            if (folder / name).read_text() != _as_text(content):
                raise ValueError(f"{name} is not as it was written")
        opened = load(str(folder))
        if opened.sha256 != recorded["sha256"]:  # of what was opened: the file may be another one by now
            raise ValueError("its checksum does not match")
        if opened.decode([opened.end_of_text]) != END_OF_TEXT:
            raise ValueError("it ends documents otherwise than it was made to")
    except (OSError, ValueError, KeyError, AttributeError, WrongUse) as error:
        raise paths.Damaged(
            f"The tokenizer {folder} was altered ({error}). Remove that folder and run the same command again"
        ) from error
    return opened


def _training(corpora: Sequence[str], vocabulary: int, folder: Path) -> dict[str, Any]:
    """What training.json says of a tokenizer's origin; `key` is the name of its folder, the hash of all that decides it."""
    return {
        "corpora": [corpus(name).key for name in corpora],
        "vocabulary": vocabulary,
        "sample_bytes": SAMPLE_BYTES,
        "key": folder.name,
    }


def _as_text(content: Any) -> str:
    return json.dumps(content, indent=1) + "\n"


def _train(corpora: Sequence[str], vocabulary: int, folder: Path) -> None:
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers, trainers

    made = Backend(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator((text for name in corpora for text in _sample(name)), trainer)
    if made.get_vocab_size() < vocabulary:
        raise WrongUse(
            f"{', '.join(corpora)} hold too little text for a vocabulary of {vocabulary}: {made.get_vocab_size()} entries could be "
            "learned. Choose a smaller vocabulary or give more text."
        )
    with paths.publishing(folder) as temporary:
        made.save(str(temporary / "tokenizer.json"))
        training = _training(corpora, vocabulary, folder)
        training["sha256"] = paths.sha256(temporary / "tokenizer.json")
        for name, content in {**_SETTINGS, "training.json": training}.items():
            (temporary / name).write_text(_as_text(content))


def _sample(name: str) -> list[str]:
    taken = 0

    def room(text: str) -> bool:
        nonlocal taken
        taken += len(text)
        return taken <= SAMPLE_BYTES

    texts = list(takewhile(room, (text for split, text in documents(name) if split == "train")))
    if not texts:
        raise WrongUse(f"{name} has no document in its train split to train a tokenizer on. Give more documents.")
    return texts
