"""The numbers of the text: which macro is which reduction of which stored table."""

import json
from collections import Counter
from functools import cache, partial
from typing import Any

import numpy as np

from common import gates
from common.claims import STATEMENTS, UNPREDICTED
from common.published import RESULTS, load
from common.results import column
from common.seeds import FEWEST, HEADLINE, LEVEL
from paper.answers import stored
from paper.deciding import deciding
from paper.frontiers import frontiers
from paper.language import language
from paper.macros import Macro, Rows, escaped
from paper.reading import judged, verdict_rows

FITTED = ("null", "plain", "rp+spectrum", "S", "S5", "S8", "Smax", "Slin")


@cache
def _fits() -> dict[str, dict[str, Any]]:
    return {one["method"]: one for one in json.loads((RESULTS / "theory/fits.json").read_text())["fits"]}


@cache
def _answers() -> dict[str, Any]:
    return stored()


def _published() -> list[Macro]:
    table, answer = "published/figure3.csv", "results/theory/answers.json"

    def forgetting() -> Any:
        points = load(3)
        keep = (column(points, "split") == "independent") & (column(points, "exposure") == 0)
        return (column(points, "loss_ret") - column(points, "loss_im"))[keep]

    def change(loss: str) -> float:
        return float(np.mean(_answers()["headline"]["paper"][loss]))

    def stars(which: int) -> float:
        return float(_answers()["headline"]["fit"]["stars_3b"][which])

    to_one = "Figure 3a, exposure 1 minus 0, mean of three sizes (theory headline)"
    return [
        Macro(name="PaperIm", table=answer, column="headline/paper/loss_im", reduction=to_one, value=lambda: change("loss_im")),
        Macro(name="PaperRet", table=answer, column="headline/paper/loss_ret", reduction=to_one, value=lambda: change("loss_ret")),
        Macro(name="PaperForgettingLeast", table=table, column="loss", digits=2, reduction="Figure 3a, exposure 0: least of the sizes",
              value=lambda: float(forgetting().min())),
        Macro(name="PaperForgettingMost", table=table, column="loss", digits=2, reduction="Figure 3a, exposure 0: largest of the sizes",
              value=lambda: float(forgetting().max())),
        Macro(name="PaperStarLeast", table=answer, column="headline/fit/stars_3b", digits=2, reduction="30M tokens",
              value=lambda: stars(0)),
        Macro(name="PaperStarMost", table=answer, column="headline/fit/stars_3b", digits=2, reduction="300M tokens",
              value=lambda: stars(2)),
    ]  # fmt: skip


def _headline() -> list[Macro]:
    table = "results/theory/answers.json"

    def sweep(name: str) -> int:
        return int(_answers()["headline"]["sweep"][name])

    def fit(name: str) -> float:
        return float(_answers()["headline"]["fit"][name])

    def moved(loss: str) -> float:
        return float(np.mean(_answers()["headline"]["fit"]["change_3a"][loss]))

    made = [
        Macro(name=name, table=table, column=f"headline/sweep/{key}", reduction="count of settings", value=partial(sweep, key))
        for name, key in (("SweepSettings", "settings"), ("SweepMixed", "mixed"), ("SweepGain", "gain"), ("SweepLatent", "latent"))
    ]  # fmt: skip
    made += [
        Macro(name=f"PlainRms{half}", table=table, column=f"headline/fit/rmse_3{half.lower()}", reduction="of the fit to one half alone",
              value=partial(fit, f"rmse_3{half.lower()}"))
        for half in ("A", "B")
    ]  # fmt: skip
    return made + [
        Macro(name=f"Plain{word}", table=table, column=f"headline/fit/change_3a/{loss}", reduction="mean of three sizes",
              value=partial(moved, loss))
        for word, loss in (("Im", "loss_im"), ("Ret", "loss_ret"))
    ]  # fmt: skip


def _proofs() -> list[Macro]:
    table = "results/theory/answers.json"

    def count(kind: str, key: str, wanted: Any) -> int:
        return sum(wanted(one[key]) for one in _answers()[kind])

    counts: list[tuple[str, str, str, str, Any]] = [
        ("Results", "proofs", "holds", "how many hold", bool),
        *((f"Results{grade.capitalize()}", "proofs", "grade", f"how many are {grade}", grade.__eq__)
              for grade in ("proved", "argued", "numerical")),
        ("ResultsFalse", "proofs", "status", "how many are false as printed", lambda said: said.startswith("false")),
        ("Errata", "errata", "confirmed", "how many are confirmed", bool),
        ("ErrataFalse", "errata", "status", "how many are false as printed", lambda said: said.startswith("false")),
    ]  # fmt: skip
    return [
        Macro(name=name, table=table, column=f"{kind}/{key}", reduction=how, value=partial(count, kind, key, wanted))
        for name, kind, key, how, wanted in counts
    ]  # fmt: skip


