"""The paper's corpora on the Hugging Face hub, read through `datasets`: streamed at a pinned revision, or from a local copy.

    c4@REVISION       the commit of the dataset's repository, 40 hex digits
    c4@FOLDER         a local copy: what `hf download --repo-type dataset` or `save_to_disk` left there (a path with a slash)

The paper names neither repositories nor revisions; the repositories are inferred from its text. Only C4's revision is
pinned here, the one that public training configurations commonly name; it could not be checked against the hub. For the
others it must be given: a corpus that can change under its name makes no reproducible result.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.settings import WrongUse, config_hash
from lm_experiments.corpora import files
from lm_experiments.corpora.corpus import Corpus

C4_REVISION = "1588ec454efa1a09f29cd18ddd04fe05fc8653a2"
PATIENCE = 5.0
"""Seconds to wait for the hub to answer at all."""


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A dataset repository and how a row becomes a document."""

    repository: str
    configurations: tuple[str | None, ...] = (None,)
    """Read one after the other."""
    about: str
    licence: str
    text: Callable[[Mapping[str, Any]], str]
    fields: tuple[str, ...]
    revision: str | None = None


HUB: dict[str, Hub] = {
    "c4": Hub(
        repository="allenai/c4",
        configurations=("en",),
        about="cleaned English web pages; the paper's D_pre",
        licence="ODC-BY and the terms of Common Crawl (its card)",
        text=lambda row: str(row["text"]),
        fields=("text",),
        revision=C4_REVISION,
    ),
    "musicpile": Hub(
        repository="m-a-p/MusicPile",
        about="music knowledge, scores in ABC notation, dialogues; a D_post of the paper",
        licence="see its card: mixed sources",
        text=lambda row: str(row["text"]),
        fields=("text",),
    ),
    "chempile": Hub(
        repository="jablonkagroup/chempile-education",
        configurations=(
            "LibreText_Chemistry",
            "mit-ocw-lecture-transcripts",
            "us-olympiad-problems",
            "youtube-transcripts-as-lectures",
        ),
        about="chemistry teaching material; a D_ft of the paper",
        licence="see its card: differs between its parts",
        text=lambda row: str(row["text"]),
        fields=("text",),
    ),
    "flan": Hub(
        repository="Open-Orca/FLAN",
        about="instructions with answers; D_post or D_ft of the paper, which does not say which FLAN",
        licence="see its card: differs between its parts",
        text=lambda row: f"{row['inputs']}\n{row['targets']}",
        fields=("inputs", "targets"),
    ),
}


def corpus(name: str) -> Corpus:
    """The hub corpus `NAME`, `NAME@REVISION` or `NAME@FOLDER`. Raises `WrongUse` without a usable revision."""
    key, _, chosen = name.partition("@")
    entry = HUB[key]
    copy = Path(chosen).expanduser() if "/" in chosen else None
    revision = "" if copy else (chosen or entry.revision or "")
    if copy and not copy.is_dir():
        raise WrongUse(f"{name}: there is no folder {copy}. Give the folder of the local copy, or a revision.")
    if not copy and not re.fullmatch("[0-9a-f]{40}", revision):
        raise WrongUse(
            f"{name} needs its revision, the 40 hex digits of a commit of {entry.repository}: write {key}@REVISION. It is shown at "
            f"https://huggingface.co/datasets/{entry.repository}/commits/main, and printed by `git ls-remote "
            f"https://huggingface.co/datasets/{entry.repository} HEAD`. For a local copy write {key}@FOLDER."
        )
    content = files.identity(_copied(copy), entry.repository) if copy else ""
    return Corpus(
        name=name,
        key=f"{key}-{content}" if copy else f"{key}@{revision}",
        label=f"{key}~{content[:4]}" if copy else f"{key}@{revision[:7]}",
        about=entry.about,
        licence=entry.licence,
        source=str(copy) if copy else f"huggingface.co/datasets/{entry.repository} at {revision}",
        identity=lambda: config_hash(entry.repository, entry.configurations, content or revision),
        read=lambda: _rows(entry, _local(copy) if copy else _streams(entry, revision), name),
    )


