"""Your own text as a corpus: `file:PATH`, a file, a folder or a glob of .txt, .jsonl and .parquet files.

    file:notes/*.txt            a document a file; lines that say <|endoftext|> part the documents of one file
    file:tunes.jsonl            the field `text` of every line
    file:data#abc               the field or column `abc`; a folder stands for all such files below it

Documents come in the order of the file names, then of the lines. A corpus is taken to be unchanged as long as its files
have the same names, sizes and times of change.
"""

import glob
import json
from collections.abc import Iterator
from pathlib import Path

from common.settings import WrongUse, config_hash
from lm_experiments.corpora.corpus import Corpus

KINDS = (".txt", ".jsonl", ".parquet")
SEPARATOR = "<|endoftext|>"


def corpus(name: str) -> Corpus:
    """The corpus `file:PATH` or `file:PATH#FIELD`. Raises `WrongUse` where there is no such file."""
    place, _, chosen = name.removeprefix("file:").partition("#")
    found = _files(place)
    return Corpus(
        name=name,
        about=f"{len(found)} {'file' if len(found) == 1 else 'files'} of your own",
        licence="yours to know",
        source=place,
        identity=lambda: config_hash(
            chosen, [(str(path.absolute()), path.stat().st_size, path.stat().st_mtime_ns) for path in found]
        ),
        read=lambda: _documents(found, chosen or "text"),
        size=lambda: sum(path.stat().st_size for path in found),
    )


def _files(place: str) -> list[Path]:
    if not place:
        raise WrongUse("file: names no file. Give a file, a folder or a glob, e.g. file:notes/*.txt.")
    path = Path(place).expanduser()
    if path.is_dir():
        found = [file for file in path.rglob("*") if file.suffix in KINDS and file.is_file()]
    else:
        found = [path] if path.exists() else [Path(match) for match in glob.glob(str(path), recursive=True)]  # noqa: PTH207
        found = [file for file in found if file.is_file()]
    if not found:
        raise WrongUse(f"file:{place} is nothing to read: no {', '.join(KINDS)} file is there. Check the path.")
    if wrong := [file for file in found if file.suffix not in KINDS]:
        raise WrongUse(f"{wrong[0]} is of no kind that can be read. Use {', '.join(KINDS)} files.")
    return sorted(found)


def _documents(found: list[Path], chosen: str) -> Iterator[str]:
    any_text = False
    for path in found:
        read = {".txt": _text, ".jsonl": _lines, ".parquet": _table}[path.suffix]
        try:
            for document in read(path, chosen):
                any_text = any_text or bool(document.strip())
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


def _text(path: Path, _: str) -> Iterator[str]:
    yield from path.read_bytes().decode("utf-8-sig").split(SEPARATOR)


def _lines(path: Path, chosen: str) -> Iterator[str]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            text = line.decode("utf-8-sig").strip()
            if text:
                try:
                    record = json.loads(text)
                except ValueError as error:
                    raise WrongUse(
                        f"{path}, line {number}, is not JSON ({error}). Put one JSON object on every line."
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
