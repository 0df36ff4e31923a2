"""A lambda study from a results table, a CSV of one's own or a data frame, as curves along lambda with seeds."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from common import results
from common.arrays import Float
from common.files import ordinary, reason
from common.settings import WrongUse, meant

NEEDED = ("exposure", "loss_im", "loss_ret")
NUMBERS = (*NEEDED, "tokens_post", "loss_ft", "loss_pre", "seed", "lr_ft", "replay", "loss_post_after_pre")
WORDS = ("split", "method", "scale", "pipeline")
SPLITS = ("independent", "compute-matched")
PUBLISHED = "published"
"""Names the published Figure 3 where a table is asked for."""
MOST = 8.0
"""The largest exposure that is believed: the most repeated one that any study has (`lm_experiments run repeat`)."""
MEASURED = "lm.loss_post_after_pre"
"""The loss on D_post after stage 1 in tables of language models: L(x) of the laws, measured."""
LIKE = ("scale", "pipeline", "method", "split", "tokens_post", "lr_ft", "replay", "dropout", "rank", "placement", "mixing", "l2_to_start",
        "lm.variant")  # fmt: skip
"""Runs that differ in one of these are on different curves."""


@dataclass(frozen=True)
class Curve:
    """Losses along lambda, one row per seed."""

    name: str
    split: str
    tokens: float
    """Size of D_post, tokens; nan where it is not stated."""
    lr_ft: float
    exposure: Float[np.ndarray, "points"]
    im: Float[np.ndarray, "seeds points"]
    ret: Float[np.ndarray, "seeds points"]
    start: Float[np.ndarray, "seeds points"] | None
    """Loss on D_post after stage 1, where it was measured."""
    seeded: bool
    """Whether rows are seeds, rather than one run of unknown randomness."""
    pre: Float[np.ndarray, "points"] | None = None
    """Mean loss on D_pre at the end, where it was measured."""
    testbed: str = ""
    """Scale and pipeline, whose gates hold for it; empty where they are not stated."""


@dataclass(frozen=True)
class Study:
    """A study to be checked."""

    source: str
    curves: tuple[Curve, ...]
    table: Any
    """The results table behind it, for gates; None for a CSV or a data frame."""
    missing: tuple[str, ...]
    """What it lacks, and what could be said with it."""


def read_study(
    path: Path | None = None, data: Any = None, *, tokens_post: float | None = None, split: str | None = None
) -> Study:
    """The curves of a study.

    Args:
        path: parquet or CSV, with at least exposure, loss_im and loss_ret.
        data: a data frame or results table in its place.
        tokens_post: size of D_post in tokens, where the table does not say.
        split: independent or compute-matched, where the table does not say.

    Raises:
        WrongUse: naming the column and the row that is wrong, or the column that is missing.
    """
    source = "the data frame" if path is None else str(path)
    table = None
    if data is not None and hasattr(data, "to_dict") and not hasattr(data, "schema"):
        columns = _checked(source, {str(name): list(data[name]) for name in data.columns})
    elif data is not None or str(path).endswith(".parquet"):
        table = results.read(Path(str(path))) if data is None else data
        columns = {name: results.column(table, name) for name in table.column_names}
        keep = np.isfinite(columns["exposure"]) & np.isfinite(columns["loss_im"]) & np.isfinite(columns["loss_ret"])
        if not keep.any():
            raise WrongUse(
                f"{source} has no row with exposure, loss_im and loss_ret. Give the table of a study along lambda."
            )
        columns = {name: values[keep] for name, values in columns.items()}
    else:
        columns = _checked(source, _read_csv(source))
    _check_exposure(source, columns["exposure"])
    count = len(columns["exposure"])
    if "split" not in columns or all(one is None for one in columns["split"]):
        columns["split"] = np.array([split or SPLITS[0]] * count, dtype=object)
    if tokens_post is not None and ("tokens_post" not in columns or np.isnan(columns["tokens_post"]).all()):
        columns["tokens_post"] = np.full(count, float(tokens_post))
    if "loss_post_after_pre" in columns:
        columns[MEASURED] = columns["loss_post_after_pre"]
    return Study(source, tuple(_curves(source, columns)), table, _missing(columns, split))


def read_studies(names: Sequence[str], *, tokens_post: float | None = None, split: str | None = None) -> Study:
    """The study in one or more tables, or the published Figure 3 for the word published.

    Raises:
        WrongUse: as `read_study`; published beside a table, or a CSV beside others.
    """
    if PUBLISHED in names:
        if len(names) > 1:
            raise WrongUse("published stands for a study of its own. Give the others separately.")
        from common.published import load

        return replace(read_study(data=load(3)), source="the published Figure 3 (arXiv 2605.12705v1)")
    parts = [read_study(Path(name), tokens_post=tokens_post, split=split) for name in names]
    if len(parts) == 1:
        return parts[0]
    for part, name in zip(parts, names, strict=True):
        if part.table is None:
            raise WrongUse(
                f"{name} is a CSV. Put several tables of one's own into one CSV, with a column split or method."
            )
    import pyarrow as pa

    whole = pa.concat_tables([part.table for part in parts], promote_options="default").unify_dictionaries()
    return replace(read_study(data=whole), source=" + ".join(names))


OTHERS = {";": "semicolons", "\t": "tabs"}
"""Separators that spreadsheets write in the place of commas, where the decimals have those."""


def _read_csv(source: str) -> dict[str, list[str]]:
    try:
        ordinary(source)
        with Path(source).open(newline="") as file:
            text = file.read().removeprefix("\ufeff")  # what spreadsheets put before the first name
        first = text.partition("\n")[0]
        separator = next((one for one in OTHERS if one in first and "," not in first), None)
        if separator is not None:
            raise WrongUse(
                f"{source}, line 1: columns are separated by {OTHERS[separator]}. Save it with commas between the columns and points in "
                "the numbers (0.25, not 0,25)."
            )
        lines = list(csv.reader(io.StringIO(text, newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise WrongUse(
            f"{source} cannot be read as CSV ({reason(error)}). Give a text file whose first line names the columns exposure, "
            "loss_im, loss_ret."
        ) from error
    head = [name.strip() for name in lines[0]] if lines else []
    numbered = [(at, line) for at, line in enumerate(lines[1:], start=2) if any(entry.strip() for entry in line)]
    if not numbered:
        raise WrongUse(f"{source} has no line of numbers. Give a first line of column names, and a line for every run.")
    if twice := [name for name in dict.fromkeys(head) if head.count(name) > 1]:
        raise WrongUse(
            f"{source}, line 1: the column {twice[0] or 'without a name'} is there {head.count(twice[0])} times. Keep one of them."
        )
    for number, line in numbered:
        if len(line) != len(head):
            decimals = " Decimal commas split a number in two: write 0.25, not 0,25." if len(line) > len(head) else ""
            raise WrongUse(
                f"{source}, line {number}: {len(line)} entries under {len(head)} columns. Give one entry for each column.{decimals}"
            )
    rows = [line for _, line in numbered]
    return {name: [line[i].strip() for line in rows] for i, name in enumerate(head)}


def _checked(source: str, raw: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Columns of one's own as numbers and words. Raises `WrongUse`, naming the column and the row."""
    for name in NEEDED:
        if name not in raw:
            raise WrongUse(
                f"{source} lacks the column {name}: it has {', '.join(raw)}. Needed are {', '.join(NEEDED)}; {meant(name, raw)}"
            )
    columns: dict[str, Any] = {}
    for name, values in raw.items():
        key = "loss_post_after_pre" if name == MEASURED else name
        if key in WORDS:
            columns[key] = np.array(
                [None if one is None or one != one or one == "" else str(one) for one in values], dtype=object
            )
            continue
        if key not in NUMBERS:
            continue
        found = np.full(len(values), np.nan)
        for i, value in enumerate(values):
            if value is None or value == "":
                continue
            try:
                found[i] = float(value)
            except (TypeError, ValueError) as error:
                decimal = " (decimals have a point)" if "," in str(value) else ""
                raise WrongUse(
                    f"{source}: {name} = {str(value)[:30]!r} in row {i + 1} is not a number. Correct it{decimal}."
                ) from error
        if key in NEEDED and not np.isfinite(found).all():
            row = int(np.flatnonzero(~np.isfinite(found))[0])
            raise WrongUse(
                f"{source}: {name} in row {row + 1} is empty or not finite. Every row needs {', '.join(NEEDED)}."
            )
        columns[key] = found
    for one in columns.get("split", ()):
        if one is not None and one not in SPLITS:
            raise WrongUse(f"{source}: split = {one!r} is not known. Choose from {', '.join(SPLITS)}.")
    return columns


