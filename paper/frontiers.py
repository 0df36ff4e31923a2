"""The numbers of our frontiers, of what else keeps a capability, of placement, and of the choices that the paper leaves open.

A study that has no verdict yet is a row that says so; its numbers follow when its verdicts are stored.
"""

from functools import partial
from typing import Any

from paper.macros import Macro, Rows
from paper.reading import cell, found, said, verdict_row

VERDICTS = "results/lm/verdicts.parquet"
CHEMISTRY, ENGINEERING = "general>instruction>chemistry", "general>instruction>engineering"
VIEWS = ("(loss_ft, loss_ret)", "(loss_ret, loss_pre)")
FRONTIERS = (
    ("fig2", (("mixed", "unmixed"),)),
    ("fig4", (("mixed+dropout", "mixed"), ("mixed+replay", "mixed"))),
    ("fig6", (("mixed", "unmixed+dropout"), ("mixed", "unmixed+replay"), ("unmixed+dropout", "unmixed"), ("unmixed+replay", "unmixed"))),
    ("fig7", (("lora_mixed", "lora_unmixed"), ("fft_mixed", "lora_mixed"), ("fft_unmixed", "lora_unmixed"))),
)  # fmt: skip
"""Study without `-controlled`, and which methods' frontiers are compared."""
NONE = "none"
MEANS = (
    NONE, "SAM in stage 2", "L2 to start in stage 2", "EWC in stage 2", "L2 to start in stage 3", "EWC in stage 3", "LoRA in stage 3",
    "replay of D_pre in stage 3", "replay of D_post in stage 3", "noise 0.03", "noise 0.1", "rounding 8", "rounding 4",
)  # fmt: skip
"""Of mitigation, as its verdicts name them."""
PLACED = ("uniform", "early", "late", "anneal")
CHOICES = ("replaced", "untied", "first", "constant")
STUDIES = {
    **{f"{study}-controlled": f"Figure {study.removeprefix('fig')}" for study, _ in FRONTIERS},
    "mitigation-controlled": "mitigation", "placement-controlled": "placement", "few-sensitivity": "the choices left open",
}  # fmt: skip
"""Study -> what the text calls it."""


def frontiers() -> list[Macro]:
    """All of them."""
    rows = (
        ("FrontierRows", "fig2-, fig4-, fig6- and fig7-controlled: a row per pair of methods", _frontier_rows),
        ("MeansRows", "mitigation-controlled: a row per means", _means_rows),
        ("PlacementRows", "placement-controlled: a row per placement", _placement_rows),
        ("ChoiceRows", "few-sensitivity: a row per choice", _choice_rows),
    )
    main: dict[str, Any] = {"study": "fig2-controlled", "primary": True}
    return [
        *(Macro(name=name, table=VERDICTS, column="value, low, high", reduction=how, value=value) for name, how, value in rows),
        Macro(name="LowRank", table=VERDICTS, column="status", reduction="C6, where it was judged", value=_low_rank),
        Macro(name="NotRun", table=VERDICTS, column="study", reduction="studies of which there is no verdict", value=_not_run),
        *(said(f"{word}Status", "lm", claim=claim, **main) for word, claim in (("FrontierRetained", "C3"), ("FrontierKept", "C4"))),
        *(
            said(f"{word}Status", "lm", claim="C5", study=f"{study}-controlled", primary=True)
            for word, study in (("FurtherOnTop", "fig4"), ("LessAlone", "fig6"))
        ),
        *(
            Macro(name=f"{word}Times", table=VERDICTS, column="value", digits=0, value=partial(_times, f"replay of {data} in stage 3"),
                  reduction=f"mitigation-controlled: replay of {data} in stage 3 minus none, unmixed, over mixed minus unmixed")
            for word, data in (("ReplayPre", "D_pre"), ("ReplayPost", "D_post"))
        ),
    ]  # fmt: skip


def _low_rank() -> Rows:
    """A sentence once C6 is judged."""
    asked: dict[str, Any] = {"claim": "C6", "study": "fig7-controlled", "primary": True}
    if not found("lm", **asked):
        return Rows("")
    status = verdict_row("lm", **asked)["status"]
    return Rows(f"That mixing helps under LoRA too, and full post-training does better than LoRA, is {status}. ")


