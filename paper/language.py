"""The numbers of the language models: gates, effects beside their decoys, made facts along lambda and at two sizes, provenance."""

import re
from functools import partial
from typing import Any

import numpy as np

from common import gates
from common.results import column
from common.seeds import Interval
from common.settings import WrongUse
from paper.macros import Macro, Rows
from paper.reading import by_seed, judged, paired, said, stored_table, verdict_row

CONTROLLED = "lm/nano/controlled"
CHEMISTRY, ENGINEERING = "general>instruction>chemistry", "general>instruction>engineering"
ALL = "independent, real, {}, D_post 131,072, matched loss_ft"
BESIDE = "{}: independent, lambda 1, real beside bigram, pre, shuffled, sibling, D_post 131,072, matched loss_ft"
DECOYS = ("Shuffled", "Bigram", "Sibling", "Pre")
RATES = (("Low", 1e-4), ("Middle", 3e-4), ("High", 1e-3))
NANO_VOCABULARY = 1024
"""Of the tables that do not say it."""
FEW, FEW_RATES = "lm/pico/few-facts", (("Low", 1e-4), ("Middle", 2e-4), ("High", 3e-4))
HALVES = "facts:pre?rumours=0.05&names=32>facts:post?names=32>facts:ft?names=32, lambda 2 of half A"


def language() -> list[Macro]:
    """All of them."""
    facts = "facts:pre?rumours=0.05&names=32>facts:post?names=32>facts:ft?names=32"
    main: dict[str, Any] = {"study": "controlled", "model": "nano", "primary": True}
    made = judged("LatentChemistry", "lm", claim="C1", where=ALL.format("chemistry"), **main)
    made += judged("LatentEngineering", "lm", claim="C1", where=ALL.format("engineering"), **main)
    made += judged("DecoyChemistry", "lm", claim="D1", where=BESIDE.format(CHEMISTRY), **main)
    made += judged("DecoyEngineering", "lm", claim="D1", where=BESIDE.format(ENGINEERING), **main)
    made += judged("DecoyFacts", "lm", claim="D1", model="pico", primary=True, study="few-facts",
                    where=f"{facts}: independent, lambda 2, real beside permuted, shuffled, D_post 16,384, matched loss_ft")  # fmt: skip
    twice: dict[str, Any] = {"claim": "D1", "model": "pico2", "primary": True, "study": "few-facts"}
    made += [*judged("DecoyTwice", "lm", **twice), said("TwiceGates", "lm", "gates", **twice), *_along()]
    few = twice | {"model": "pico"}
    made += [
        _of_effect("FactsRaw", r"raw effect ([+-][\d.]+)", few),
        _of_effect("TwiceOther", r"real minus (.*) \(", twice),
    ]
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


def _of_effect(name: str, part: str, wanted: dict[str, Any]) -> Macro:
    """What the effect of one verdict on D1 says in words: with what it compares, or the raw effect."""

    def value() -> float | str:
        effect = verdict_row("lm", **wanted)["effect"]
        if (told := re.search(part, effect)) is None:
            raise WrongUse(f"D1 says {effect!r}, and not {part!r}. Say in paper/language.py what is quoted.")
        return float(told[1]) if told[1][0] in "+-" else told[1]

    about = ", ".join(f"{key} {one}" for key, one in wanted.items())
    return Macro(name=name, table="results/lm/verdicts.parquet", column="effect", reduction=about, value=value)


def _change(pipeline: str, arm: str, loss: str, rate: float) -> Interval:
    """Exposure 1 minus 0 of one loss, paired by seed, with Student's interval."""
    more, less = (_by_seed(pipeline, arm, loss, rate, end) for end in (1.0, 0.0))
    return paired(more, less)


def _by_seed(pipeline: str, arm: str, loss: str, rate: float, exposure: float) -> dict[int, float]:
    wanted = {"pipeline": pipeline, "lm.variant": arm, "lr_ft": rate, "exposure": exposure}
    return by_seed(CONTROLLED, loss, wanted)


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
    return paired(real, other)


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
    return _few("lm.recall_after_pre", exposure)


def _few(loss: str, exposure: float, rate: float = 1e-4, arm: str = "real", table: str = FEW) -> float:
    """Mean over seeds of one column of few-facts."""
    return float(np.mean(list(_of_few(loss, exposure, rate, arm, table).values())))


def _of_few(loss: str, exposure: float, rate: float = 1e-4, arm: str = "real", table: str = FEW) -> dict[int, float]:
    return by_seed(table, loss, {"lm.variant": arm, "exposure": exposure, "lr_ft": rate})


def _doses(table: str = FEW) -> list[float]:
    stored = stored_table(table)
    return sorted(set(column(stored, "exposure")[column(stored, "lm.variant") == "real"].tolist()))


def _along() -> list[Macro]:
    """few-facts along lambda: the means, and how many intervals of the change of loss_ret lie off zero."""
    table = f"results/{FEW}.parquet"

    def change(dose: float, rate: float) -> Interval:
        return paired(_of_few("loss_ret", dose, rate), _of_few("loss_ret", 0.0, rate))

    def rows() -> Rows:
        lines = [[r"$\lambda$", *(f"{dose:g}" for dose in _doses())], [r"\midrule recall after stage~1"]]
        lines[1] += [f"{_few('lm.recall_after_pre', dose):.2f}" for dose in _doses()]
        lines.append([r"$\Lim$", *(f"{_few('loss_im', dose):.3f}" for dose in _doses())])
        lines += [
            [rf"$\Lret$, {place.lower()} rate", *(f"{_few('loss_ret', dose, rate):.2f}" for dose in _doses())]
            for place, rate in FEW_RATES
        ]
        return Rows("".join(" & ".join(line) + " \\\\\n" for line in lines).rstrip("\n"))

    def off(side: int) -> int:
        """Intervals that lie wholly above (1) or below (-1) zero; all of them for 0."""
        ends = [change(dose, rate) for dose in _doses() if dose for _, rate in FEW_RATES]
        return len([one for one in ends if side == 0 or min(side * (one.low or 0.0), side * (one.high or 0.0)) > 0])

    how = "real, every exposure minus 0 at every rate, paired by seed"
    twice = "lm/pico2/few-facts"
    return [
        Macro(name="FewRows", table=table, column="lm.recall_after_pre, loss_im, loss_ret", value=rows,
              reduction="real, by exposure and rate: means over seeds"),
        *(
            Macro(name=f"Few{word}", table=table, column="loss_ret", reduction=f"{how}: {which}", value=partial(off, side))
            for word, which, side in (("Contrasts", "how many", 0), ("Above", "intervals above 0", 1), ("Below", "intervals below 0", -1))
        ),
        Macro(name="FewOneMiddle", table=table, column="loss_ret", reduction="real, exposure 1 minus 0, lr_ft 0.0002, paired by seed",
              value=partial(change, 1.0, 2e-4)),
        *(
            Macro(name=f"Twice{word}", table=f"results/{twice}.parquet", column="loss_ret", digits=2,
                  reduction=f"{arm}, exposure {dose:g}, lr_ft 0.00015: mean over seeds",
                  value=partial(_few, "loss_ret", dose, 1.5e-4, arm, twice))
            for word, arm, dose in (("Unexposed", "real", 0.0), ("Exposed", "real", 2.0), ("Decoy", "shuffled", 2.0))
        ),
    ]  # fmt: skip