def _laws() -> list[Macro]:
    table = "results/theory/fits.json"

    def parameter(name: str, law: str = "S") -> float:
        return float(_fits()[law]["parameters"][name])

    def dip() -> float:
        from theory.laws.optimum import smallest_corpus

        return float(smallest_corpus(*map(parameter, ("lost", "post_worth", "power", "offset"))))

    def far() -> float:
        from theory.laws.optimum import best_exposure

        lost, worth, power, offset = map(parameter, ("lost", "post_worth", "power", "offset"))
        return float(best_exposure(lost, worth, power, offset, 1e12))

    def rows() -> Rows:
        lines = []
        for method in FITTED:
            one = _fits()[method]
            size = one["leave_one_size_out"]["rms"]
            cells = [one["rmse"], one["without_odd"]["rmse"], one["leave_one_curve_out"]["rms"], size]
            shown = ["--" if cell is None else f"{cell:.4f}" for cell in cells]
            lines.append(
                " & ".join(
                    [escaped(method), str(one["fitted_numbers"]), *shown[:2], f"$ {one['aicc']:.0f} $", *shown[2:]]
                )
            )
        return Rows(" \\\\\n".join(lines) + r" \\")

    symbols = (
        ("LawPhi", "lost", 3),
        ("LawWorth", "post_worth", 2),
        ("LawPower", "power", 3),
        ("LawOffset", "offset", 1),
        ("LawPsi", "constant", 3),
    )
    return [
        Macro(name="FitRows", table=table, column="rmse, aicc, leave_one_*", reduction="a row per model", value=rows),
        *(
            Macro(name=name, table=table, column=f"S/parameters/{key}", reduction="as fitted", digits=digits,
                  value=partial(parameter, key))
            for name, key, digits in symbols
        ),
        Macro(name="LinKappa", table=table, column="Slin/parameters/undone", reduction="as fitted", digits=2,
              value=partial(parameter, "undone", "Slin")),
        Macro(name="LinBound", table=table, column="Slin/parameters/post_worth", reduction="1 - 1/m", digits=2,
              value=lambda: 1 - 1 / parameter("post_worth", "Slin")),
        Macro(name="LawDip", table=table, column="S/parameters", digits=0, reduction="D_post in M tokens, below which no dip",
              value=dip),
        Macro(name="LawFar", table=table, column="S/parameters", digits=2, reduction="best lambda for a large D_post", value=far),
        Macro(name="LawOdd", table=table, column="S/without_odd/share_of_squares", digits=2,
              reduction="of the fit of S, one checkpoint", value=lambda: float(_fits()["S"]["without_odd"]["share_of_squares"])),
    ]  # fmt: skip


def _choices() -> list[Macro]:
    table = "results/theory/answers.json"
    few, sizes = "3a and one anchor -> 3b", "the smaller sizes -> 300M"

    def regret(trial: str, who: str) -> float:
        return float(np.mean([one["regret"][who] for one in _answers()["held_out"] if one["name"] == trial]))

    def worst(trial: str, who: str) -> float:
        return float(max(one["regret"][who] for one in _answers()["held_out"] if one["name"] == trial))

    def recommended(name: str) -> float:
        return float(_answers()["recommended"][name])

    def good(end: int) -> float:
        return float(_answers()["recommended"]["good"][0][end])

    who = (("Laws", "laws together"), ("Zero", "lambda = 0"), ("Half", "lambda = 0.5"), ("One", "lambda = 1"))
    return [
        *(
            Macro(name=f"Regret{word}", table=table, column=f"held_out/regret/{name}", reduction=f"{few}: mean of three curves",
                  value=partial(regret, few, name))
            for word, name in who
        ),
        Macro(name="RegretLawsWorst", table=table, column="held_out/regret/laws together", reduction=f"{few}: largest",
              value=lambda: worst(few, "laws together")),
        Macro(name="RegretLawsSize", table=table, column="held_out/regret/laws together", reduction=f"{sizes}: mean",
              value=lambda: regret(sizes, "laws together")),
        Macro(name="RegretNearestSize", table=table, column="held_out/regret/best of what is nearest", reduction=f"{sizes}: mean",
              value=lambda: regret(sizes, "best of what is nearest")),
        *(
            Macro(name=f"Choice{word}", table=table, column=f"recommended/{key}", digits=2, reduction="150M, compute-matched",
                  value=partial(recommended, key))
            for word, key in (("Best", "exposure"), ("Low", "low"), ("High", "high"))
        ),
        *(
            Macro(name=f"ChoiceGood{word}", table=table, column="recommended/good", digits=2,
                  reduction="150M, compute-matched: the first range",
                  value=partial(good, end))
            for word, end in (("From", 0), ("To", 1))
        ),
    ]  # fmt: skip


