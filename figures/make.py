"""Which figures there are, the tables each one needs, and how to draw them all."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from common import results, verdict_table
from common.published import FOLDER, FRONTIER_FIGURES, load
from common.settings import WrongUse

RESULTS = FOLDER.parent / "results"


@dataclass(frozen=True)
class Measured:
    """A table in `paper/results`, which takes longer to make than to draw."""

    path: str
    """Below `paper/results`, without its suffix."""
    study: str
    command: str
    """What makes it, run from the checkout."""

    @property
    def file(self) -> Path:
        """Where it is."""
        return RESULTS / f"{self.path}.parquet"


FITS = Measured("theory/fits", "fit", "python -m theory fit --out paper/results/theory")
LANGUAGE = {
    (study, scale): Measured(
        f"lm/{scale}/{study}", study, f"python -m lm_experiments run {study} --scale {scale} --out paper/results/lm/{scale}"
    )
    for study, scale in (
        ("fig3a", "nano"), ("fig3b", "nano"), ("fig3a-replay", "nano"), ("fig3b-replay", "nano"), ("fig3a", "micro"), ("fig3b", "micro"),
    )
}  # fmt: skip
FRONTIER = Measured("sims/frontier", "frontier", "python -m sims frontier --out paper/results/sims")
VERIFY = Measured("sims/verify", "verify", "python -m sims verify --out paper/results/sims")
RELAXATIONS = {
    study: Measured(f"sims/{study}", study, f"python -m sims {study} --out paper/results/sims")
    for study in ("misalignment", "noise", "finite-samples", "width-and-init", "depth", "leakage")
}
OPTIMUM = {
    study: Measured(f"sims/{study}", study, f"python -m sims {study} --out paper/results/sims")
    for study in ("compute-matched", "latent", "placement")
}
VERDICTS = Measured("sims/verdicts", "verdicts", "python -m sims verdicts")


@dataclass(frozen=True)
class Picture:
    """A figure: where its drawing function is, and the tables that function takes."""

    function: str
    """`module:function` within `figures`; imported when drawn, so that listing needs no matplotlib."""
    tables: tuple[str, ...] = ()
    """Names of tables in the folder of studies."""
    published: tuple[int, ...] = ()
    """Numbers of published figures; their tables come first."""
    measured: tuple[Measured, ...] = ()
    """They come last."""

    @property
    def drawable(self) -> bool:
        """Whether its measured tables are there; the others are quickly made."""
        return all(measured.file.exists() for measured in self.measured)


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
    "fits": Picture("fits:fits", published=(3,), measured=(FITS,)),
    "fit_residuals": Picture("fits:residuals", published=(3,), measured=(FITS,)),
    "language_models": Picture(
        "language_models:language_models",
        published=(3,),
        measured=(LANGUAGE["fig3a", "nano"], LANGUAGE["fig3b", "nano"]),
    ),
    "language_models_replay": Picture(
        "language_models:language_models",
        published=(3,),
        measured=(LANGUAGE["fig3a-replay", "nano"], LANGUAGE["fig3b-replay", "nano"]),
    ),
    "language_effects": Picture(
        "language_effects:effects",
        published=(3,),
        measured=(LANGUAGE["fig3a", "nano"], LANGUAGE["fig3a-replay", "nano"], LANGUAGE["fig3a", "micro"]),
    ),
    **{
        f"simulated_figure{number:02d}": Picture("simulated_frontiers:beside", (), (number,), (FRONTIER,))
        for number in (2, 4, 6, 7)
    },
    "verify": Picture("simulation_checks:verified", measured=(VERIFY,)),
    "simulated_hypervolume": Picture("simulated_frontiers:hypervolumes", measured=(FRONTIER,)),
    **{
        f"simulated_{study.replace('-', '_')}": Picture(f"simulations:{function}", measured=(RELAXATIONS[study],))
        for study, function in zip(
            RELAXATIONS, ("misaligned", "noisy", "sampled", "started", "layered", "leaked"), strict=True
        )
    },
    "simulated_optimum": Picture("simulated_optimum:compute_matched", measured=(OPTIMUM["compute-matched"],)),
    "simulated_curves": Picture("simulated_optimum:curves", measured=(OPTIMUM["compute-matched"],)),
    "simulated_latent": Picture("simulated_optimum:latent", measured=(OPTIMUM["latent"],)),
    "simulated_placement": Picture("simulated_optimum:placement", measured=(OPTIMUM["placement"],)),
    "verdicts": Picture("verdicts:verdicts", measured=(VERDICTS,)),
    "published_figure03": Picture("lambda_curves:published", (), (3,)),
    **{f"published_figure{number:02d}": Picture("frontiers:published", (), (number,)) for number in FRONTIER_FIGURES},
}
GROUPS = {
    "theory": tuple(name for name, picture in PICTURES.items() if picture.tables),
    "language": tuple(name for name in PICTURES if name.startswith("language_")),
    "simulations": tuple(name for name, p in PICTURES.items() if any(m.path.startswith("sims/") for m in p.measured)),
}
"""Figures that are drawn together; the others redraw the paper, or show fits."""


def draw(name: str, tables: Path, out: Path, formats: tuple[str, ...] = ("pdf", "png")) -> list[Path]:
    """Draw one figure and write its files. Raises `WrongUse` where a table is missing."""
    from figures import style

    picture = PICTURES[name]
    read = [load(number) for number in picture.published]
    read += [_table(name, tables / f"{name}.parquet", f"python -m theory study {name}") for name in picture.tables]
    read += [_table(measured.study, measured.file, measured.command) for measured in picture.measured]
    style.apply()
    module, function = picture.function.split(":")
    drawing: Callable[..., Any] = getattr(import_module(f"figures.{module}"), function)
    return style.save(drawing(*read), out, name, formats)


def _table(study: str, path: Path, command: str) -> Any:
    if not path.exists():
        raise WrongUse(f"The table {path} is missing. Make it with `{command}`.")
    if study == "verdicts":
        return verdict_table.read(path)
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