def _copied(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts)


def _rows(entry: Hub, parts: Iterator[Any], name: str) -> Iterator[str]:
    for part in parts:
        for row in part:
            if missing := [field for field in entry.fields if not isinstance(row.get(field), str)]:
                raise WrongUse(
                    f"{name}: a row has no text in {missing[0]!r}, but the fields {', '.join(row)}. This is another dataset than "
                    f"{entry.repository}; read your own with file:PATH#FIELD."
                )
            yield entry.text(row)


def _local(folder: Path) -> Iterator[Any]:
    import datasets

    try:
        if (folder / "dataset_dict.json").exists() or (folder / "state.json").exists():
            loaded = datasets.load_from_disk(str(folder))
            yield loaded["train"] if isinstance(loaded, datasets.DatasetDict) else loaded
        else:
            yield datasets.load_dataset(str(folder), split="train", streaming=True)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: it has a script of its own, which is never run
        raise WrongUse(
            f"{folder} is no local copy of a dataset ({error}). Give the folder that holds its files."
        ) from error


def _streams(entry: Hub, revision: str) -> Iterator[Any]:
    reach(entry.repository, revision)
    import datasets

    for configuration in entry.configurations:
        yield datasets.load_dataset(entry.repository, configuration, revision=revision, split="train", streaming=True)


def local(name: str, what: str) -> Path | None:
    """The folder of that name; None for a name on the hub. Raises `WrongUse` for a path where nothing is."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.startswith((".", "/", "~")) or name.partition("@")[0].count("/") != 1:
        raise WrongUse(
            f"There is no {what} folder {name}. Give a folder, or a name on the hub, ORGANISATION/NAME@REVISION."
        )
    return None


def pinned(name: str, what: str) -> tuple[str, str]:
    """Repository and revision of a name on the hub. Raises `WrongUse` without a revision: what can change makes no reproducible result."""
    repository, _, revision = name.partition("@")
    if not re.fullmatch("[0-9a-f]{40}", revision):
        raise WrongUse(
            f"The {what} {name} needs its revision, the 40 hex digits of a commit: write {repository}@REVISION. It is shown at "
            f"https://huggingface.co/{repository}/commits/main. For a local copy give its folder, as ./FOLDER."
        )
    return repository, revision


def reach(repository: str, revision: str | None, *, model: bool = False) -> None:
    """Ask the hub for a revision of a dataset, or of a model, once, before anything retries for minutes.

    Raises:
        WrongUse: the hub knows no such repository or revision, or does not let you read it.
        ConnectionError: it cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        ask = HfApi().model_info if model else HfApi().dataset_info
        ask(repository, revision=revision, timeout=PATIENCE)
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403, 404):
            raise WrongUse(
                f"The hub has no {repository} at {revision or 'all'} that you may read (HTTP {status}). Check both; where there "
                "are terms, accept them there and log in with `hf auth login`."
            ) from error
        raise unreachable(repository, error, model=model) from error
    except Exception as error:  # the transport behind the hub's client has errors of its own, and changes
        raise unreachable(repository, error, model=model) from error


def unreachable(what: str, error: Exception, *, model: bool = False) -> ConnectionError:
    """The error for a hub that does not answer: says so, and what works without one."""
    from lm_experiments.corpora.embedded import EMBEDDED

    copy = f"name a local copy with @FOLDER. Without a hub there are the embedded corpora: {', '.join(EMBEDDED)}"
    return ConnectionError(
        f"The Hugging Face hub cannot be reached for {what} ({type(error).__name__}: {error}). Connect, set HF_ENDPOINT to a mirror, "
        f"or {'give the folder of a local copy' if model else copy}"
    )
