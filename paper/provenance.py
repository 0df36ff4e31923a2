"""Where every stored table comes from: the page `results/README.md`, from the tables and the notes beside them."""

import json
from pathlib import Path
from typing import Any

from common.published import RESULTS

PAGE = RESULTS / "README.md"
JUDGED = {
    "sims/verdicts": "python -m sims verdicts --results paper/results/sims --out paper/results/sims",
    "lm/verdicts": "python -m lm_experiments verdicts --out paper/results/lm/verdicts.parquet",
    "theory/verdicts": "python -m theory verdicts --out paper/results/theory/verdicts.parquet",
    "theory/crosscheck_verdicts": "python -m theory crosscheck published --out paper/results/theory",
    "theory/crosscheck": "python -m theory crosscheck published --out paper/results/theory",
}
"""Tables without a note, and the command that makes each."""
SECONDS = ("stage_seconds", "seconds")
"""Where notes keep the time: that of all stages together, or of the whole."""
HEAD = """# Where the stored tables come from

Made by `python -m paper provenance` from the tables and the notes (`NAME.json`) beside them; do not edit. *Configurations* counts the
distinct hashes of settings in a table, *version* is the code that made it (`dirty`: with changes that were not committed). *Seconds* are
those of all runs, added up, as the program took them; no table records the machine. `python -m paper rerun TABLE --row N` does one
cell again and compares; for a table of language models it names the command instead.

| table | rows | configurations | version | seconds | command |
|---|---|---|---|---|---|
"""


def tables() -> list[str]:
    """Every stored table, below the folder of results and without its suffix."""
    return sorted(path.relative_to(RESULTS).with_suffix("").as_posix() for path in RESULTS.rglob("*.parquet"))


def note(name: str) -> dict[str, Any]:
    """What stands beside a table; empty where nothing does."""
    path = RESULTS / f"{name}.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def command(name: str) -> str:
    """What makes a table, from the root of a checkout. Raises `KeyError` for one that no command is known of."""
    said = note(name).get("command")
    if said:
        return f"{said} --out paper/results/{name.rsplit('/', 1)[0]}"
    room, study = name.split("/", 1)
    if name in JUDGED:
        return JUDGED[name]
    if room == "sims":
        return f"python -m sims {study} --out paper/results/sims"
    raise KeyError(name)


def page() -> str:
    """The page, ended by a newline."""
    return HEAD + "".join(_line(name) for name in tables())


def _line(name: str) -> str:
    import pyarrow.parquet as pq

    path: Path = RESULTS / f"{name}.parquet"
    kept = pq.read_schema(path).names
    found = pq.read_table(path, columns=[one for one in ("code_version", "config_hash") if one in kept])
    versions = ", ".join(sorted(str(one) for one in found["code_version"].unique().to_pylist()))
    hashes = str(len(found["config_hash"].unique())) if "config_hash" in kept else "—"
    seconds = next((f"{note(name)[one]:,.0f}" for one in SECONDS if one in note(name)), "—")
    return f"| {name} | {found.num_rows:,} | {hashes} | {versions} | {seconds} | `{command(name)}` |\n"
