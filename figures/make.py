"""Which figures there are, the tables each one needs, and how to draw them all."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from common import results, verdict_table
from common.interrupts import deaf_children
from common.published import FRONTIER_FIGURES, RESULTS, load
from common.settings import WrongUse, meant


@dataclass(frozen=True)
class Measured:
    """A table that takes longer to make than to draw, and so is stored in `paper/results`."""

    path: str
    """Below `paper/results`, without its suffix."""
    study: str
    make: str
    """The command that makes it, without the option for its folder."""
    into: str = "--out {}"
    """That option, {} for the folder."""

    @property
    def file(self) -> Path:
        """Where the stored one is."""
        return RESULTS / f"{self.path}.parquet"

    @property
    def command(self) -> str:
        """What makes the stored one, run from the checkout."""
        return self.command_into(Path("paper/results"))

    def command_into(self, folder: Path) -> str:
        """What makes it, for a folder of tables laid out like `paper/results`."""
        return f"{self.make} {self.into.replace('{}', str((folder / self.path).parent))}"

    def below(self, folder: Path) -> Path:
        """Where it is in somebody's own folder: laid out like `paper/results`, or without the outer folders of that."""
        parts = Path(self.path).parts
        found = [folder.joinpath(*parts[i:]).with_suffix(".parquet") for i in range(len(parts))]
        return next((path for path in found if path.exists()), found[0])


CROSSCHECK = Measured("theory/crosscheck", "crosscheck", "python -m theory crosscheck published")
FITS = Measured("theory/fits", "fit", "python -m theory fit")
LANGUAGE = {
    (study, scale): Measured(
        f"lm/{scale}/{study}", study, f"python -m lm_experiments run {study} --scale {scale}"
    )
    for study, scale in (
        ("fig3a", "nano"), ("fig3b", "nano"), ("fig3a-replay", "nano"), ("fig3b-replay", "nano"), ("fig3a", "micro"), ("fig3b", "micro"),
    )
}  # fmt: skip
EXPOSED = ("real", "shuffled", "bigram", "pre", "sibling")
"""Arms of `controlled` that are measured: D_post and its decoys."""
MEASURED_ARMS = [f"{arm}, {ft}" for ft in ("chemistry", "engineering") for arm in EXPOSED]
CONTROLS = tuple(
    Measured(f"lm/{scale}/{study}", study, f"python -m lm_experiments run {study} --scale {scale}{part}")
    for study, scale, part in (
        ("controlled", "nano", f" --exposures 0 1 --arms {' '.join(map(repr, MEASURED_ARMS))}"),
        ("few-facts", "pico", ""),
    )
)  # fmt: skip
DECIDING = (
    Measured("lm/nano/deciding", "deciding", "python -m lm_experiments run deciding"),
    Measured("lm/nano/deciding-probes", "deciding", "python -m lm_experiments probe deciding"),
)
VARIED = {
    study: Measured(
        f"lm/nano/{study}-controlled",
        f"{study}-controlled",
        f"python -m lm_experiments run {study}-controlled --scale nano",
    )
    for study in ("fig2", "fig3", "fig4", "fig6", "fig7", "placement", "mitigation")
}
FRONTIER = Measured("sims/frontier", "frontier", "python -m sims frontier")
VERIFY = Measured("sims/verify", "verify", "python -m sims verify")
RELAXATIONS = {
    study: Measured(f"sims/{study}", study, f"python -m sims {study}")
    for study in ("misalignment", "noise", "finite-samples", "width-and-init", "depth", "leakage")
}
OPTIMUM = {
    study: Measured(f"sims/{study}", study, f"python -m sims {study}")
    for study in ("compute-matched", "latent", "placement")
}
REDUNDANT = Measured("sims/redundant-features", "redundant-features", "python -m sims redundant-features")
VERDICTS = Measured("sims/verdicts", "verdicts", "python -m sims verdicts", "--results {} --out {}")


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

    def needed(self, tables: Path | None = None) -> list[tuple[str, Path, str]]:
        """Every table but the published ones, in the order of the drawing function: study, file, and the command that makes it.

        Args:
            tables: somebody's own folder; without, out/theory and the stored tables.
        """
        if tables is not None and tables.is_file():
            return [(study, tables, command) for study, _, command in self._one()]
        folder = Path("out/theory") if tables is None else tables
        found = []
        for study in self.tables:
            places = folder / f"{study}.parquet", folder / "theory" / f"{study}.parquet"
            own = "" if tables is None else f" --out {folder}"
            path = next((path for path in places if path.exists()), places[0])
            found.append((study, path, f"python -m theory study {study}{own}"))
        for one in self.measured:
            path, command = (one.file, one.command) if tables is None else (one.below(tables), one.command_into(tables))
            found.append((one.study, path, command))
        return found

    def _one(self) -> list[tuple[str, Path, str]]:
        """Its table, for a figure that is drawn from one file. Raises `WrongUse` where it takes several, or none."""
        needed = self.needed()
        if len(needed) != 1:
            raise WrongUse(
                f"{self.function.partition(':')[2]} is drawn from {len(needed)} tables, and --tables names one file. "
                "Give the folder that holds them."
            )
        return needed

    def missing(self, tables: Path | None = None) -> str | None:
        """The command for the first table that is not there; of the toolkit's own only measured ones count, the others are quickly made."""
        counted = self.needed(tables)[len(self.tables) if tables is None else 0 :]
        return next((command for _, path, command in counted if not path.exists()), None)

    @property
    def drawable(self) -> bool:
        """Whether its stored tables are there."""
        return self.missing() is None


