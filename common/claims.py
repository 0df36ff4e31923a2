"""What is judged: the predictions of the theory (P1 to P16), the claims of the paper (C1 to C8) and its theorems (T1 to T3)."""

PREDICTIONS: dict[str, str] = {
    "P1": "plain: moving D_post exposure between stages leaves the specialised block unchanged",
    "P2": "plain: no latent benefit; redundant pathways: loss_im flat, loss_ret falling",
    "P3": "compute-matched: interior optimum only at step ratio > 1 (plain), at equal steps (redundant pathways)",
    "P4": "redundant pathways: the best exposure rises with fine-tuning length",
    "P5": "plain: replay, dropout, decay never lower loss_ret; redundant pathways: replay multiplies with exposure",
    "P6": "forgetting of the shared block is exponential at rate 4 sigma_ft; leakage erodes as (1 + 2x)/(1 + x)^2",
    "P7": "decay or dropout during fine-tuning, and misaligned weights, erode protected features",
    "P8": "there is a mixing window; its price in L_pre is alpha^2 gap^2 (plain), 0 (redundant pathways)",
    "P9": "exposure needed: sharp onset with separate units, linear onset with a shared one",
    "P10": "D_pre damage after stage 2: g^2 unmixed and 0 mixed (redundant pathways), equal (plain)",
    "P11": "at matched loss_im > 0 mixing loses for short and wins for long fine-tuning (plain)",
    "P12": "low rank r in [k, 2k): unmixed loses (2k - r) beta^2 in loss_im; the gap closes at 2k",
    "P13": "the gain is unchanged up to misalignment .3 and two thirds gone at 1",
    "P14": "depth: same exposure law, sharper onset, escape time a0^-(1 - 2/L)",
    "P15": "sweeping t_ft, loss_ft is nearly equal while loss_ret shifts by k [(beta - b2u)^2 - (beta - b2m)^2]",
    "P16": "with N unique samples the benefit saturates at the noise floor n tau^2 k/(N - k - 1)",
}
"""The theory's predictions for simulations."""
CLAIMS: dict[str, str] = {
    "C1": "loss_im is nearly flat in lambda while loss_ret falls with it: the benefit is latent (Figure 3a)",
    "C2": "compute-matched: loss_im is best at lambda = 0, loss_ret at an interior lambda (Figure 3b)",
    "C3": "mixing shifts the frontier in (loss_ft, loss_ret) in all four pipelines (Figure 2)",
    "C4": "mixing shifts the frontier in (loss_ret, loss_pre) too: post-training then costs less D_pre loss (Figure 2)",
    "C5": "dropout and replay in stage 2 shift it further on top of mixing, and less than mixing when alone (Figures 4 to 6)",
    "C6": "the benefit holds under LoRA; full fine-tuning beats LoRA at matched settings (Figure 7)",
    "C7": "the same at 1B parameters, except instruction to chemistry in (loss_ft, loss_ret) (Figures 8 to 12)",
    "C8": "loss_im does not predict loss_ret across recipes",
}
"""The paper's empirical claims."""
THEOREMS: dict[str, str] = {
    "T1": "only early exposure learns the specialised features; a small alpha suffices when beta is large (Theorem 5.1)",
    "T2": "post-training uses specialised features after mixing and moves inconsistent ones without (Theorem 5.2)",
    "T3": "Delta_unmixed >= Delta_mixed: fine-tuning erases what sits in shared features (Theorem 5.3)",
}
"""The paper's theorems."""
CONTROLS: dict[str, str] = {
    "D1": "exposure to D_post lowers loss_ret by more than exposure to any decoy of it: shuffled, its bigrams, other text of its domain",
}
"""What a claim about exposure has to withstand: controls that the paper does not have."""
EXPERIMENTS: dict[str, str] = {
    "E1": "exposure to half of D_post protects that half more than the other: so S and redundant pathways; flatness protects both alike",
    "E2": "at the same distance from theta_pre, and with as much or more care in stage 2, exposure still protects: so S and redundant "
    "pathways; if the gain vanishes it was displacement",
    "E3": "after stage 2 the exposed model stands random noise on its weights better: so flatness; S and redundant pathways expect "
    "no change",
    "E4": "less of D_ft's gradient falls, in the exposed model, into directions that only D_post uses: so S and redundant pathways; "
    "flatness expects no change",
    "E5": "after stage 3 the exposed model relearns D_post faster: so pathways that are masked; S and flatness expect no change",
}
"""Experiments that tell the accounts of the effect apart."""
UNPREDICTED = "-"
"""In place of a claim: a finding that none of them is about."""
STATEMENTS = (
    PREDICTIONS | CLAIMS | THEOREMS | CONTROLS | EXPERIMENTS | {UNPREDICTED: "a finding that no prediction is about"}
)
"""Name -> what it says."""
