"""The linear model's problem: which features each task uses, and how the network starts.

    block         modes    input variance (pre, post, ft)    target (pre, post, ft)
    invariant     n - 2k   1, 1, 1                           sigma_inv everywhere
    inconsistent  k        1, 1, 1                           sigma_pre, sigma_post, sigma_ft
    specialised   k        0, 1, leakage                     -, beta, beta_ft

`Blocks` holds these few numbers; `Modes` the per-mode arrays that every engine of the theory works on, so a problem
that does not come in blocks is as good as one that does. Source: arXiv 2605.12705, Definitions C.2 to C.4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Array, Float, Number, lead_with_modes
from common.settings import Settings, WrongUse, check, setting
from theory.two_layer import SMALLEST_INIT

TASKS = ("pre", "post", "ft")
BLOCKS = ("invariant", "inconsistent", "specialised")


@dataclass(frozen=True, kw_only=True)
class Blocks(Settings):
    """A problem in three blocks. Assumptions of the paper that it breaks are reported, not forbidden.

    Example:
        >>> from dataclasses import asdict
        >>> from theory import predict
        >>> round(float(predict(asdict(Blocks(leakage=0.1))).loss_ret), 4)
        0.93
    """

    n: int = setting(6, low=1)
    """Number of modes (input and output dimension)."""
    k: int = setting(1, low=0)
    """Inconsistent modes, and as many specialised ones; n >= 2k."""
    sigma_inv: float = setting(3.0, low=0)
    """Target singular value of the invariant modes, the same for all tasks."""
    sigma_pre: float = setting(0.4, low=0)
    """Target of the inconsistent modes under D_pre."""
    sigma_post: float = setting(1.4, low=0)
    """Target of the inconsistent modes under D_post."""
    sigma_ft: float = setting(0.4, low=0)
    """Target of the inconsistent modes under D_ft."""
    beta: float = setting(0.9, low=0)
    """Target of the specialised modes under D_post."""
    beta_ft: float = setting(0.0, low=0)
    """Target of the specialised modes under D_ft; matters only with leakage."""
    leakage: float = setting(0.0, low=0)
    """Input variance of the specialised modes under D_ft (the paper: 0)."""
    init_scale: float = setting(1e-3, low=SMALLEST_INIT)
    """Initial scale delta; every mode starts at strength delta squared, whatever the depth."""
    imbalance: float = setting(0.0)
    """Initial w1^2 - w2^2 of every mode; 0 is balanced. Depth 2 only."""
    depth: int = setting(2, low=2, high=64)
    """Number of layers."""

    def __post_init__(self) -> None:
        """Check ranges and block sizes. Raises `WrongUse`."""
        super().__post_init__()
        check_block_sizes(self.n, self.k)


def check_block_sizes(n: Number, k: Number) -> None:
    """Raise `WrongUse` where the k inconsistent and k specialised modes do not fit into n."""
    if np.any(np.asarray(n) < 2 * np.asarray(k)):
        raise WrongUse(f"n = {np.min(n):g} holds fewer than 2k = {2 * np.max(k):g} modes. Raise n or lower k.")


class Modes(NamedTuple):
    """A problem mode by mode; every array has the modes leading and broadcasts against the settings behind them.

    Example:
        >>> from theory.stages import DEFAULTS
        >>> modes = modes_from_blocks(DEFAULTS)
        >>> modes._replace(count=modes.count * 2).count.tolist()
        [8.0, 2.0, 2.0]
    """

    variance: tuple[Float[Array, "modes ..."], Float[Array, "modes ..."], Float[Array, "modes ..."]]
    """Input variance c under pre, post, ft."""
    sigma: tuple[Float[Array, "modes ..."], Float[Array, "modes ..."], Float[Array, "modes ..."]]
    """Target singular value s under pre, post, ft."""
    count: Float[Array, "modes ..."]
    """How many equal modes a row stands for."""
    strength: Float[Array, "modes ..."]
    """Initial strength."""
    imbalance: Number = 0.0
    """Initial w1^2 - w2^2; the plain number 0 selects the balanced solution."""
    depth: int = 2
    """Number of layers."""


def modes_from_blocks(values: Mapping[str, Any], ndim: int = 0) -> Modes:
    """The three block modes as arrays.

    Args:
        values: every field of `Blocks`, as numbers or as arrays that broadcast against `ndim` axes of settings;
            `depth` a plain int.
        ndim: number of axes of settings.

    Example:
        >>> from theory.stages import DEFAULTS
        >>> modes_from_blocks(DEFAULTS).sigma[1].tolist()
        [3.0, 1.4, 0.9]
    """
    v, one = values, 1.0

    def rows(*three: Number) -> Array:
        return lead_with_modes(list(three), ndim)

    variance = rows(one, one, 0.0), rows(one, one, one), rows(one, one, v["leakage"])
    sigma = (
        rows(v["sigma_inv"], v["sigma_pre"], 0.0),
        rows(v["sigma_inv"], v["sigma_post"], v["beta"]),
        rows(v["sigma_inv"], v["sigma_ft"], v["beta_ft"]),
    )
    count = rows(v["n"] - 2 * v["k"], v["k"], v["k"])
    strength = lead_with_modes([v["init_scale"] ** 2], ndim)
    return Modes(variance, sigma, count, strength, v["imbalance"], v["depth"])


def modes_from_json(document: Any) -> Modes:
    """A per-mode problem from plain data, checked. Raises `WrongUse`.

    Args:
        document: `variance` and `sigma`, each a mapping from `pre`, `post`, `ft` to a list with one number per mode;
            optional lists `count` (default 1), `strength` (default 1e-6) and `imbalance` (default 0); optional `depth`.

    Example:
        >>> one = {"pre": [1, 0], "post": [1, 1], "ft": [1, 0]}
        >>> modes_from_json({"variance": one, "sigma": one}).count.tolist()
        [1.0, 1.0]
    """
    if not isinstance(document, Mapping):
        raise WrongUse(
            "modes must be a JSON object with variance and sigma. See `python -m theory solve --help` for the form."
        )
    known = {"variance", "sigma", "count", "strength", "imbalance", "depth"}
    if unknown := sorted(set(document) - known):
        raise WrongUse(f"modes.{unknown[0]} is not a field of a per-mode problem. Use {', '.join(sorted(known))}.")
    tables: dict[str, tuple[Array, Array, Array]] = {}
    sizes = set()
    for name in ("variance", "sigma"):
        table = document.get(name)
        if not isinstance(table, Mapping) or set(table) != set(TASKS):
            raise WrongUse(f"modes.{name} must map each of pre, post and ft to a list with one number per mode.")
        pre, post, ft = (_numbers(f"modes.{name}.{task}", table[task], low=0.0) for task in TASKS)
        tables[name] = pre, post, ft
        sizes |= {len(row) for row in tables[name]}
    if len(sizes) != 1 or 0 in sizes:
        raise WrongUse(
            f"The lists of modes have lengths {sorted(sizes)}. Give every list one number per mode, at least one."
        )
    size = sizes.pop()

    def optional(name: str, default: float, low: float) -> Array:
        row = _numbers(f"modes.{name}", document.get(name, [default] * size), low=low)
        if len(row) != size:
            raise WrongUse(f"modes.{name} has {len(row)} entries for {size} modes. Give one number per mode.")
        return row

    imbalance: Number = optional("imbalance", 0.0, -np.inf)
    depth = document.get("depth", 2)
    if not isinstance(depth, int) or isinstance(depth, bool) or not 2 <= depth <= 64:
        raise WrongUse(
            f"modes.depth = {str(depth)[:40]} is not a number of layers. Choose a whole number from 2 to 64."
        )
    return Modes(
        tables["variance"],
        tables["sigma"],
        optional("count", 1.0, 0.0),
        optional("strength", 1e-6, -np.inf if np.any(imbalance) else 0.0),
        imbalance if np.any(imbalance) else 0.0,
        depth,
    )


def _numbers(name: str, row: Any, low: float) -> Float[np.ndarray, "modes"]:
    numbers = isinstance(row, list | tuple | np.ndarray) and all(
        isinstance(entry, int | float) and not isinstance(entry, bool) for entry in row
    )
    if not numbers:
        raise WrongUse(
            f"{name} = {str(row)[:60]} is not a flat list of numbers. Give one number per mode, e.g. [3.0, 1.4, 0.9]."
        )
    check(name, row, {"low": low, "high": np.inf, "open_low": False})
    return np.asarray(row, dtype=float)