STUDY_OF = {"swept": "sweep"}
"""Table -> its study, where the two differ: what anybody sweeps lies in theory/sweep.parquet by default, and must not be overwritten."""
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
    "sweep": Picture("sweeps:facets", ("swept",)),
    "sweep_pairs": Picture("sweeps:pairs", ("swept",)),
    "law_optimum": Picture("laws:law_optimum", ("law_optimum",)),
    "fits": Picture("fits:fits", published=(3,), measured=(FITS,)),
    "crosscheck": Picture("crosscheck:crosscheck", measured=(CROSSCHECK,)),
    "fit_residuals": Picture("fits:residuals", published=(3,), measured=(FITS,)),
    "figure01": Picture("schematic:schematic"),
    "controls": Picture("controls:controls", measured=CONTROLS),
    "decoy_rates": Picture("decoy_rates:forgetting_by_rate", measured=CONTROLS[:1]),
    "mechanisms": Picture("mechanisms:mechanisms", measured=DECIDING),
    "decoy_curves": Picture("decoy_curves:along_lambda", published=(3,), measured=CONTROLS),
    "measured_figure03": Picture("language_models:both_halves", published=(3,), measured=(VARIED["fig3"],)),
    **{
        f"measured_figure{number:02d}": Picture("measured_frontiers:beside", (), (number,), (VARIED[f"fig{number}"],))
        for number in (2, 4, 6, 7)
    },
    "measured_attainment": Picture("measured_frontiers:attainment", measured=(VARIED["fig2"],)),
    "measured_hypervolume": Picture(
        "measured_frontiers:hypervolumes", measured=tuple(VARIED[f"fig{number}"] for number in (2, 4, 6, 7))
    ),
    "measured_placement": Picture("variants:placement", measured=(VARIED["placement"],)),
    "measured_mitigation": Picture("variants:mitigation", measured=(VARIED["mitigation"],)),
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
    "simulated_attainment": Picture("simulated_frontiers:attainment", measured=(FRONTIER,)),
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
    "simulated_redundant_features": Picture("laws:redundant_features", measured=(REDUNDANT,)),
    "simulated_mechanisms": Picture("simulated_mechanisms:predicted", measured=(VERDICTS,)),
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


