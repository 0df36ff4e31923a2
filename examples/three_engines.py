# %% [markdown]
# # One recipe in three engines
# A recipe says how a capability is acquired. Here one pass over D_post is shared between stages 1 and 2, forty percent of it early.
# Every engine turns the recipe into its own settings; the dose of D_post per stage is the same in all of them.

# %%
import numpy as np

from common.recipe import Recipe
from lm_experiments.ledger import ledger
from lm_experiments.plan import Corpus
from lm_experiments.realise import Problem
from lm_experiments.realise import realise as in_plans
from sims import Setup, simulate
from sims.realise import realise as in_runs
from theory import Budget, predict
from theory.realise import realise as in_flow_time

recipe = Recipe(exposure=0.4, split="compute-matched")
print("dose, passes over D_post:", recipe.dose)

# %% [markdown]
# **Theory**: flow times and a mixture weight, then four losses in closed form.

# %%
budget = Budget(pre_time=20.0, post_time=2.0)
stages = in_flow_time(recipe, budget)
closed = predict(stages | {"t_ft": 1.0})
print("theory:", {name: round(float(value), 4) for name, value in stages.items()})

# %% [markdown]
# **Simulation**: the same settings, for networks of matrices under gradient descent. Twice the steps halve the distance to the closed form.

# %%
print(f"{'':<22}{'loss_im':>10}{'loss_ret':>10}{'loss_ft':>10}{'loss_pre':>10}")
print(f"{'closed form':<22}" + "".join(f"{float(loss):10.4f}" for loss in closed))
for steps in (200, 400):
    setup, values = in_runs(recipe, budget, Setup(steps=(steps, steps, steps)))
    run = simulate(setup, values, t_ft=1.0)
    print(f"{f'network, {steps} steps':<22}" + "".join(f"{float(loss):10.4f}" for loss in run.losses))
away = max(abs(float(a) - float(b)) for a, b in zip(run.losses, closed, strict=True))
print(f"largest distance from the closed form: {away:.4f}")

# %% [markdown]
# **Language model**: data plans, one per stage, and a ledger of what each has seen. Nothing is trained here; that is
# `python -m lm_experiments run`.

# %%
windows = {"pre": 960, "post": 200, "ft": 64}
problem = Problem(
    corpora={name: Corpus(store=name, windows=count, count=count) for name, count in windows.items()},
    batches={"pre": 8, "post": 4, "ft": 8},
    length=128,
    seed=0,
    other=Corpus(store="other", windows=200, count=200),
)
for stage, plan in in_plans(recipe, problem).plans.items():
    seen = sum(entry.seen for entry in ledger(plan, plan.steps).entries if entry.store == "post")
    print(f"language model, stage {stage}: {plan.steps} steps, {seen / windows['post']:.2f} passes over D_post")

# %% [markdown]
# **Along lambda**: the same call with an array. In the plain model at equal steps the best exposure is 0, as its order theorem says.

# %%
exposure = np.linspace(0, 1, 11)
curve = predict(in_flow_time(recipe, budget, varied={"exposure": exposure}) | {"t_ft": 1.0})
best = exposure[np.argmin(curve.loss_ret)]
print(f"plain model: loss_ret is lowest at lambda = {best:g}")
