"""Single lines that other tests would let pass if they were wrong."""

import itertools

import numpy as np
import pytest

from theory.low_rank import adapted_modes
from theory.pathways import DEFAULTS, Strengths, post_training_pull
from theory.two_layer import Drive, State


def test_adapter_directions_go_by_what_they_lower_the_loss_by() -> None:
    """c d^2 = force^2/c, not |force|: of two modes the one with the larger force gains less where its variance is four times."""
    strength, variance, force = np.zeros(2), np.array([1.0, 4.0]), np.array([1.0, 1.5])
    taken = adapted_modes(State(strength, strength), Drive(variance, force, 0.0), 1, np.ones(2))
    np.testing.assert_array_equal(taken, [1.0, 0.0])


@pytest.mark.parametrize("replay", [0.0, 0.3])
def test_dropout_of_a_pathway_costs_only_where_its_input_occurs(replay: float) -> None:
    """The curvature of the loss in (a, b), units dropped one by one: D_pre never shows the specialised input."""
    p, chi = 0.2, 0.6
    seen = (1 - replay) * np.array([[1, chi], [chi, 1]]) + replay * np.array([[1.0, 0.0], [0.0, 0.0]])
    curvature = np.zeros((2, 2))
    for kept in itertools.product((0.0, 1.0), repeat=2):
        mask = np.array(kept) / (1 - p)
        curvature += np.prod([1 - p if k else p for k in kept]) * seen * np.outer(mask, mask)
    values = DEFAULTS | {"dropout": p, "replay": replay, "correlation": chi}
    pull = post_training_pull(values, Strengths(1.0, 0.0), shared=False)
    np.testing.assert_allclose([[pull.m_aa, pull.m_ab], [pull.m_ab, pull.m_bb]], curvature, rtol=1e-12)
