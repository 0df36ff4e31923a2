"""The numbers of the text: which macro is which reduction of which stored table."""

import json
from collections import Counter
from functools import cache, partial
from typing import Any

import numpy as np

from common import gates, results, verdict_table
from common.claims import STATEMENTS, UNPREDICTED
from common.published import RESULTS, load
from common.results import column
from common.seeds import FEWEST, HEADLINE, LEVEL, Interval, mean_interval
from common.settings import WrongUse
from paper.answers import stored
from paper.macros import Macro, Rows, escaped

CONTROLLED = "lm/nano/controlled"
CHEMISTRY, ENGINEERING = "general>instruction>chemistry", "general>instruction>engineering"
ALL = "independent, real, {}, D_post 131,072, matched loss_ft"
BESIDE = "{}: independent, lambda 1, real beside bigram, pre, shuffled, sibling, D_post 131,072, matched loss_ft"
DECOYS = ("Shuffled", "Bigram", "Sibling", "Pre")
RATES = (("Low", 1e-4), ("Middle", 3e-4), ("High", 1e-3))
FITTED = ("null", "plain", "rp+spectrum", "S", "S5", "S8", "Smax")
NANO_VOCABULARY = 1024
"""Of the tables that do not say it."""


@cache
def _verdicts(engine: str) -> list[dict[str, Any]]:
    return list(verdict_table.read(RESULTS / engine / "verdicts.parquet").to_pylist())


@cache
def _table(name: str) -> Any:
    return results.read(RESULTS / f"{name}.parquet")


@cache
def _fits() -> dict[str, dict[str, Any]]:
    return {one["method"]: one for one in json.loads((RESULTS / "theory/fits.json").read_text())["fits"]}


@cache
def _answers() -> dict[str, Any]:
    return stored()


def _row(engine: str, **wanted: Any) -> dict[str, Any]:
    """The one verdict with these values; `effect` names how its text begins. Raises `WrongUse`."""
    start = wanted.pop("effect", "")
    found = [
        row
        for row in _verdicts(engine)
        if all(row[name] == value for name, value in wanted.items()) and row["effect"].startswith(start)
    ]
    if len(found) != 1:
        raise WrongUse(
            f"{engine}/verdicts.parquet has {len(found)} verdicts with {wanted} and an effect that begins {start!r}, and the text "
            "quotes one. Say in paper/numbers.py which."
        )
    return found[0]


def _judged(name: str, engine: str, digits: int = 3, **wanted: Any) -> list[Macro]:
    """Value with interval, and status, of one verdict."""
    table = f"results/{engine}/verdicts.parquet"
    about = ", ".join(f"{key} {value}" for key, value in wanted.items())

    def interval() -> Interval:
        row = _row(engine, **wanted)
        return Interval(value=row["value"], low=row["low"], high=row["high"])

    return [
        Macro(name=name, table=table, column="value, low, high", reduction=about, value=interval, digits=digits),
        Macro(name=f"{name}Status", table=table, column="status", reduction=about, value=lambda: _row(engine, **wanted)["status"]),
    ]  # fmt: skip


def _change(pipeline: str, arm: str, loss: str, rate: float) -> Interval:
    """Exposure 1 minus 0 of one loss, paired by seed, with Student's interval."""
    at = {end: _by_seed(pipeline, arm, loss, rate, end) for end in (0.0, 1.0)}
    return mean_interval(np.array([at[1.0][seed] - at[0.0][seed] for seed in sorted(at[0.0])]))


def _by_seed(pipeline: str, arm: str, loss: str, rate: float, exposure: float) -> dict[int, float]:
    table = _table(CONTROLLED)
    keep = (column(table, "pipeline") == pipeline) & (column(table, "lm.variant") == arm)
    keep &= (column(table, "lr_ft") == rate) & (column(table, "exposure") == exposure)
    return dict(zip(column(table, "seed")[keep].astype(int).tolist(), column(table, loss)[keep].tolist(), strict=True))


