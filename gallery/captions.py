"""What every figure shows, in a sentence, and the claims that it bears on. A test fails where a figure has none."""

from typing import NamedTuple

from common.published import FRONTIER_FIGURES


class Caption(NamedTuple):
    """One sentence, without numbers: those are in the figure, and change with its tables."""

    finding: str
    claims: tuple[str, ...] = ()
    """Names in `common.claims`, whose standing is printed beside the figure."""


_PAPER = {2: ("C3", "C4"), 3: ("C1", "C2", "C8"), 4: ("C5",), 5: ("C5",), 6: ("C5",), 7: ("C6",)}
_BEST_LAMBDA = "Where the best exposure lies, and how deep its minimum is"

CAPTIONS: dict[str, Caption] = {
    "overlay": Caption(
        "The plain linear model follows Figure 3a only by letting the immediate loss fall too, and cannot dip in Figure 3b.",
        ("C1", "C2"),
    ),
    "trajectories": Caption(
        "Mixing teaches the specialised modes in stage 1, where fine-tuning on D_ft later leaves them alone.",
        ("T1", "T2"),
    ),
    "alpha_curves": Caption(
        "The four losses of the plain model against the mixture weight, at several fine-tuning times.", ("P2",)
    ),
    "phase_alpha": Caption("The retained loss of the plain model over mixture weight and fine-tuning time.", ("T3",)),
    "phase_beta": Caption(
        "By how much mixing lowers the retained loss, over what D_post alone asks for and the mixture weight.", ("T1",)
    ),
    "frontiers": Caption(
        "Mixed and unmixed sweeps of the linear models in both views of the paper's frontiers.", ("C3", "C4")
    ),
    "compute_matched": Caption(
        "One D_post budget split between stages 1 and 2: what each linear model makes of it.", ("C2", "P3")
    ),
    "window": Caption(
        "Mixing has learned the specialised modes and not yet the inconsistent ones only within a window of times.",
        ("P8",),
    ),
    "latent": Caption(
        "The benefit is latent where the two features can stand in for one another, and nowhere else.", ("P2",)
    ),
    "optimum_time": Caption(f"{_BEST_LAMBDA}, against fine-tuning time in each linear model.", ("P4",)),
    "optimum_map": Caption(f"{_BEST_LAMBDA}, over the step ratio of stages 1 and 2 and the fine-tuning time.", ("P3",)),
    "counterexamples": Caption(
        "Where the paper's appendix is false as printed: what holds beside what is printed.", ("T2", "T3")
    ),
    "sweep": Caption(
        "The losses of any sweep along the settings that were swept: here, how fine-tuning time and target move the plain model's.",
        ("P2",),
    ),
    "sweep_pairs": Caption(
        "The same sweep in pairs: which losses fall together, and which are traded against each other."
    ),
    "law_optimum": Caption(
        "Where the law of provenance S puts the best exposure, with the boundaries that are proved.", ("C2",)
    ),
    "fits": Caption(
        "Figure 3 and the best fit of each model and law: the plain model fails where the laws do not.", ("C1", "C2")
    ),
    "fit_residuals": Caption("What each fit of Figure 3 leaves over, on one scale.", ("C1", "C2")),
    "crosscheck": Caption(
        "A lambda study beside what theory and laws predict of the curve that each fit did not see.", ("C1", "C2")
    ),
    "figure01": Caption(
        "The three stages of both recipes, and after which of them each loss is measured (Figure 1 of the paper, redrawn)."
    ),
    "decoy_rates": Caption(
        "What D_post and its decoys change of the forgetting, at each stage-3 learning rate, seed by seed.", ("D1",)
    ),
    "controls": Caption(
        "In small language models D_post cannot be told from any of its decoys after fine-tuning.",
        ("D1", "C1"),
    ),
    "mechanisms": Caption(
        "What accounts of protection predict of four measurements, and what exposure and its shuffled decoy give.",
        ("E2", "E3", "E4", "E5"),
    ),
    "decoy_curves": Caption(
        "What exposure to D_post and to its decoys changes of each loss along lambda, beside the published Figure 3a.",
        ("D1", "C1"),
    ),
    "measured_figure03": Caption(
        "Both halves of Figure 3 in small language models, in a regime that meets the gates, with the shuffled decoy as a layer.",
        ("C1", "C2", "D1"),
    ),
    **{
        f"measured_figure{number:02d}": Caption(
            f"Pipelines of Figure {number} beside the same sweeps in small language models, in a regime that meets the gates.",
            _PAPER[number],
        )
        for number in (2, 4, 6, 7)
    },
    "measured_attainment": Caption(
        "Which pairs of losses more seeds of small language models reach with mixing than without, at the same settings.",
        ("C3",),
    ),
    "measured_hypervolume": Caption(
        "What mixing, dropout, replay and LoRA add to the dominated volume in small language models, pipeline by pipeline.",
        ("C3", "C4", "C5", "C6"),
    ),
    "measured_placement": Caption(
        "What the time of the exposure in stage 1 changes of the retained loss, at equal fine-tuning loss."
    ),
    "measured_mitigation": Caption(
        "What else keeps a capability in small language models, at equal fine-tuning loss, and whether exposure adds to it."
    ),
    "language_models": Caption(
        "Withdrawn: this testbed is not valid, and most of what it shows is the training of unseen tokens.",
        ("C1", "C2"),
    ),
    "language_models_replay": Caption(
        "Withdrawn with it: the same testbed, with replay of D_pre in stage 2.", ("C1", "C2")
    ),
    "language_effects": Caption(
        "Withdrawn with it: the effect beside the damage that stage 2 does to D_pre there.", ("C1",)
    ),
    **{
        f"simulated_figure{number:02d}": Caption(
            f"Pipelines of Figure {number} beside the same sweeps in small networks.", _PAPER[number]
        )
        for number in (2, 4, 6, 7)
    },
    "simulated_attainment": Caption(
        "Which pairs of losses more seeds reach with mixing than without, at the same settings: the difference of the attainment surfaces.",
        ("C3", "C4"),
    ),
    "simulated_hypervolume": Caption(
        "What each method adds to the dominated volume, network by network.", ("C3", "C5", "C6")
    ),
    "verify": Caption(
        "Gradient descent meets the closed form at first order in its step size: the closed form is right.", ("P1",)
    ),
    "simulated_misalignment": Caption(
        "How much of the gain is left when the tasks' directions are rotated against each other.", ("P13",)
    ),
    "simulated_noise": Caption(
        "The gain with SGD and Adam, and what moving the exposure does with noisy steps.", ("P1",)
    ),
    "simulated_finite_samples": Caption("With few unique samples the benefit stops at the noise floor.", ("P16",)),
    "simulated_width_and_init": Caption(
        "What width and initial scale change, and what fine-tuning brings back.", ("P9",)
    ),
    "simulated_depth": Caption("Deeper networks obey the same exposure law, with a sharper onset.", ("P14",)),
    "simulated_leakage": Caption(
        "Features that D_ft touches a little are eroded slowly, by the predicted law.", ("P6", "P7")
    ),
    "simulated_optimum": Caption(
        "The best exposure in networks trained by gradient descent, and the range of exposures that are as good.",
        ("P3", "P4"),
    ),
    "simulated_curves": Caption(
        "One D_post budget split between stages 1 and 2, in networks trained by gradient descent.", ("C2", "P3")
    ),
    "simulated_latent": Caption(
        "After a converged stage 2: flat and falling is a latent benefit, both flat is none.", ("P2", "P10")
    ),
    "simulated_redundant_features": Caption(
        "Networks with redundant features forget as the law Slin says once D_post is rare and they are linear in their weights, "
        "and have an interior best exposure at equal step sizes.",
        ("C2",),
    ),
    "simulated_mechanisms": Caption(
        "What each account of protection predicts of the experiments that tell them apart, and what a network that realises the account "
        "does: points in the shaded range agree.",
        ("E1", "E2", "E3", "E4", "E5"),
    ),
    "simulated_placement": Caption(
        "When in stage 1 the exposure comes, and how often a small pool is repeated.", ("P1", "P16")
    ),
    "verdicts": Caption(
        "Every prediction of the theory with its effect and interval over seeds: what met its criterion and what did not."
    ),
    "published_figure03": Caption("The paper's Figure 3 from its points.", _PAPER[3]),
    **{
        f"published_figure{number:02d}": Caption(
            f"The paper's Figure {number} from its points.", _PAPER.get(number, ("C7",))
        )
        for number in FRONTIER_FIGURES
    },
}