def _standing() -> list[Macro]:
    table = "results/sims/verdicts.parquet"
    tally = ("supported", "refuted", "undecided")

    def counted(status: str) -> int:
        return sum(row["status"] == status for row in verdict_rows("sims"))

    def rows() -> Rows:
        lines = []
        for claim in STATEMENTS:
            found = Counter(row["status"] for row in verdict_rows("sims") if row["claim"] == claim)
            if claim != UNPREDICTED and found:
                lines.append(" & ".join([claim, escaped(STATEMENTS[claim]), *(str(found[status]) for status in tally)]))
        return Rows(" \\\\\n".join(lines) + r" \\")

    return [
        Macro(name="ClaimRows", table=table, column="claim, status", reduction="count by claim", value=rows),
        *(
            Macro(name=f"Sims{status.capitalize()}", table=table, column="status", reduction="count", value=partial(counted, status))
            for status in tally
        ),
        Macro(name="SimsVerdicts", table=table, column="status", reduction="count of rows", value=lambda: len(verdict_rows("sims"))),
    ]  # fmt: skip


def _simulated() -> list[Macro]:
    fall, damage = "by how much a fall of loss_ret is latent", "loss on D_pre after stage 2, mixed over unmixed"
    made = []
    for word, model in (
        ("Plain", "plain"),
        ("Relu", "relu"),
        ("Tanh", "tanh"),
        ("Corr", "relu-corr"),
        ("Pathways", "relu-rp"),
        ("TanhCorr", "tanh-corr"),
    ):
        made += judged(f"Latent{word}", "sims", claim="P2", model=model, effect=fall)
        made += judged(f"Damage{word}", "sims", claim="P10", model=model, effect=damage)
    shared = "depth of the minimum of loss_ret"
    made += judged("DepthShared", "sims", digits=1, claim="P3", model="rp-shared", effect=shared)
    made += judged("DepthSeparate", "sims", digits=2, claim="P3", model="rp", effect=shared)
    made += judged(
        "DepthTanhCorr", "sims", digits=1, claim="P3", model="tanh-corr", variant="0.25 of the budget", effect=shared
    )
    made += judged("DepthRelu", "sims", digits=1, claim="P3", model="relu", variant="", effect=shared)
    made += judged("PlainGain", "sims", digits=4, claim="P3", model="plain", effect="largest gain from lambda")
    replay = "replay with exposure beyond the sum of both alone"
    made += judged("ReplaySeparate", "sims", digits=2, claim="P5", model="rp", effect=replay)
    made += judged("ReplayShared", "sims", digits=2, claim="P5", model="rp-shared", effect=replay)
    momentum = "largest change of the specialised loss, by moving 1 of D_post into stage 1, step 0.005"
    made += judged("LawMomentum", "sims", digits=2, claim="P1", model="plain", variant="momentum", effect=momentum)
    made += judged("LawAdam", "sims", digits=2, claim="P1", model="plain", variant="Adam", effect=momentum)
    return made


def _constants() -> list[Macro]:
    said: tuple[tuple[str, str, Any], ...] = (
        ("Fewest", "seeds.FEWEST", FEWEST), ("Headline", "seeds.HEADLINE", HEADLINE), ("Level", "seeds.LEVEL", round(100 * LEVEL)),
        ("RareMost", "gates.RARE", gates.RARE), ("PerParameter", "gates.TOKENS_PER_PARAMETER", int(gates.TOKENS_PER_PARAMETER)),
    )  # fmt: skip
    return [
        Macro(name=f"Rule{name}", table=f"../common/{where.split('.')[0]}.py", column=where.split(".")[1], reduction="as it stands",
              digits=2, value=partial(float if isinstance(value, float) else int, value))
        for name, where, value in said
    ]  # fmt: skip


def numbers() -> list[Macro]:
    """All of them, in the order of the text."""
    return [
        *_published(), *_headline(), *_proofs(), *_laws(), *_simulated(), *_standing(), *language(), *deciding(),
        *frontiers(), *_choices(), *_constants(),
    ]  # fmt: skip
