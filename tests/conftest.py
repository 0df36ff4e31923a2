"""Shapes and types are checked at run time in every test; matplotlib draws to memory; nothing reads the user's settings."""

import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")
if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # one worker per core: threads of linear algebra would only wait for one another
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

CACHE = Path(__file__).resolve().parents[1] / ".pytest_cache" / "jax"
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(CACHE)
)  # shared by workers, the commands they start and later runs
os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(2**30))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

from jaxtyping import install_import_hook  # noqa: E402

import tests.checker  # noqa: E402, F401 (the hook finds it by name)

_HOOK = install_import_hook(["common", "theory", "sims", "lm_experiments", "figures", "paper"], "tests.checker.check")

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


@pytest.fixture
def unchecked():
    """No run-time checks of shapes and types, which would take most of the time of a fit; other tests call the same functions with them."""
    from jaxtyping import config

    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """The file of a theory study by name, all made once for all workers, by the command: without the type checker that takes a quarter."""
    from filelock import FileLock

    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "studies"
    folder.mkdir(exist_ok=True)

    def made(name):
        path = folder / f"{name}.parquet"
        with FileLock(folder / "lock"):
            if not path.exists():
                command = [sys.executable, "-m", "theory", "study", "--out", str(folder)]
                subprocess.run(command, check=True, capture_output=True)
        return path

    return made