def _check_exposure(source: str, exposure: Float[np.ndarray, "rows"]) -> None:
    """Raise `WrongUse` where an exposure can be no share of D_post, such as one in per cent."""
    for row, value in enumerate(exposure, start=1):
        if not 0 <= value <= MOST:
            wrong = "negative" if value < 0 else f"above {MOST:g}"
            raise WrongUse(
                f"{source}: exposure = {value:g} in row {row} is {wrong}. It is lambda, the share of one pass over D_post that stage 1 "
                "sees: from 0 to 1, or a few where D_post is repeated. Give it as a share, not in per cent or tokens."
            )


def _curves(source: str, columns: Mapping[str, Any]) -> list[Curve]:
    count = len(columns["exposure"])
    keys = [name for name in LIKE if name in columns]
    labels = [
        tuple(str(columns[name][i]).replace("unmixed", "mixed") for name in keys) for i in range(count)
    ]  # a method at lambda = 0
    several = [name for j, name in enumerate(keys) if len({label[j] for label in labels}) > 1]
    seeds = columns.get("seed", np.full(count, np.nan))
    made = []
    for label in sorted(set(labels), key=labels.index):
        here = np.array([one == label for one in labels])
        first = int(np.flatnonzero(here)[0])
        points, across = np.unique(columns["exposure"][here], return_inverse=True)
        seed = np.where(np.isnan(seeds[here]), -1, seeds[here])
        names, down = np.unique(seed, return_inverse=True)
        counts = np.zeros((len(names), len(points)))
        np.add.at(counts, (down, across), 1)
        if (counts > 1).any():
            at = points[np.argwhere(counts > 1)[0][1]]
            raise WrongUse(
                f"{source}: several rows have exposure = {at:g} and the same seed. "
                "Tell them apart by a column seed, tokens_post, lr_ft or method."
            )
        if len(points) < 2 or not (whole := counts.all(1)).any():
            continue

        def grid(
            values: Any, shape: Any = counts.shape, down: Any = down, across: Any = across, whole: Any = whole
        ) -> Any:
            found = np.full(shape, np.nan)
            found[down, across] = values
            return found[whole]

        pre = columns["loss_pre"][here] if "loss_pre" in columns else np.full(int(here.sum()), np.nan)
        start = columns[MEASURED][here] if MEASURED in columns else np.full(int(here.sum()), np.nan)
        parts = [_said(name, columns[name][first]) for name in several if name in ("split", "tokens_post", "lr_ft")]
        parts += [
            word
            for name, word in zip(keys, label, strict=True)
            if name in several and name not in ("split", "tokens_post", "lr_ft")
        ]
        made.append(
            Curve(
                name=" ".join(parts) or str(columns["split"][first]),
                split=str(columns["split"][first]),
                tokens=float(columns["tokens_post"][first]) if "tokens_post" in columns else math.nan,
                lr_ft=float(columns["lr_ft"][first]) if "lr_ft" in columns else math.nan,
                exposure=points,
                im=grid(columns["loss_im"][here]),
                ret=grid(columns["loss_ret"][here]),
                start=grid(start) if np.isfinite(start).all() else None,
                seeded=bool((seed >= 0).all()),
                pre=grid(pre).mean(0) if np.isfinite(pre).all() else None,
                testbed=named(*(columns[name][first] for name in ("scale", "pipeline") if name in columns)),
            )
        )
    if not made:
        raise WrongUse(
            f"{source} has no curve along lambda: no setting has two values of exposure. Give at least exposure 0 and another."
        )
    return made


def named(*parts: str | None) -> str:
    """How a testbed is called."""
    return " ".join(part for part in parts if part)


def _said(name: str, value: Any) -> str:
    if name == "tokens_post":
        return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:.3g}k"
    return f"{name} {value:g}" if isinstance(value, float) else str(value)


def _missing(columns: Mapping[str, Any], split: str | None) -> tuple[str, ...]:
    def lacks(name: str) -> bool:
        values = columns.get(name)
        return values is None or all(one is None or one != one for one in values)

    said = []
    if lacks("tokens_post"):
        said.append("tokens_post (or --tokens-post): laws predict the curves, from the published fits too")
    if lacks("seed"):
        said.append("seed, at least 5: intervals, verdicts, and which models are excluded")
    if lacks(MEASURED):
        said.append("loss_post_after_pre: S with its learning curve measured instead of fitted")
    if lacks("loss_ft"):
        said.append("loss_ft: frontiers, C3 and P15")
    if lacks("lr_ft") and split is None:
        said.append("lr_ft: whether the best exposure moves with fine-tuning (P4)")
    return tuple(said)
