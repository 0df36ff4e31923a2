"""What a corpus is: a name, where it comes from and under which licence, what identifies its content, and its documents."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

Report = Callable[[str, float | None], None]
"""Called while something is made: what is being done, and which fraction of it is done (None where that is unknown)."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A corpus that can be read. Making one reads nothing."""

    name: str
    """The name by which it was asked for."""
    key: str
    """By what stores, plans and orders of data call it: the same for the same content, wherever that lies."""
    label: str
    """What tables call it."""
    about: str
    licence: str
    source: str
    warning: str = ""
    identity: Callable[[], str]
    """What identifies the content: equal identities mean equal documents in equal order."""
    read: Callable[[], Iterator[str]]
    """The documents, as they come; may repeat themselves."""
    answers: tuple[str, ...] = ()
    """Words that are answers: what a model has to know in order to predict them; empty where the corpus marks none."""
    size: Callable[[], int | None] = lambda: None
    """About how many bytes of text there are; None where that is unknown. Only for showing progress."""
