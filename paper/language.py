"""The numbers of the language models: gates, effects beside their decoys, recall and provenance."""

from functools import partial

import numpy as np

from common import gates
from common.results import column
from common.seeds import Interval, mean_interval
from common.settings import WrongUse
from paper.macros import Macro
from paper.reading import judged, stored_table

CONTROLLED = "lm/nano/controlled"
CHEMISTRY, ENGINEERING = "general>instruction>chemistry", "general>instruction>engineering"
ALL = "independent, real, {}, D_post 131,072, matched loss_ft"
BESIDE = "{}: independent, lambda 1, real beside bigram, pre, shuffled, sibling, D_post 131,072, matched loss_ft"
DECOYS = ("Shuffled", "Bigram", "Sibling", "Pre")
RATES = (("Low", 1e-4), ("Middle", 3e-4), ("High", 1e-3))
NANO_VOCABULARY = 1024
"""Of the tables that do not say it."""
HALVES = "facts:pre?rumours=0.05&names=32>facts:post?names=32>facts:ft?names=32, lambda 2 of half A"


def language() -> list[Macro]:
    """All of them."""
    facts = "facts:pre?rumours=0.05&names=32>facts:post?names=32>facts:ft?names=32"
    made = judged("LatentChemistry", "lm", claim="C1", model="nano", primary=True, where=ALL.format("chemistry"))
    made += judged("LatentEngineering", "lm", claim="C1", model="nano", primary=True, where=ALL.format("engineering"))
    made += judged("DecoyChemistry", "lm", claim="D1", model="nano", primary=True, where=BESIDE.format(CHEMISTRY))
    made += judged("DecoyEngineering", "lm", claim="D1", model="nano", primary=True, where=BESIDE.format(ENGINEERING))
    made += judged("DecoyFacts", "lm", claim="D1", model="pico", primary=True,
                    where=f"{facts}: independent, lambda 2, real beside permuted, shuffled, D_post 16,384, matched loss_ft")  # fmt: skip
    made += judged("Provenance", "lm", claim="E1", model="pico", primary=True, where=HALVES)
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
              value=lambda: float(np.log(column(stored_table(CONTROLLED), "lm.vocabulary")[0]))),
        Macro(name="RecallUnexposed", table="results/lm/pico/few-facts.parquet", column="lm.recall_after_pre",
              reduction="real, exposure 0: mean",
              digits=2, value=lambda: _recall(0.0)),
        Macro(name="RecallExposed", table="results/lm/pico/few-facts.parquet", column="lm.recall_after_pre",
              reduction="real, exposure 2: mean",
              digits=2, value=lambda: _recall(2.0)),
    ]  # fmt: skip
    return made


def _change(pipeline: str, arm: str, loss: str, rate: float) -> Interval:
    """Exposure 1 minus 0 of one loss, paired by seed, with Student's interval."""
    at = {end: _by_seed(pipeline, arm, loss, rate, end) for end in (0.0, 1.0)}
    return mean_interval(np.array([at[1.0][seed] - at[0.0][seed] for seed in sorted(at[0.0])]))


def _by_seed(pipeline: str, arm: str, loss: str, rate: float, exposure: float) -> dict[int, float]:
    table = stored_table(CONTROLLED)
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
        for _, bed, rows in gates.testbeds(stored_table(table)):
            if pipeline in (None, bed):
                said = rows["lm.vocabulary"].unique().to_pylist() if "lm.vocabulary" in rows.column_names else []
                vocabulary = int(said[0]) if said and said[0] else NANO_VOCABULARY
                return next(one.worst for one in gates.gates(rows, vocabulary, None) if one.name == gate) or 0.0
        raise WrongUse(f"{table}.parquet has no pipeline {pipeline}. Say in paper/language.py which is meant.")

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
    table = stored_table("lm/pico/few-facts")
    keep = (column(table, "lm.variant") == "real") & (column(table, "exposure") == exposure)
    return float(np.mean(column(table, "lm.recall_after_pre")[keep]))
