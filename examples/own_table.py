# %% [markdown]
# # A lambda study of your own against the theory
# Any table with the columns exposure, loss_im and loss_ret will do; tokens_post, split and seed say more. Here is a CSV of two
# seeds, written on the spot so that this page needs nothing else.

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from theory.crosscheck.effect import effects
from theory.crosscheck.judge import verdicts
from theory.crosscheck.outside import held_out
from theory.crosscheck.reading import read_study
from theory.recommend.choice import Goal, recommend
from theory.recommend.members import published
from theory.recommend.plan import Plan

draw = np.random.default_rng(0)
lines = ["exposure,loss_im,loss_ret,tokens_post,split,seed"]
for split, gain in (("independent", 0.10), ("compute-matched", 0.04)):
    for exposure in (0.0, 0.25, 0.5, 0.75, 1.0):
        for seed in range(2):
            noise = draw.normal(0, 0.003, 2)
            im = 1.80 + (0.08 * exposure if split == "compute-matched" else 0.0) + noise[0]
            ret = im + 0.38 - gain * (1 - np.exp(-4 * exposure)) + noise[1]
            lines.append(f"{exposure},{im:.4f},{ret:.4f},100000000,{split},{seed}")

# %% [markdown]
# **Read it.** What is wrong with a table is said with the row and the column.

# %%
with TemporaryDirectory() as folder:
    path = Path(folder) / "mine.csv"
    path.write_text("\n".join(lines) + "\n")
    study = read_study(path)
for effect in effects(study):
    print(f"{effect.curve.name}: loss_im {effect.im}, loss_ret {effect.ret}, best lambda {effect.best:g}")

# %% [markdown]
# **What theory and laws predict of it**, each with one lambda left out, beside constant forgetting.

# %%
for found in held_out(study):
    if found.error is not None:
        print(f"{found.model:<8}{found.how}: {found.error:.4f} nats rms")

# %% [markdown]
# **Verdicts.** Two seeds decide nothing: at least five are asked for.

# %%
print({(one.claim, one.status) for one in verdicts(study, effects(study))})

# %% [markdown]
# **Which exposure to choose**: from the published points alone, and for the size of this study.

# %%
plan = Plan(tokens_post=1e8, split="compute-matched")
advice = recommend(published(plan), plan, Goal())
print(f"from the published study: {advice.sentence} (best lambda in [{advice.low:.2f}, {advice.high:.2f}] with 90 %)")

# %% [markdown]
# The same on the command line: `python -m theory crosscheck mine.csv` and
# `python -m theory recommend mine.csv --tokens-post 1e8 --split compute-matched`.
