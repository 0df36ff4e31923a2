"""Shapes and types are checked at run time in every test; matplotlib draws to memory; nothing reads the user's settings."""

import os

os.environ.setdefault("MPLBACKEND", "agg")
if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # one worker per core: threads of linear algebra would only wait for one another
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

from jaxtyping import install_import_hook

import tests.checker  # noqa: F401 (the hook finds it by name)

_HOOK = install_import_hook(["common", "theory", "sims", "lm_experiments", "figures"], "tests.checker.check")

import jax  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "allow")
jax.config.update("jax_cpu_enable_async_dispatch", False)  # as `sims.run` does, too late once another test used JAX
settings.register_profile("house", deadline=None, max_examples=60, derandomize=True, print_blob=True)
settings.load_profile("house")


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """An empty working directory, so that a command that writes somewhere by default cannot touch the checkout."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
