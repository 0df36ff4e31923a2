"""Which figures there are, the tables each one needs, and how to draw them all."""

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from theory import results
from theory.published import FOLDER, FRONTIER_FIGURES, load
from theory.settings import WrongUse

MEASURED = FOLDER.parent / "results" / "theory"


@dataclass(frozen=True)
class Picture:
    """A figure: where its drawing function is, and the tables that function takes."""

    function: str
    """`module:function` within `figures`; imported when drawn, so that listing needs no matplotlib."""
    tables: tuple[str, ...] = ()
    """Names of tables in the folder of studies."""
    published: tuple[int, ...] = ()
    """Numbers of published figures; their tables come first."""
    measured: Mapping[str, str] = field(default_factory=dict)
    """Tables in `paper/results/theory`, which take longer to make: file name -> study. They come last."""


PICTURES: dict[str, Picture] = {
    "overlay": Picture("lambda_curves:overlay", ("overlay",), (3,)),
    "trajectories": Picture("trajectories:trajectories", ("trajectories",)),
    "alpha_curves": Picture("lambda_curves:alpha_curves", ("alpha_curves",)),
    "phase_alpha": Picture("phases:phase_alpha", ("phase_alpha",)),
    "phase_beta": Picture("phases:phase_beta", ("phase_beta",)),
    "frontiers": Picture("frontiers:linear_frontiers", ("frontiers",)),
    "compute_matched": Picture("lambda_curves:compute_matched", ("compute_matched",)),
    "window": Picture("phases:window", ("window",)),
    "latent": Picture("comparisons:latent", ("latent",)),
    "optimum_time": Picture("comparisons:optimum_time", ("optimum_time",)),
    "optimum_map": Picture("comparisons:optimum_map", ("optimum_map",)),
    "counterexamples": Picture("counterexamples:counterexamples", ("counterexamples",)),
    "fits": Picture("fits:fits", published=(3,), measured={"fits": "fit"}),
    "fit_residuals": Picture("fits:residuals", published=(3,), measured={"fits": "fit"}),
    "published_figure03": Picture("lambda_curves:published", (), (3,)),
    **{f"published_figure{number:02d}": Picture("frontiers:published", (), (number,)) for number in FRONTIER_FIGURES},
}
THEORY = tuple(name for name, picture in PICTURES.items() if picture.tables)
"""The figures that show the theory; the others redraw the paper."""


def draw(name: str, tables: Path, out: Path, formats: tuple[str, ...] = ("pdf", "png")) -> list[Path]:
    """Draw one figure and write its files. Raises `WrongUse` where a table is missing."""
    from figures import style

    picture = PICTURES[name]
    read = [load(number) for number in picture.published]
    read += [_table(name, tables / f"{name}.parquet", f"python -m theory study {name}") for name in picture.tables]
    for stored, study in picture.measured.items():
        path = MEASURED / f"{stored}.parquet"
        read.append(_table(study, path, f"python -m theory {study} --out {MEASURED}"))
    style.apply()
    module, function = picture.function.split(":")
    drawing: Callable[..., Any] = getattr(import_module(f"figures.{module}"), function)
    return style.save(drawing(*read), out, name, formats)


def _table(study: str, path: Path, command: str) -> Any:
    if not path.exists():
        raise WrongUse(f"The table {path} is missing. Make it with `{command}`.")
    table = results.read(path)
    if set(table["study"].unique().to_pylist()) != {study}:
        raise WrongUse(f"{path} is not the table {study}. Make it with `{command}`.")
    return table


def draw_all(
    names: list[str],
    tables: Path,
    out: Path,
    formats: tuple[str, ...],
    workers: int,
    done: Callable[[str, list[Path]], None],
) -> None:
    """Draw several figures, in `workers` processes; `done` hears of each as it is written."""
    if workers == 1 or len(names) == 1:
        for name in names:
            done(name, draw(name, tables, out, formats))
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        pending = {name: pool.submit(draw, name, tables, out, formats) for name in names}
        for name, future in pending.items():
            done(name, future.result())
