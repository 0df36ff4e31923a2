"""Fixtures of the language-model tests."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """Sums in one order: bits do not depend on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
