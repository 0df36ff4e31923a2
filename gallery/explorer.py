"""The explorer's page: which sliders there are, with what they mean taken from the settings of `theory`, and the published points."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from common.published import load
from common.recipe import Recipe
from gallery.formulas import javascript
from theory.features import Blocks
from theory.laws.forms import Provenance
from theory.pathways import Pathways
from theory.realise import Budget
from theory.stages import PlainSchedule

RECIPE, DATA, NETWORK, LAW = "Recipe", "Data", "Targets and start", "The law S"
PASSES = 3.2
"""Worth of the passes of an early-stopped stage 2 in the fit of S to Figure 3a (`theory.laws.forms`)."""


@dataclass(frozen=True)
class Slider:
    """A setting that can be dragged; its state has the name, and `of` is the settings class and field that it is."""

    name: str
    label: str
    of: tuple[type[Any], str]
    group: str
    low: float
    high: float
    step: float = 0.01
    log: bool = False
    value: float | None = None
    """Where it starts; default the field's default."""


SLIDERS = (
    Slider("exposure", "exposure λ", (Recipe, "exposure"), RECIPE, 0, 1, value=0.2),
    Slider("alpha", "the same as mixture weight α", (PlainSchedule, "alpha"), RECIPE, 0, 0.5, 0.001),
    Slider("replay", "replay", (PlainSchedule, "replay"), RECIPE, 0, 0.9),
    Slider("dropout", "dropout", (PlainSchedule, "dropout"), RECIPE, 0, 0.9),
    Slider("t_post", "stage-2 time (independent)", (PlainSchedule, "t_post"), RECIPE, 0.01, 20, 0.01, True),
    Slider("t_ft", "fine-tuning time", (PlainSchedule, "t_ft"), DATA, 0.01, 20, 0.01, True),
    Slider("beta", "specialised target β", (Blocks, "beta"), DATA, 0, 3),
    Slider("leakage", "overlap of D_ft (leakage)", (Blocks, "leakage"), DATA, 0, 1),
    Slider("pre_time", "time of D_pre", (Budget, "pre_time"), DATA, 1, 100, 0.01, True),
    Slider("post_time", "time of one pass over D_post", (Budget, "post_time"), DATA, 0.1, 20, 0.01, True, 3.0),
    Slider("step_ratio", "step size of stage 1 / stage 2", (Budget, "step_ratio"), DATA, 0.1, 10, 0.01, True),
    Slider("sigma_pre", "plain: target under D_pre", (Blocks, "sigma_pre"), NETWORK, 0, 3),
    Slider("sigma_post", "plain: target under D_post", (Blocks, "sigma_post"), NETWORK, 0, 3),
    Slider("sigma_ft", "plain: target under D_ft", (Blocks, "sigma_ft"), NETWORK, 0, 3),
    Slider("path_pre", "pathways: target under D_pre", (Pathways, "sigma_pre"), NETWORK, 0, 3),
    Slider("path_post", "pathways: target under D_post", (Pathways, "sigma_post"), NETWORK, 0, 3),
    Slider("path_ft", "pathways: target under D_ft", (Pathways, "sigma_ft"), NETWORK, 0, 3),
    Slider("correlation", "pathways: correlation χ", (Pathways, "correlation"), NETWORK, 0, 1),
    Slider("init_scale", "initial scale δ", (Blocks, "init_scale"), NETWORK, 1e-4, 0.5, 0.01, True, 0.03),
    Slider("lost", "φ: share lost of what only stage 2 learned", (Provenance, "lost"), LAW, 0, 1, 0.001),
    Slider("constant", "ψ: forgetting whatever the exposure", (Provenance, "constant"), LAW, 0, 1, 0.001),
    Slider("post_worth", "m: worth of a stage-2 token", (Provenance, "post_worth"), LAW, 0.1, 20, 0.001, True),
    Slider("passes", "R: worth of repeated passes", (Provenance, "passes"), LAW, 1, 20, 0.001, True, PASSES),
    Slider("power", "a: exponent", (Provenance, "power"), LAW, 0.05, 1, 0.001),
    Slider("offset", "d₀: D_pre in tokens of D_post (millions)", (Provenance, "offset"), LAW, 1, 1000, 0.001, True),
    Slider("amplitude", "A: what is left to learn", (Provenance, "amplitude"), LAW, 0.1, 10, 0.001, True),
    Slider("floor", "E: loss after endless exposure", (Provenance, "floor"), LAW, 0, 3, 0.001),
)
CHOICES: tuple[dict[str, Any], ...] = (
    {"name": "split", "label": "budget of D_post", "group": RECIPE, "value": "compute-matched",
     "options": ["compute-matched", "independent"], "numeric": False},
    {"name": "pathways", "label": "pathways", "group": NETWORK, "value": "rp", "options": ["rp", "rp-shared"], "numeric": False},
    {"name": "corpus", "label": "tokens of D_post (millions)", "group": LAW, "value": 150, "options": [30, 150, 300], "numeric": True},
)  # fmt: skip
GROUPS = (
    {"title": RECIPE, "open": True},
    {"title": DATA, "open": True},
    {"title": NETWORK, "open": False},
    {"title": LAW, "open": False},
)
TOKENS_PRE = 9000
"""Tokens of stage 1 in the published Figure 3 (millions): the law does not depend on them."""
TIMES = (-2.0, 1.3)
"""Powers of ten of the maps' fine-tuning times."""


def page() -> dict[str, Any]:
    """All data of the page."""
    return {
        "sliders": [_described(one) for one in SLIDERS],
        "choices": list(CHOICES),
        "groups": list(GROUPS),
        "fixed": {name: getattr(Blocks(), name) for name in ("n", "k", "sigma_inv")},
        "settings": {"plain": list(PLAIN.items()), **{name: list(PATHWAYS.items()) for name in ("rp", "rp-shared")}},
        "published": published(),
        "tokens_pre": TOKENS_PRE,
        "times": TIMES,
    }


COMMON = {name: name for name in ("replay", "dropout", "t_post", "t_ft", "beta", "init_scale")}
PLAIN = COMMON | {name: name for name in ("leakage", "sigma_pre", "sigma_post", "sigma_ft")}
PATHWAYS = COMMON | {"correlation": "correlation"} | {f"sigma_{task}": f"path_{task}" for task in ("pre", "post", "ft")}
"""A model's settings -> names in the state."""


def _described(slider: Slider) -> dict[str, Any]:
    kind, name = slider.of
    field = next(field for field in fields(kind) if field.name == name)
    made = asdict(slider) | {"about": field.metadata.get("about") or slider.label}
    del made["of"]
    return made | {"value": field.default if slider.value is None else slider.value}


def published() -> list[dict[str, Any]]:
    """The points of the published Figure 3 (a: independent, b: compute-matched), sizes in millions of tokens."""
    rows = load(3).select(["split", "tokens_post", "exposure", "loss_im", "loss_ret"]).to_pylist()
    return [row | {"corpus": row["tokens_post"] // 10**6} for row in rows]


def scripts(asset: Callable[[str], str]) -> str:
    """The page's program: generated formulas, then the models, then the page. `asset` reads a file of the folder."""
    strict = '"use strict";\n'
    return strict + javascript() + asset("model.js") + asset("explorer.js")


def data() -> str:
    """The page's data as JSON that may stand inside a script element."""
    return json.dumps(page(), ensure_ascii=False).replace("</", "<\\/")
