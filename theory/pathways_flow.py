"""Gradient flow of two coupled pathways through one stage: a stiff pair of equations, for many settings at once.

A stage is a quadratic loss on the strengths (a, b), given by its `Pull`; a `Field` says how a network moves under it, in
two coordinates that stay smooth from the tiny start to convergence (logarithms, an angle). Where the strengths have
settled the flow is stiff, where they grow it is slow and long, so a fixed step or an explicit method would waste almost
all its work. The method here is linearly implicit Euler, extrapolated to order ten (Deuflhard; Hairer and Wanner,
Solving ODEs II, IV.9): L-stable for any step, no table of coefficients, exact for whatever linear combination of the
coordinates is conserved, and every fixed point of the flow is a fixed point of the method to rounding.

The same lines run in numpy, where settings that have arrived leave the batch, and in JAX, where derivatives of any order
pass through `flow` in forward mode, and first derivatives in reverse mode too.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Array, Float, Number, is_jax, namespace
from common.settings import WrongUse

TOLERANCE = 5e-11
"""Largest local error of a step in either coordinate (for logarithms: of a strength, relative). Our choice."""

ROUNDING = 1e-3
"""Coordinates beyond 1/ROUNDING (strengths below e^-1000) are held to `TOLERANCE` of so many times their size: extrapolation makes rounding
of the increments a few hundred times larger."""

COLUMNS = 10
"""Order of the extrapolation; 10 is fastest at the tolerance above (8 takes a quarter longer)."""

LANES = 16384
"""Settings that numpy integrates together: enough to amortise Python, few enough for the cache (4096: a fifth slower)."""

MANY, FEW = 256, 5
"""JAX goes on with a FEW-th of at least MANY settings once no more are under way: most take ten steps, the slowest of hundreds thirty."""

ATTEMPTS = 5000
"""Steps after which a setting is given up, about five seconds; ordinary ones need about fifty, a fit of Figure 3 more than a thousand."""


TIME = 2
"""Place of the length of a stage among what the end of a flow depends on: x, y, time, and the pull."""


class Pull(NamedTuple):
    """The effective loss of a stage on theta = (a, b): half its gradient is `G = M theta - r`, M symmetric.

    Every field has, or broadcasts to, the shape of the settings.
    """

    m_aa: Number
    m_ab: Number
    m_bb: Number
    r_a: Number
    r_b: Number
    decay: Number
    """Weight decay mu: penalty mu (|W1|^2 + |W2|^2), which acts on weights and so is not part of M."""


class Field(NamedTuple):
    """A vector field in two coordinates and its Jacobian, both as functions of `(x, y, pull)`."""

    velocity: Callable[[Array, Array, Pull], tuple[Array, Array]]
    jacobian: Callable[[Array, Array, Pull], tuple[Array, Array, Array, Array]]
    """`(dfx/dx, dfx/dy, dfy/dx, dfy/dy)`."""


def attempt(field: Field, x: Array, y: Array, pull: Pull, step: Array) -> tuple[Array, Array, Array, Array]:
    """One extrapolated step: the increments of x and y, and the estimates of their errors.

    Column n takes n linearly implicit Euler steps of length step/n, all with the Jacobian at the start; Aitken-Neville
    extrapolation to step length 0 raises the order by one per column. Increments are extrapolated, not values: rounding is
    then relative to how far the step goes.
    """
    fx, fy = field.velocity(x, y, pull)
    jxx, jxy, jyx, jyy = field.jacobian(x, y, pull)

    def column(n: Any) -> tuple[Array, Array]:
        h = step / n
        hxy, hyx, pivot_x, pivot_y = h * jxy, h * jyx, 1 - h * jxx, 1 - h * jyy
        scale = h / (pivot_x * pivot_y - hxy * hyx)
        xx, xy, yx, yy = scale * pivot_y, scale * hxy, scale * hyx, scale * pivot_x

        def euler(so_far: tuple[Array, Array]) -> tuple[Array, Array]:
            gx, gy = field.velocity(x + so_far[0], y + so_far[1], pull)
            return so_far[0] + (xx * gx + xy * gy), so_far[1] + (yx * gx + yy * gy)

        end: tuple[Array, Array] = _repeat(euler, (xx * fx + xy * fy, yx * fx + yy * fy), n - 1)
        return end

    row_x: list[Array] = []
    row_y: list[Array] = []
    for dx, dy in _each(column, is_jax(x, y)):
        row_x, row_y = _extrapolate(row_x, dx), _extrapolate(row_y, dy)
    return row_x[-1], row_y[-1], row_x[-1] - row_x[-2], row_y[-1] - row_y[-2]


def _each(column: Callable[[Any], tuple[Array, Array]], traced: bool) -> list[tuple[Array, Array]]:
    """All columns; as a loop in JAX, because ten of them written out take twice as long to compile."""
    if not traced:
        return [column(n) for n in range(1, COLUMNS + 1)]
    from jax import lax

    all_x, all_y = lax.map(column, np.arange(1, COLUMNS + 1))
    return [(all_x[i], all_y[i]) for i in range(COLUMNS)]


def _repeat(function: Callable[[Any], Any], value: Any, times: Any) -> Any:
    """`function` applied `times` times."""
    if is_jax(*value):
        from jax import lax

        return lax.fori_loop(0, times, lambda _, so_far: function(so_far), value)
    for _ in range(times):
        value = function(value)
    return value


def _extrapolate(previous: list[Array], value: Array) -> list[Array]:
    """The next row of the Aitken-Neville table for step lengths 1, 1/2, 1/3, ..."""
    row = [value]
    n = len(previous) + 1
    for m, above in enumerate(previous, start=1):
        row.append(row[-1] + (row[-1] - above) * ((n - m) / m))
    return row


def _in_units(xp: Any, error: Array, at: Array, moved: Array) -> Array:
    """The size of an error; in units of its rounding where a coordinate is so large that the tolerance would be less than that."""
    return xp.abs(error) / xp.maximum(1.0, ROUNDING * xp.maximum(xp.abs(at), xp.abs(moved)))


def _next_length(xp: Any, error: Array) -> Array:
    """Factor for the step length after a step with this error (in units of the tolerance); a failed one has error nan."""
    factor = 0.9 * xp.maximum(error, 1e-12) ** (-1 / COLUMNS)
    return xp.where(error < xp.inf, xp.clip(factor, 0.2, 8.0), 0.2)


def _first_length(xp: Any, field: Field, x: Array, y: Array, pull: Pull, time: Array) -> Array:
    """A first step, as a fraction of the stage, in which the coordinates move by at most about one."""
    fx, fy = field.velocity(x, y, pull)
    return 1 / (1 + time * (xp.abs(fx) + xp.abs(fy)))


def flow(field: Field, x: Number, y: Number, pull: Pull, time: Number) -> tuple[Array, Array]:
    """Integrate `dx/dt, dy/dt = field.velocity` over a stage, for every setting of the broadcast shape.

    Args:
        field: the network.
        x: first coordinate at the start.
        y: second coordinate at the start.
        pull: the stage's effective loss.
        time: flow time of the stage, >= 0.

    Returns:
        Both coordinates at the end, in the broadcast shape; about ten digits (`TOLERANCE` per step). Raises `WrongUse`
        where a setting needs more than `ATTEMPTS` steps (JAX: gives nan there).
    """
    xp = namespace(x, y, time, *pull)
    arrays = xp.broadcast_arrays(*(xp.asarray(value, dtype=float) for value in (x, y, time, *pull)))
    if is_jax(*arrays):
        out: tuple[Array, Array] = _flow_jax(field, *arrays)
        return out
    shape = arrays[0].shape
    flat = [np.ascontiguousarray(array).reshape(-1) for array in arrays]
    end = np.empty((2, flat[0].size))
    for first in range(0, end.shape[1], LANES):
        some = slice(first, first + LANES)
        end[:, some] = _flow_numpy(field, *(array[some] for array in flat))
    return end[0].reshape(shape), end[1].reshape(shape)


def _flow_numpy(field: Field, x: Array, y: Array, time: Array, *entries: Array) -> Float[np.ndarray, "2 lanes"]:
    """Step all settings together, each with its own step length, and drop from the batch those that have arrived."""
    out = np.empty((2, x.size))
    pull = Pull(*entries)
    lanes, left = np.arange(x.size), np.ones(x.size)
    with np.errstate(all="ignore"):  # a step that is too long overflows; it is refused and shortened
        length = _first_length(np, field, x, y, pull, time)
        for _ in range(ATTEMPTS):
            length = np.minimum(length, left)
            dx, dy, ex, ey = attempt(field, x, y, pull, length * time)
            error = np.maximum(_in_units(np, ex, x, dx), _in_units(np, ey, y, dy)) / TOLERANCE
            good = error <= 1
            x, y, left = np.where(good, x + dx, x), np.where(good, y + dy, y), np.where(good, left - length, left)
            length = length * _next_length(np, error)
            arrived = left <= 0
            if arrived.any():
                out[0, lanes[arrived]], out[1, lanes[arrived]] = x[arrived], y[arrived]
                if arrived.all():
                    return out
                on = ~arrived
                lanes, left, length, x, y, time = lanes[on], left[on], length[on], x[on], y[on], time[on]
                pull = Pull(*(np.asarray(entry)[on] for entry in pull))
    first = ", ".join(f"{name} = {np.asarray(entry).flat[0]:g}" for name, entry in pull._asdict().items())
    raise WrongUse(
        f"The flow of two pathways needs more than {ATTEMPTS} steps for time = {time[0]:g} with {first}. "
        "Choose targets and times of ordinary size."
    )


def _flow_jax(field: Field, *inputs: Array) -> tuple[Array, Array]:
    """The same steps in JAX; few settings stay in the batch to the end. In float32 the tolerance is only 1e-3."""
    tolerance = max(TOLERANCE, 1e4 * float(np.finfo(inputs[0].dtype).eps))
    end: tuple[Array, Array] = _end_point(field, tolerance)(*inputs)
    return end


@cache
def _end_point(field: Field, tolerance: float) -> Callable[..., tuple[Array, Array]]:
    """The compiled map from start, time and pull to the end of a stage, with a derivative rule.

    The loop itself has only forward derivatives. The rule computes the Jacobian of the end point by those, one for each input that varies,
    and applies it to the tangents, which is linear, so that reverse mode can transpose it.
    """
    import jax
    from jax import lax
    from jax import numpy as jnp
    from jax.custom_derivatives import SymbolicZero

    def integrate(*given: Array) -> tuple[Array, Array]:
        x, y, time, *entries = (array.reshape(-1) for array in given)
        start = lax.stop_gradient(_first_length(jnp, field, x, y, Pull(*entries), time))
        state = (x, y, jnp.ones_like(x), start, jnp.zeros((), int))
        few = x.size // FEW if x.size >= MANY else 0
        x, y, left, length, count = stepped(state, (time, *entries), few)
        if few:
            slowest = jnp.argsort(-lax.stop_gradient(left))[:few]
            state = (x[slowest], y[slowest], left[slowest], length[slowest], count)
            ended = stepped(state, tuple(array[slowest] for array in (time, *entries)), 0)
            x, y, left = (whole.at[slowest].set(part) for whole, part in zip((x, y, left), ended[:3], strict=True))
        shape = given[0].shape
        return jnp.where(left > 0, jnp.nan, x).reshape(shape), jnp.where(left > 0, jnp.nan, y).reshape(shape)

    def stepped(state: tuple[Array, ...], constants: tuple[Array, ...], enough: int) -> tuple[Array, ...]:
        """Steps until at most `enough` settings are under way."""
        time, *entries = constants
        pull = Pull(*entries)

        def underway(carry: tuple[Array, ...]) -> Array:
            return ((carry[2] > 0).sum() > enough) & (carry[4] < ATTEMPTS)

        def advance(carry: tuple[Array, ...]) -> tuple[Array, ...]:
            x, y, left, length, count = carry
            length = jnp.minimum(length, left)
            dx, dy, ex, ey = attempt(field, x, y, pull, length * time)
            error = lax.stop_gradient(jnp.maximum(_in_units(jnp, ex, x, dx), _in_units(jnp, ey, y, dy)) / tolerance)
            good = (error <= 1) & (left > 0)
            x, y = jnp.where(good, x + dx, x), jnp.where(good, y + dy, y)
            left = jnp.where(good, left - length, left)
            return x, y, left, jnp.where(left > 0, length * _next_length(jnp, error), 0.0), count + 1

        ended: tuple[Array, ...] = lax.while_loop(underway, advance, state)
        return ended

    @jax.custom_jvp
    def end(*values: Array) -> tuple[Array, Array]:
        return integrate(*values)

    def rule(values: tuple[Array, ...], tangents: tuple[Any, ...]) -> Any:
        # constants have tangents that are zero by construction (a schedule without decay, M_aa = 1), and the flow is autonomous, so that
        # the derivative by the length of the stage is the velocity at its end: of nine directions five or six are integrated
        moving = [i for i, tangent in enumerate(tangents) if not isinstance(tangent, SymbolicZero)]
        carried = [i for i in moving if i != TIME]
        if carried:
            which = jnp.eye(len(values), dtype=values[0].dtype)[np.array(carried)]

            def along(direction: Array) -> Any:
                return jax.jvp(
                    integrate, values, tuple(d * jnp.ones_like(v) for d, v in zip(direction, values, strict=True))
                )

            (x, y), slopes = jax.vmap(along, out_axes=((None, None), (0, 0)))(which)
            moved = jnp.stack(jnp.broadcast_arrays(*(tangents[i] for i in carried)))
            dx, dy = ((slope * moved).sum(0) for slope in slopes)
        else:
            x, y = integrate(*values)
            dx, dy = jnp.zeros_like(x), jnp.zeros_like(y)
        if TIME in moving:
            fx, fy = field.velocity(x, y, Pull(*values[TIME + 1 :]))
            dx, dy = dx + fx * tangents[TIME], dy + fy * tangents[TIME]
        return (x, y), (dx, dy)

    end.defjvp(rule, symbolic_zeros=True)
    compiled: Callable[..., tuple[Array, Array]] = jax.jit(end)
    return compiled


def _separate_velocity(x: Array, y: Array, pull: Pull) -> tuple[Array, Array]:
    xp = namespace(x, y)
    a, b = xp.exp(x), xp.exp(y)
    fx = 4 * (pull.r_a - pull.decay - pull.m_aa * a - pull.m_ab * b)
    return fx, 4 * (pull.r_b - pull.decay - pull.m_ab * a - pull.m_bb * b)


def _separate_jacobian(x: Array, y: Array, pull: Pull) -> tuple[Array, Array, Array, Array]:
    xp = namespace(x, y)
    a, b = -4 * xp.exp(x), -4 * xp.exp(y)
    return pull.m_aa * a, pull.m_ab * b, pull.m_ab * a, pull.m_bb * b


SEPARATE = Field(_separate_velocity, _separate_jacobian)
"""Two balanced units, one a pathway: x = ln a, y = ln b, `dx/dt = -4 (G_a + mu)`, `dy/dt = -4 (G_b + mu)`."""


def _shared_velocity(x: Array, y: Array, pull: Pull) -> tuple[Array, Array]:
    xp = namespace(x, y)
    v, half = xp.exp(x), 1 / (1 + y * y)
    c, s = 2 * half - 1, 2 * y * half
    g_a = v * (pull.m_aa * c + pull.m_ab * s) - pull.r_a
    g_b = v * (pull.m_ab * c + pull.m_bb * s) - pull.r_b
    return -4 * (c * g_a + s * g_b + pull.decay), (s * g_a - c * g_b) / half


def _shared_jacobian(x: Array, y: Array, pull: Pull) -> tuple[Array, Array, Array, Array]:
    xp = namespace(x, y)
    v, half = xp.exp(x), 1 / (1 + y * y)
    c, s = 2 * half - 1, 2 * y * half
    along = v * (pull.m_aa * c * c + 2 * pull.m_ab * c * s + pull.m_bb * s * s)
    across = v * ((pull.m_bb - pull.m_aa) * c * s + pull.m_ab * (c * c - s * s))
    aside = v * (pull.m_aa * s * s - 2 * pull.m_ab * c * s + pull.m_bb * c * c)
    outward = along - pull.r_a * c - pull.r_b * s
    turning = across + pull.r_a * s - pull.r_b * c
    return -4 * along, -8 * half * (turning + across), -across / half, 2 * (outward - aside - y * turning)


SHARED = Field(_shared_velocity, _shared_jacobian)
"""One balanced hidden direction for both: x = ln |theta|, y = tan(phi/2) (cheaper than phi). See `theory.pathways_shared`."""