def picture(name: str, *tables: Any, ax: Any = None) -> Any:
    """A figure from one's own tables.

    Args:
        name: which; `PICTURES` says what tables each takes, and that published points come first where it shows them.
        tables: results tables, or pandas data frames with their columns; the published ones may be left out.
        ax: matplotlib axes to draw into, where these tables make a single panel; else a figure is made. The legend goes below them.

    Returns:
        The matplotlib figure.

    Raises:
        WrongUse: no such picture, another number of tables, something that is no table, or `ax` for several panels or a page of its own.

    Example:
        >>> from theory import predict
        >>> frame = predict(alpha=[0.0, 0.1, 0.2], t_ft=1.0).to_pandas(alpha=[0.0, 0.1, 0.2], t_ft=1.0)
        >>> len(picture("alpha_curves", frame).axes)
        4
        >>> len(picture("published_figure03").axes)
        4
    """
    from common.results import as_table

    drawing, own = _drawing(name), PICTURES[name]
    shown = [load(number) for number in own.published]
    needed = len(own.tables) + len(own.measured)
    if len(tables) not in (needed, needed + len(shown)):
        raise WrongUse(
            f"{name} is drawn from {needed} tables of one's own, not {len(tables)}: {', '.join(needs(name))}."
        )
    given = [*(shown if len(tables) == needed else []), *map(as_table, tables)]
    if ax is None:
        return drawing(*given)
    import matplotlib.pyplot as plt

    from figures import style

    with style.into(name, ax):
        made = drawing(*given)
    if made is not ax.figure:
        plt.close(made)
        raise WrongUse(f"{name} is a page of its own and cannot be drawn into given axes. Leave ax out.")
    return made


def needs(name: str) -> list[str]:
    """What a picture is drawn from."""
    own = PICTURES[name]
    return [
        *(f"published figure {n}" for n in own.published),
        *own.tables,
        *(measured.path for measured in own.measured),
    ]


def _drawing(name: str) -> Callable[..., Any]:
    """The function that draws a picture, with the look of all pictures set. Raises `WrongUse`."""
    from figures import style

    if name not in PICTURES:
        raise WrongUse(f"Figure {name!r} is not known. {meant(name, PICTURES)}")
    style.apply()
    module, function = PICTURES[name].function.split(":")
    found: Callable[..., Any] = getattr(import_module(f"figures.{module}"), function)
    return found


def draw(
    name: str, tables: Path | None = None, out: Path = Path("out/figures"), formats: tuple[str, ...] = ("pdf", "png")
) -> list[Path]:
    """Draw one figure and write its files.

    Args:
        name: which; `PICTURES` names them.
        tables: folder with its tables, all of them; without, those of `python -m theory study` and the stored ones.
        out: folder for the files.
        formats: pdf, png, svg, csv.

    Raises:
        WrongUse: no such figure, or a table is missing: then it names the command that makes it.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     [path.name for path in draw("published_figure03", out=Path(folder), formats=("png",))]
        ['published_figure03.png']
    """
    from figures import style

    drawing, own = _drawing(name), PICTURES[name]
    read = [load(number) for number in own.published]
    for measured, (study, path, command) in zip(
        (*(None for _ in own.tables), *own.measured), own.needed(tables), strict=True
    ):
        read.append(_table(study, path, command))
        if measured:
            _check_scale(measured, read[-1])
    return style.save(drawing(*read), out, name, formats)


def _table(study: str, path: Path, command: str) -> Any:
    if not path.exists():
        raise WrongUse(f"The table {path} is missing. Make it with `{command}`.")
    if study == "verdicts":
        return verdict_table.read(path)
    table = results.read(path)
    if set(table["study"].unique().to_pylist()) != {STUDY_OF.get(study, study)}:
        raise WrongUse(f"{path} is not the table {study}. Make it with `{command}`.")
    return table


def _check_scale(measured: Measured, table: Any) -> None:
    """Raise `WrongUse` where a language-model study is not of the size that the figure shows."""
    parts = Path(measured.path).parts
    if parts[0] == "lm" and (other := set(table["scale"].unique().to_pylist()) - {parts[1]}):
        raise WrongUse(
            f"{measured.path}: the table is of scale {min(map(str, other))}, and the figure shows {parts[1]}. "
            f"Make it with `{measured.make}`."
        )


def draw_all(
    names: list[str],
    tables: Path | None,
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
        with deaf_children():
            pending = {name: pool.submit(draw, name, tables, out, formats) for name in names}
        for name, future in pending.items():
            done(name, future.result())
