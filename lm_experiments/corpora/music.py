"""Tunes in ABC notation out of the music21 wheel; one tune, one document.

Of a tune's header only what belongs to the music is kept (title, composer, rhythm, metre, unit length, tempo, parts, voices,
key). Book and tune numbers, sources and the transcribers' names and addresses are left out: the same few lines again and
again, which a model would learn instead of music, and which hide that two tunes are the same.
"""

import re
from collections.abc import Iterator
from zipfile import ZipFile

FREE = ("oneills1850", "ryansMammoth", "airdsAirs", "miscFolk")
NON_COMMERCIAL = ("essenFolksong",)
_HEADER = re.compile(r"([A-Za-z]):\s*(.*)")
_KEPT = frozenset("TCRMLQPVKwW")


def documents(archive: ZipFile, collections: tuple[str, ...] = FREE) -> Iterator[str]:
    """The tunes of these collections of the archive."""
    for name in sorted(archive.namelist()):
        collection, _, file = name.removeprefix("music21/corpus/").partition("/")
        if collection in collections and file.endswith(".abc"):
            yield from tunes(archive.read(name).decode("utf-8", "replace"))


def tunes(book: str) -> Iterator[str]:
    """The tunes of one ABC file, cleaned. A tune starts at its X: line; one without a key or without notes is left out."""
    for tune in re.split(r"^X:.*$", re.sub(r"\r\n?", "\n", book), flags=re.MULTILINE)[1:]:
        kept, keyed, notes = [], False, False
        for line in tune.split("\n"):
            line = line.partition("%")[0].rstrip()
            header = _HEADER.fullmatch(line)
            if not header:
                if line and keyed:
                    kept.append(line)
                    notes = True
            elif header[1] in _KEPT and header[2]:
                kept.append(f"{header[1]}:{header[2]}")
                keyed = keyed or header[1] == "K"
        if notes:
            yield "\n".join(kept)
