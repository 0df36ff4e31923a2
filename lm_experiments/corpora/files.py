"""Your own text as a corpus: `file:PATH`, a file, a folder or a glob of .txt, .md, .abc, .jsonl and .parquet files.

    file:book.txt               one .txt or .md file: its paragraphs, parted by blank lines, are the documents
    file:notes                  several: every file is a document
    file:book.txt?split=file    said explicitly: split=blank, split=file, split=heading (.md) or split=marker
    file:tunes.abc              every tune, from its X: line on
    file:tunes.jsonl            the field `text` of every line
    file:data#abc               the field or column `abc`; a folder stands for all such files below it

Lines that say <|endoftext|> part documents wherever a .txt or .md file has them, if nothing else is asked for. Documents come in the order
of the file names, then of the lines. What identifies such a corpus is the content of its files and how they are cut: the same files
elsewhere, or under another name, are the same corpus and train the same model. In tables it goes by the name of its file or folder.
"""

import glob
import json
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from common.files import reason
from common.settings import WrongUse, check_choice, config_hash
from lm_experiments import paths
from lm_experiments.corpora import music
from lm_experiments.corpora.corpus import Corpus

KINDS = (".txt", ".md", ".abc", ".jsonl", ".parquet")
SEPARATOR = "<|endoftext|>"
SPLITS = ("auto", "blank", "file", "heading", "marker")
_PARTS = {"blank": re.compile(r"\n[ \t]*(?:\n[ \t]*)+"), "heading": re.compile(r"^(?=#{1,6} )", re.MULTILINE)}
_SHORT_HASH = 8
_KEPT_DIGEST = 1 << 26
"""Bytes from which on the digest of a file is kept in the cache, by its size and time of change."""


def corpus(name: str) -> Corpus:
    """The corpus `file:PATH?split=HOW#FIELD`. Raises `WrongUse` where there is no such file, or nothing to read in the first one."""
    place, split, chosen = _asked(name)
    found = _files(place)
    if chosen and not any(path.suffix in (".jsonl", ".parquet") for path in found):
        raise WrongUse(
            f"{name} names the field {chosen!r}, and {found[0].suffix} files have no fields. Leave #{chosen} out."
        )
    how = split if split != "auto" or len(found) > 1 else "single"

    def read() -> Iterator[str]:
        return _documents(found, chosen or "text", how)

    _refuse_empty(found, chosen or "text", how)
    files = "file" if len(found) == 1 else "files"
    content = identity(found, config_hash(chosen, how))
    label = Path(place).name if "*" not in place else Path(place).parent.name + "/" + Path(place).name
    return Corpus(
        name=name,
        key=f"file-{content}",
        label=f"{label}{f'#{chosen}' if chosen else ''}~{content[:4]}",
        about=f"{len(found)} {files} of your own",
        licence="yours to know",
        source=place,
        identity=lambda: content,
        read=read,
        size=lambda: sum(path.stat().st_size for path in found),
    )


def _asked(name: str) -> tuple[str, str, str]:
    """Path, how to split, and field of `file:PATH?split=HOW#FIELD`."""
    rest, _, chosen = name.removeprefix("file:").partition("#")
    place, asked, option = rest.partition("?split=")
    if asked:
        check_choice(f"split of {name}", option, SPLITS)
    return place, option or "auto", chosen


def identity(found: list[Path], how: str) -> str:
    """Eight hex digits from the content of files in their order, and from how they are read."""
    return config_hash(how, [_digest(path) for path in found])[:_SHORT_HASH]


def _digest(path: Path) -> str:
    said = path.stat()
    return _digest_at(path.absolute(), said.st_size, said.st_mtime_ns)


@lru_cache(maxsize=100_000)
def _digest_at(path: Path, size: int, changed: int) -> str:
    """SHA-256 of a file; of a large one it is kept, as reading it takes longer than everything else before training."""
    if size < _KEPT_DIGEST:
        return paths.sha256(path)
    kept = paths.cache() / "digests" / config_hash(str(path), size, changed)
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        temporary = kept.with_name(f".{kept.name}.{os.getpid()}.partial")
        temporary.write_text(paths.sha256(path))
        temporary.replace(kept)
    return kept.read_text()


