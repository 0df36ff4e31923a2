"""What arXiv 2605.12705 leaves unstated, in one register: every choice, the settings that it fixes, and its reason.

The studies at paper scale take these values from here and from nowhere else. To choose otherwise, give the setting on the command line
(`--stage1.lr 3e-3`), or values for an axis (`--axis stage3.lr=1e-5,1e-4`): the results table has a column for each, so that a row says
what was chosen.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Choice(NamedTuple):
    """A choice of ours where the paper is silent."""

    about: str
    """What is unstated."""
    values: Mapping[str, Any]
    """Setting, by its dotted name -> value, or the values of an axis over it."""
    reason: str


UNSTATED: dict[str, Choice] = {
    "model-135m": Choice(
        "configuration of the 135M model; tied or untied",
        {"scale": "135m"},
        "the paper says SmolLM2-style: the public SmolLM2-135M, which is tied (`--axis scale=135m,135m-untied` compares). At 1B tying is "
        "no choice: 1.03B parameters are the untied shape, the tied one has 0.94B",
    ),
    "mixing": Choice(
        "whether exposure is added to D_pre or takes the place of a part of it",
        {"recipe.mixing": "add"},
        "the size of D_pre is given once, for all lambda; only the compute-matched study is said to hold a budget fixed. The control is "
        "`replace` (study decoys)",
    ),
    "nesting": Choice(
        "which text makes up the smaller sizes of D_post",
        {"tokens_post": (30_000_000, 150_000_000, 300_000_000)},
        "a smaller one is a part of a larger, so that sizes differ in nothing else; another seed draws other text",
    ),
    "stage-1-135m": Choice(
        "optimiser of stage 1 at 135M, and its weight decay at 1B",
        {
            "stage1.lr": 5e-4, "stage1.min_lr": 5e-5, "stage1.warmup": 1_000, "stage1.batch": 512, "stage1.weight_decay": 0.1,
            "stage1.eval_every": 1_000, "stage1.seed": 42,
        },
        "Table 6, printed for 1B, is the only stage 1 that the paper prints; the weight decay is that of stage 2",
    ),
    "stopping-135m": Choice(
        "evaluations and patience of early stopping at 135M",
        {"stage2.eval_every": 100, "stage2.patience": 3, "stage2.seed": 40},
        "Table 8, printed for 1B",
    ),
    "tokens-post": Choice(
        "size of D_post in the sweeps", {"tokens_post": 300_000_000}, "Table 3 and Table 8: 0.3B, 300M a pass"
    ),
    "lambda-mixed": Choice(
        "lambda of the mixed models in the sweeps", {"recipe.exposure": (0.0, 1.0)}, "Table 10 has lambda 0 and 1"
    ),
    "fig3-stage-2": Choice(
        "the fixed stage 2 of Figure 3a",
        {"stage2.lr": 5e-4, "stage2.batch": 480, "recipe.dropout": 0.0},
        "the middle of the rates and batches of Table 7, without an intervention",
    ),
    "fig3b-stage-2": Choice(
        "the fixed stage 2 of Figure 3b",
        {"stage2.lr": 5e-4, "stage2.batch": 192, "stage2.warmup": 3},
        "the smallest batch of Table 7; a quarter of 30M is 38 steps of it, less than the 500 warm-up steps of Table 7, so the warm-up is "
        "a tenth of that, in all cells alike",
    ),
    "stage-3-rates": Choice(
        "learning rates of stage 3 in the sweeps",
        {"stage3.lr": (2e-5, 5e-5, 1e-4, 5e-4)},
        "the plotted points come in fours (60 = 15 stage-2 settings x 4); 5e-5 is the rate of Figure 3",
    ),
    "stage-3-schedule": Choice(
        "batch, warm-up, decay and seed of stage 3",
        {
            "stage3.batch": 192, "stage3.warmup": 100, "stage3.floor": 0.1, "stage3.weight_decay": 0.1, "stage3.seed": 40,
        },
        "a user's fine-tuning: the smallest batch of Table 7, a tenth of its 1,000 steps as warm-up, a cosine to a tenth of the peak as in "
        "Table 6 (an absolute minimum of 5e-5 would be the peak itself)",
    ),
    "minimum-rate": Choice(
        "what a minimum learning rate of 5e-5 means below a peak of 5e-5 (Table 8)",
        {"stage2.min_lr": 5e-5},
        "as printed: the cosine then rises; the schedule warns",
    ),
    "replay-dropout": Choice(
        "whether the replay sweep at 135M has dropout too",
        {"recipe.dropout": (0.0, 0.02, 0.05)},
        "Figure 5b plots 144 replay points, three times the 48 without",
    ),
    "replay-source": Choice(
        "what replay draws: new text of C4, or text of stage 1",
        {"recipe.replay_from": "pre"},
        "the D_pre of stage 1, in another order",
    ),
    "dropout-sites": Choice(
        "where the four sites of dropout are",
        {"recipe.dropout": (0.02, 0.05)},
        "as in GPT-2, with the gated activations of the MLP as the fourth (`lm_experiments.dropout`); study dropout-sites has each alone",
    ),
    "sources": Choice(
        "repositories and revisions of the corpora, and which FLAN",
        {"pre": "c4", "post": "musicpile", "ft": "chempile"},
        "inferred: allenai/c4 (en), m-a-p/MusicPile, jablonkagroup/chempile-education, Open-Orca/FLAN; revisions are yours to give: "
        "--corpora musicpile=musicpile@REVISION, or =FOLDER, or a file: corpus",
    ),
    "measured": Choice(
        "windows of the stopping and reporting sets",
        {"stop_windows": 512, "report_windows": 2_048},
        "2M tokens per loss, as many as can be measured often",
    ),
}  # fmt: skip


def chosen(*names: str) -> dict[str, Any]:
    """The values of some choices, by setting."""
    return {setting: value for name in names for setting, value in UNSTATED[name].values.items()}
