"""Compiled programs are dropped after every module, or they would fill gigabytes."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def _drop_compiled_programs():
    yield
    jax.clear_caches()