def _files(place: str) -> list[Path]:
    if not place:
        raise WrongUse("file: names no file. Give a file, a folder or a glob, e.g. file:notes/*.txt.")
    path = Path(place).expanduser()
    try:
        if path.is_dir():
            found = [file for file in path.rglob("*") if file.suffix in KINDS and file.is_file()]
        else:
            found = [path] if path.exists() else [Path(match) for match in glob.glob(str(path), recursive=True)]  # noqa: PTH207
            found = [file for file in found if file.is_file()]
    except (OSError, ValueError, RuntimeError) as error:  # a loop of links, a name that no file can have
        raise WrongUse(f"file:{place} cannot be looked up ({error}). Give a file, a folder or a glob.") from error
    if not found:
        raise WrongUse(f"file:{place} is nothing to read: no {', '.join(KINDS)} file is there. Check the path.")
    if wrong := [file for file in found if file.suffix not in KINDS]:
        raise WrongUse(f"{wrong[0]} is of no kind that can be read. Use {', '.join(KINDS)} files.")
    if unreadable := [file for file in found if not os.access(file, os.R_OK)]:
        raise WrongUse(f"{unreadable[0]} may not be read. Change its permissions, or leave it out.")
    return sorted(found)


def _refuse_empty(found: list[Path], chosen: str, how: str) -> None:
    """Read the first document: whatever is wrong with the field, the encoding or the format shows before anything is fetched or trained."""
    next(_documents(found[:1] if found[0].stat().st_size else found, chosen, how))


def _documents(found: list[Path], chosen: str, how: str) -> Iterator[str]:
    any_text = False
    for path in found:
        try:
            for document in _read(path, chosen, how):
                if document.strip():
                    any_text = True
                    yield document
        except UnicodeDecodeError as error:
            raise WrongUse(
                f"{path} is not UTF-8 text: byte {error.start:,} is 0x{error.object[error.start]:02x}. "
                "Convert it, e.g. with iconv -f LATIN1 -t UTF-8."
            ) from error
    if not any_text:
        raise WrongUse(
            f"{found[0].parent if len(found) > 1 else found[0]} holds no text. Give files that are not empty."
        )


def _read(path: Path, chosen: str, how: str) -> Iterator[str]:
    if path.suffix == ".jsonl":
        return _lines(path, chosen)
    if path.suffix == ".parquet":
        return _table(path, chosen)
    text = path.read_bytes().decode("utf-8-sig")
    if path.suffix == ".abc" and how in ("auto", "single"):
        return music.tunes(text)
    return iter(_cut(text.replace("\r\n", "\n"), how))


def _cut(text: str, how: str) -> list[str]:
    """The documents of a text file."""
    if how == "marker" or (how in ("auto", "single") and SEPARATOR in text):
        return text.split(SEPARATOR)
    if how == "single":
        how = "blank"
    return _PARTS[how].split(text) if how in _PARTS else [text]


def _lines(path: Path, chosen: str) -> Iterator[str]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            text = line.decode("utf-8-sig").strip()
            if text:
                try:
                    record = json.loads(text)
                except (ValueError, RecursionError) as error:
                    raise WrongUse(
                        f"{path}, line {number}, is not JSON ({reason(error)}). Put one JSON object on every line."
                    ) from error
                yield _field(record, chosen, f"{path}, line {number},")


def _table(path: Path, chosen: str) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        if chosen not in names:
            raise WrongUse(
                f"{path} has no column {chosen!r}, but {', '.join(names)}. Name one: file:{path}#{names[0]}."
            )
        for batch in file.iter_batches(batch_size=1024, columns=[chosen]):
            for document in batch.column(0).to_pylist():
                yield _field({chosen: document}, chosen, str(path))
    except (OSError, pa.ArrowException) as error:
        raise WrongUse(f"{path} cannot be read as parquet ({error}). Write it again.") from error


def _field(record: object, chosen: str, where: str) -> str:
    if not isinstance(record, dict) or chosen not in record:
        names = ", ".join(record) if isinstance(record, dict) else f"a {type(record).__name__}"
        raise WrongUse(f"{where} has no field {chosen!r}, but {names or 'no field at all'}. Name the field after a #.")
    if not isinstance(record[chosen], str):
        raise WrongUse(f"{where} has {type(record[chosen]).__name__} in {chosen!r}. The field must hold text.")
    return str(record[chosen])