def _effects() -> list[Macro]:
    made = []
    table = f"results/{CONTROLLED}.parquet"
    how = "exposure 1 minus 0, paired by seed, mean and Student interval"
    for word, arm in ((word, f"{word.lower()}, chemistry") for word in ("Real", *DECOYS)):
        made.append(
            Macro(name=f"{word}Im", table=table, column="loss_im", reduction=f"{arm}: {how}",
                  value=partial(_change, CHEMISTRY, arm, "loss_im", 1e-4))
        )  # fmt: skip
        for place, rate in RATES:
            made.append(
                Macro(name=f"{word}Ret{place}", table=table, column="loss_ret", reduction=f"{arm}, lr_ft {rate:g}: {how}",
                      value=partial(_change, CHEMISTRY, arm, "loss_ret", rate))
            )  # fmt: skip
    for word in DECOYS:
        made.append(
            Macro(name=f"RealMinus{word}Im", table=table, column="loss_im", reduction=f"real minus {word.lower()}, exposure 1, by seed",
                  value=partial(_beside, f"{word.lower()}, chemistry"))
        )  # fmt: skip
    for place, rate in RATES:
        made.append(
            Macro(name=f"Forgetting{place}", table=table, column="loss_ret - loss_im", digits=2,
                  reduction=f"real, chemistry, exposure 0, lr_ft {rate:g}: mean over seeds", value=partial(_forgotten, rate))
        )  # fmt: skip
    return made


def _beside(decoy: str) -> Interval:
    """loss_im after exposure to D_post minus that after exposure to a decoy."""
    real, other = (_by_seed(CHEMISTRY, arm, "loss_im", 1e-4, 1.0) for arm in ("real, chemistry", decoy))
    return mean_interval(np.array([real[seed] - other[seed] for seed in sorted(real)]))


def _forgotten(rate: float) -> float:
    im, ret = (_by_seed(CHEMISTRY, "real, chemistry", loss, rate, 0.0) for loss in ("loss_im", "loss_ret"))
    return float(np.mean([ret[seed] - im[seed] for seed in im]))


def _gate(name: str, table: str, gate: str, digits: int = 2, pipeline: str | None = None) -> Macro:
    """What one gate measures in the worst unexposed seed."""

    def worst() -> float:
        for _, bed, rows in gates.testbeds(_table(table)):
            if pipeline in (None, bed):
                said = rows["lm.vocabulary"].unique().to_pylist() if "lm.vocabulary" in rows.column_names else []
                vocabulary = int(said[0]) if said and said[0] else NANO_VOCABULARY
                return next(one.worst for one in gates.gates(rows, vocabulary, None) if one.name == gate) or 0.0
        raise WrongUse(f"{table}.parquet has no pipeline {pipeline}. Say in paper/numbers.py which is meant.")

    which = f"gate {gate}, {pipeline or 'its one pipeline'}: the worst unexposed seed"
    return Macro(
        name=name,
        table=f"results/{table}.parquet",
        column="lm.* (common.gates)",
        reduction=which,
        value=worst,
        digits=digits,
    )


