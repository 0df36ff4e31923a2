"""Laws: accounts of a lambda study with one learning curve and no network, the benchmark that a mechanistic model must beat.

forms      the laws by name, as settings and as the terms that a fit solves for      `FORMS`, `Form`, `LawSchedule`
optimum    where loss_ret of S has its minimum in lambda, in closed form              `best_exposure`, `interior`

They are models like the linear ones (`theory.models.MODELS`): `predict(model="S", ...)`, `sweep`, `optimum` and `fit` know them.
"""