def _not_run() -> Rows:
    """A sentence where a study has no verdict; nothing where all have one."""
    missing = [words for study, words in STUDIES.items() if not found("lm", study=study)]
    if not missing:
        return Rows("")
    listed = " and ".join(filter(None, (", ".join(missing[:-1]), missing[-1])))
    return Rows(rf"Without a verdict when this text was made: {listed}; studies and criteria are there. ")


def _lines(study: str, columns: int, lines: list[list[str]]) -> str:
    """Rows of one study; without its verdicts, its first cells and that there are none."""
    if not found("lm", study=study):
        lines = [[line[0], rf"\multicolumn{{{columns}}}{{l}}{{no verdict yet}}"] for line in lines]
    return "".join(" & ".join(line) + " \\\\\n" for line in lines)


def _together(parts: list[str]) -> Rows:
    return Rows("\\addlinespace\n".join(parts).rstrip("\n"))


def _frontier_rows() -> Rows:
    def numbers(study: str, words: str) -> list[str]:
        asked = (
            {"where": where, "effect": f"hypervolume, share of the box: {words}, {view}"}
            for view in VIEWS
            for where in (CHEMISTRY, ENGINEERING)
        )
        return [cell("lm", 2, study=f"{study}-controlled", **one) for one in asked]  # fmt: skip

    return _together([
        _lines(f"{study}-controlled", 4, [[_named(more, less), *numbers(study, f"{more} minus {less}")] for more, less in pairs])
        for study, pairs in FRONTIERS
    ])  # fmt: skip


def _named(more: str, less: str) -> str:
    def words(method: str) -> str:
        return method.replace("fft_", "full ").replace("lora_", "LoRA ").replace("+", " with ")

    return rf"{words(more)} $-$ {words(less)}"


def _means(name: str, words: str) -> dict[str, Any]:
    return {"study": "mitigation-controlled", "variant": name, "where": f"{CHEMISTRY}: {words}"}


def _means_rows() -> Rows:
    asked = ("{} minus none, unmixed", "{} minus none, mixed", "{}, mixed minus unmixed")
    lines = [[_means_named(name), *(cell("lm", **_means(name, one.format(name))) for one in asked)] for name in MEANS]
    return Rows(_lines("mitigation-controlled", 3, lines).rstrip("\n"))


def _means_named(name: str) -> str:
    named = name.replace("D_pre", r"$\Dpre$").replace("D_post", r"$\Dpost$").replace("stage ", "stage~")
    if name.startswith("noise"):
        return f"noise of {name.split()[1]} in the place of stage~3"
    return f"rounding to {name.split()[1]} bits in its place" if name.startswith("rounding") else named


def _times(name: str) -> float:
    """How many times what exposure alone keeps a means keeps without it."""
    own, exposure = (
        verdict_row("lm", **_means(one, words))["value"]
        for one, words in ((name, f"{name} minus none, unmixed"), (NONE, f"{NONE}, mixed minus unmixed"))
    )
    return float(own / exposure)


def _placement_rows() -> Rows:
    study = "placement-controlled"
    lines = [
        [name, *(cell("lm", study=study, variant=name, where=f"{CHEMISTRY}: {name} minus {base}") for base in ("no exposure", "uniform"))]
        for name in PLACED
    ]  # fmt: skip
    return Rows(_lines(study, 2, lines).rstrip("\n"))


def _choice_rows() -> Rows:
    study = "few-sensitivity"
    named = {
        "replaced": r"exposure replaces $\Dpre$", "untied": "embedding and head apart", "first": r"the same $\Dpost$ for all seeds",
        "constant": "stage~3 at a constant rate",
    }  # fmt: skip

    def numbers(name: str) -> list[str]:
        return [_with_status(study, f"{name}: {what} effect") for what in ("raw", "over the decoy")]

    return Rows(_lines(study, 2, [[named[name], *numbers(name)] for name in CHOICES]).rstrip("\n"))


def _with_status(study: str, where: str) -> str:
    shown, rows = cell("lm", study=study, where=where), found("lm", study=study, where=where)
    return f"{shown} {rows[0]['status']}" if rows else shown
