"""Settings: ranges, the hash, and what is not hashed."""

from dataclasses import dataclass

import numpy as np
import pytest

from common.recipe import Recipe
from common.settings import Settings, WrongUse, config_hash, setting
from theory import Blocks, Schedule


@dataclass(frozen=True, kw_only=True)
class Example(Settings):
    rate: float = setting(0.5, low=0, high=1)
    corpora: tuple[str, ...] = ()
    workers: int = setting(1, low=1, science=False)


@dataclass(frozen=True, kw_only=True)
class Reordered(Settings):
    corpora: tuple[str, ...] = ()
    rate: float = setting(0.5, low=0, high=1)


def test_science_is_hashed_and_the_rest_is_not():
    assert config_hash(Example()) == config_hash(Example(workers=8))
    assert config_hash(Example()) != config_hash(Example(rate=0.25))


def test_the_order_of_lists_and_of_fields_counts():
    assert config_hash(Example(corpora=("a", "b"))) != config_hash(Example(corpora=("b", "a")))
    assert config_hash({"a": 1, "b": 2}) != config_hash({"b": 2, "a": 1})
    Reordered.__name__ = "Example"
    assert config_hash(Example(rate=0.1, corpora=("a",))) != config_hash(Reordered(rate=0.1, corpora=("a",)))


def test_a_setting_added_later_and_off_by_default_keeps_the_stored_names():
    @dataclass(frozen=True, kw_only=True)
    class Later(Example):
        ewc: float = setting(0.0, low=0)

    Later.__name__ = "Example"
    for values in ({}, {"rate": 0.25}, {"corpora": ("a", "b")}):
        assert config_hash(Example(**values)) == config_hash(Later(**values))
        assert config_hash([{"nested": Example(**values)}]) == config_hash([{"nested": Later(**values)}])
    assert config_hash(Example()) != config_hash(Later(ewc=1.0))
    assert config_hash(Recipe(exposure=0.5), "stored") == "e339ff84ccd8bf2b", (
        "finished stages have such names: keep the format"
    )


def test_arrays_hash_as_lists():
    assert config_hash(np.array([1.0, 2.0])) == config_hash([1.0, 2.0])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Schedule(alpha=1.5), r"alpha = 1\.5 is outside its range \[0, 1\]"),
        (lambda: Schedule(t_pre=-1), "t_pre = -1"),
        (lambda: Schedule(t_ft=float("nan")), "t_ft = nan"),
        (lambda: Blocks(init_scale=0), r"init_scale = 0 is outside its range \[1e-75, inf\)"),
        (lambda: Blocks(n=3, k=2), "n = 3 holds fewer than 2k = 4"),
        (lambda: Blocks(depth=1), "depth = 1"),
        (lambda: Recipe(exposure=-0.1), r"exposure = -0\.1"),
        (lambda: Recipe(mixing="blend"), "mixing = 'blend'"),
    ],
)
def test_wrong_values_name_setting_value_and_range(make, says):
    if says.startswith("mixing"):
        with pytest.raises(Exception, match="blend"):  # refused by the run-time type check or by the recipe itself
            make()
        return
    with pytest.raises(WrongUse, match=says):
        make()