def _recall(exposure: float) -> float:
    table = _table("lm/pico/facts")
    keep = (column(table, "lm.variant") == "real") & (column(table, "exposure") == exposure)
    return float(np.mean(column(table, "lm.recall_after_pre")[keep]))


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

    def parameter(name: str) -> float:
        return float(_fits()["S"]["parameters"][name])

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
        return sum(row["status"] == status for row in _verdicts("sims"))

    def rows() -> Rows:
        lines = []
        for claim in STATEMENTS:
            found = Counter(row["status"] for row in _verdicts("sims") if row["claim"] == claim)
            if claim != UNPREDICTED and found:
                lines.append(" & ".join([claim, escaped(STATEMENTS[claim]), *(str(found[status]) for status in tally)]))
        return Rows(" \\\\\n".join(lines) + r" \\")

    return [
        Macro(name="ClaimRows", table=table, column="claim, status", reduction="count by claim", value=rows),
        *(
            Macro(name=f"Sims{status.capitalize()}", table=table, column="status", reduction="count", value=partial(counted, status))
            for status in tally
        ),
        Macro(name="SimsVerdicts", table=table, column="status", reduction="count of rows", value=lambda: len(_verdicts("sims"))),
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
        made += _judged(f"Latent{word}", "sims", claim="P2", model=model, effect=fall)
        made += _judged(f"Damage{word}", "sims", claim="P10", model=model, effect=damage)
    shared = "depth of the minimum of loss_ret"
    made += _judged("DepthShared", "sims", digits=1, claim="P3", model="rp-shared", effect=shared)
    made += _judged("DepthSeparate", "sims", digits=2, claim="P3", model="rp", effect=shared)
    made += _judged(
        "DepthTanhCorr", "sims", digits=1, claim="P3", model="tanh-corr", variant="0.25 of the budget", effect=shared
    )
    made += _judged("DepthRelu", "sims", digits=1, claim="P3", model="relu", variant="", effect=shared)
    made += _judged("PlainGain", "sims", digits=4, claim="P3", model="plain", effect="largest gain from lambda")
    replay = "replay with exposure beyond the sum of both alone"
    made += _judged("ReplaySeparate", "sims", digits=2, claim="P5", model="rp", effect=replay)
    made += _judged("ReplayShared", "sims", digits=2, claim="P5", model="rp-shared", effect=replay)
    momentum = "largest change of the specialised loss, by moving 1 of D_post into stage 1, step 0.005"
    made += _judged("LawMomentum", "sims", digits=2, claim="P1", model="plain", variant="momentum", effect=momentum)
    made += _judged("LawAdam", "sims", digits=2, claim="P1", model="plain", variant="Adam", effect=momentum)
    return made


def _language() -> list[Macro]:
    facts = "facts:pre>facts:post>facts:ft"
    made = _judged("LatentChemistry", "lm", claim="C1", model="nano", primary=True, where=ALL.format("chemistry"))
    made += _judged("LatentEngineering", "lm", claim="C1", model="nano", primary=True, where=ALL.format("engineering"))
    made += _judged("DecoyChemistry", "lm", claim="D1", model="nano", primary=True, where=BESIDE.format(CHEMISTRY))
    made += _judged("DecoyEngineering", "lm", claim="D1", model="nano", primary=True, where=BESIDE.format(ENGINEERING))
    made += _judged("DecoyFacts", "lm", claim="D1", model="pico", primary=True,
                    where=f"{facts}: independent, lambda 4, real beside permuted, D_post 65,536, matched loss_ft")  # fmt: skip
    made += _judged("Provenance", "lm", claim="E1", model="pico", primary=True)
    made += _effects()
    made += [
        _gate("GateRare", CONTROLLED, "V1", 4, CHEMISTRY),
        _gate("GateStart", CONTROLLED, "V2", 2, CHEMISTRY),
        _gate("GateLeft", CONTROLLED, "V3", 2, CHEMISTRY),
        _gate("GateKept", CONTROLLED, "V4", 2, CHEMISTRY),
        _gate("GateRareEngineering", CONTROLLED, "V1", 3, ENGINEERING),
        _gate("WithdrawnStart", "lm/nano/fig3a", "V2"),
        _gate("WithdrawnErased", "lm/nano/fig3a", "V4"),
        _gate("WithdrawnStartMicro", "lm/micro/fig3a", "V2"),
        Macro(name="Uniform", table=f"results/{CONTROLLED}.parquet", column="lm.vocabulary", reduction="ln V", digits=2,
              value=lambda: float(np.log(column(_table(CONTROLLED), "lm.vocabulary")[0]))),
        Macro(name="RecallUnexposed", table="results/lm/pico/facts.parquet", column="lm.recall_after_pre",
              reduction="real, exposure 0: mean",
              digits=2, value=lambda: _recall(0.0)),
        Macro(name="RecallExposed", table="results/lm/pico/facts.parquet", column="lm.recall_after_pre",
              reduction="real, exposure 4: mean",
              digits=2, value=lambda: _recall(4.0)),
    ]  # fmt: skip
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
        *_published(), *_headline(), *_proofs(), *_laws(), *_simulated(), *_standing(), *_language(), *_choices(), *_constants(),
    ]  # fmt: skip
