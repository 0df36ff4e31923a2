# %% [markdown]
# # A new intervention: weight decay in stage 2, through theory and simulation
# The question: does weight decay during post-training help retention, alone or with early exposure? The schedule of the linear model has it
# as `decay_post`; docs/extending.md shows how such a setting becomes a field of every recipe.

# %%
import numpy as np

from sims import Setup, simulate
from theory import predict

decay = np.array([0.0, 0.02, 0.05, 0.1])
alpha = np.array([[0.0], [0.2]])
settings = {"alpha": alpha, "decay_post": decay, "t_ft": 1.0}

# %% [markdown]
# **Theory**: all settings in one call, from the closed form.

# %%
closed = predict(settings)
for row, name in enumerate(("unmixed", "mixed")):
    print(f"{name:<9}loss_ret at decay {decay.tolist()}: {np.round(closed.loss_ret[row], 4).tolist()}")

# %% [markdown]
# **Simulation**: the same settings, aligned start. The two should agree as far as steps are small.

# %%
run = simulate(Setup(steps=(400, 200, 100)), settings)
away = np.abs(run.losses.loss_ret - closed.loss_ret).max()
print(f"networks: all converged: {bool(run.converged.all())}; at most {away:.4f} from the closed form")

# %% [markdown]
# **A random start**, where the closed form assumes too much: eight seeds, paired.

# %%
seeds = np.arange(8).reshape(-1, 1, 1)
random = simulate(Setup(steps=(400, 200, 100), init="random", width=12), settings, seed=seeds)
change = random.losses.loss_ret[..., -1] - random.losses.loss_ret[..., 0]
for row, name in enumerate(("unmixed", "mixed")):
    print(
        f"{name:<9}decay {decay[-1]:g} changes loss_ret by {change[:, row].mean():+.4f} in networks with a random start"
    )
rise = closed.loss_ret[:, -1] - closed.loss_ret[:, 0]
print(f"closed form: {rise[0]:+.4f} unmixed, {rise[1]:+.4f} mixed")

# %% [markdown]
# In the plain model decay never lowers loss_ret here, which is prediction P5 (docs/claims.md). For redundant pathways ask
# `python -m theory sweep decay_post=0,0.1 --model rp alpha=0,0.2`.
