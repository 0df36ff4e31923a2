"""One stage of one mode: closed form against integration, limits, orders of convergence, derivatives."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.settings import WrongUse
from theory import evolve, learning_time
from theory.modes import Drive, State, advance, balanced

from .reference import FullMatrix, integrate

positive = st.floats(0.05, 3.0)
starts = st.floats(-6, 0.5).map(lambda exponent: 10.0**exponent)
times = st.floats(0.0, 6.0)


@given(starts, st.one_of(st.just(0.0), positive), st.one_of(st.just(0.0), positive), times, st.floats(0, 2))
def test_balanced_agrees_with_integration(a0, c, s, t, mu):
    expected = integrate(lambda a: 4 * a * (c * s - mu - c * a), a0, t)
    assert evolve(a0, variance=c, sigma=s, time=t, weight_decay=mu) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(st.integers(2, 6), starts, st.one_of(st.just(0.0), positive), st.one_of(st.just(0.0), positive), times)
def test_any_depth_agrees_with_integration(depth, a0, c, s, t):
    expected = integrate(lambda a: 2 * depth * c * np.abs(a) ** (2 - 2 / depth) * (s - a), a0, t)
    assert evolve(a0, variance=c, sigma=s, time=t, depth=depth) == pytest.approx(expected, abs=1e-8)


@given(st.floats(-2, 2), st.floats(-2, 2), st.one_of(st.just(0.0), positive), st.one_of(st.just(0.0), positive), times)
def test_unbalanced_agrees_with_integration(a0, kappa, c, s, t):
    if abs(kappa) < 1e-3:
        kappa = 1e-3
    expected = integrate(lambda a: 2 * c * (s - a) * np.sqrt(kappa**2 + 4 * a**2), a0, t)
    assert evolve(a0, variance=c, sigma=s, time=t, imbalance=kappa) == pytest.approx(expected, abs=1e-8)


def test_deep_formula_at_depth_two_is_the_logistic():
    a0, t = np.geomspace(1e-8, 5, 40)[:, None], np.linspace(0, 4, 30)
    state, drive = State(a0, 1.3 - a0), Drive(0.7, 0.7 * 1.3, 0.0)
    near = advance(state, drive, t, depth=2)
    assert np.allclose(
        near.strength, evolve(a0, variance=0.7, sigma=1.3, time=t, imbalance=np.array(1e-200)), rtol=1e-9
    )


@pytest.mark.parametrize("depth", [2, 3, 4, 5])
def test_limits(depth):
    a0 = np.array([1e-9, 1e-3, 0.5, 1.0, 4.0])

    def after(**given):
        return evolve(a0, **{"variance": 1.0, "sigma": 1.0, "time": 1.0, "depth": depth} | given)

    assert np.array_equal(after(time=0.0), a0) or np.allclose(after(time=0.0), a0, rtol=1e-14)
    assert np.array_equal(after(variance=0.0), a0)
    assert np.allclose(after(time=1e9), 1.0, rtol=1e-12)
    dead = advance(State(np.array(0.0), np.array(1.0)), Drive(1.0, 1.0, 0.0), 1e6, depth=depth)
    assert (dead.strength, dead.shortfall) == (0.0, 1.0)
    q = 2 - 2 / depth
    assert np.allclose(after(sigma=0.0), (a0**-q + 2 * depth * q) ** (-1 / q), rtol=1e-12)


def test_near_zero_rates_do_not_cancel():
    # s = 0 is the limit of small s, and x = 4 c s t ~ 1e-9 must not lose digits
    exact = evolve(0.3, variance=1.0, sigma=0.0, time=2.0)
    for s in (1e-6, 1e-9, 1e-12):
        assert evolve(0.3, variance=1.0, sigma=s, time=2.0) == pytest.approx(exact, rel=20 * s + 1e-15)


@pytest.mark.parametrize("depth", [3, 4, 6])
def test_far_above_a_small_target(depth):
    # s/a from 1e-2 to 1e-40: close to the decay to zero, with a correction of relative size s/a that must not be noise
    a0, t, q = 0.3, 2.0, 2 - 2 / depth
    zero = evolve(a0, variance=1.0, sigma=0.0, time=t, depth=depth)
    for s in 10.0 ** -np.arange(4, 41, 4):
        excess = evolve(a0, variance=1.0, sigma=s, time=t, depth=depth) / zero - 1
        assert excess == pytest.approx(0, abs=20 * s + 2e-15)
        assert excess > -2e-15
    assert zero == pytest.approx((a0**-q + 2 * depth * q * t) ** (-1 / q), rel=1e-14)


def test_no_overflow_in_either_direction():
    assert evolve(1e-250, variance=1.0, sigma=2.0, time=1e6) == 2.0
    assert 0 <= evolve(5.0, variance=1.0, sigma=1.0, time=1e6, weight_decay=3.0) < 1e-300
    assert np.isfinite(evolve(np.array([1e-12, 1.0]), variance=1.0, sigma=3.0, time=1e8, depth=5)).all()


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_shortfall_keeps_its_digits_near_convergence(depth):
    # at t = 20 the strength equals its target in floating point; the shortfall goes on falling at the linearised rate
    state, drive = State(np.array(0.4), np.array(0.9)), Drive(1.0, 1.3, 0.0)
    early, late, later = (advance(state, drive, t, depth=depth) for t in (1.0, 20.0, 30.0))
    assert early.shortfall == pytest.approx(1.3 - early.strength, rel=1e-9)
    assert later.strength == 1.3
    assert 0 < later.shortfall < 1e-60
    rate = 2 * depth * 1.3 ** (2 - 2 / depth)
    assert np.log(late.shortfall / later.shortfall) == pytest.approx(10 * rate, rel=1e-12)
    with mpmath.workdps(60):
        a, s = mpmath.mpf("0.4"), mpmath.mpf("1.3")
        logistic = s - s / (1 + (s / a - 1) * mpmath.exp(-4 * s * 20))
    if depth == 2:
        assert float(late.shortfall) == pytest.approx(float(logistic), rel=1e-12)


def test_balanced_keeps_its_digits_against_forty():
    # relative 3e-12 over growth and decay, rates from 1e-9 to 40; an integrator would add errors of its own
    generator = np.random.default_rng(5)
    for _ in range(300):
        a0, c, g = (
            10 ** generator.uniform(-9, 0.7),
            generator.uniform(0, 3),
            generator.normal() * 10 ** generator.uniform(-9, 0.5),
        )
        t = generator.exponential(3.0)
        s, mu = (g / c, 0.0) if g > 0 else (0.0, -g)
        got = evolve(a0, variance=c, sigma=s, time=t, weight_decay=mu)
        with mpmath.workdps(40):
            x = 4 * mpmath.mpf(g) * mpmath.mpf(t)
            phi = -mpmath.expm1(-x) / x
            exact = a0 / (mpmath.exp(-x) + 4 * mpmath.mpf(c) * t * a0 * phi)
            assert abs(got / exact - 1) < 3e-12


def test_time_formula_inverts_the_solution():
    t = learning_time(1e-6, 0.7, variance=0.6, sigma=0.9)
    assert evolve(1e-6, variance=0.6, sigma=0.9, time=t) == pytest.approx(0.7, rel=1e-12)


def test_non_expansive_above_half_the_target():
    a = np.linspace(0.5, 3, 200)
    for t in (0.1, 1.0, 10.0):
        gaps = np.diff(evolve(a, variance=1.0, sigma=1.0, time=t)) / np.diff(a)
        assert (gaps <= 1 + 1e-9).all()
        assert (gaps >= -1e-12).all()


@settings(max_examples=25)
@given(starts, positive, positive, st.floats(0.01, 3.0), st.sampled_from([2, 3, 4]))
def test_derivatives_in_jax_match_finite_differences(a0, c, s, t, depth):
    # against central differences of the numpy path, at the accuracy that rounding leaves them
    def after(x):
        return evolve(x[0], variance=x[1], sigma=x[2], time=x[3], depth=depth)

    x = np.array([a0, c, s, t])
    got = np.asarray(jax.grad(lambda v: after(v))(jnp.asarray(x)))
    for i in range(4):
        h = 1e-5 * x[i]
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        slope = (after(up) - after(down)) / (2 * h)
        assert got[i] == pytest.approx(slope, rel=2e-4, abs=1e-6 * max(1.0, abs(after(x)) / x[i]))


def test_derivatives_are_finite_at_the_corners():
    for at in ((0.0, 1.0, 1.0, 1.0), (0.3, 0.0, 1.0, 1.0), (0.3, 1.0, 0.0, 1.0), (0.3, 1.0, 1.0, 0.0)):
        got = jax.grad(lambda v: evolve(v[0], variance=v[1], sigma=v[2], time=v[3]))(jnp.asarray(at))
        assert np.isfinite(np.asarray(got)).all(), at
    # d/ds at s = 0 of a/(1 + 4 c a t) extended to s: -x/2 terms must be right, by a one-sided difference
    slope = jax.grad(lambda s: evolve(0.3, variance=1.0, sigma=s, time=1.0))(0.0)
    assert slope == pytest.approx(
        (evolve(0.3, variance=1.0, sigma=1e-6, time=1.0) - evolve(0.3, variance=1.0, sigma=0.0, time=1.0)) / 1e-6,
        rel=1e-5,
    )


def test_numpy_and_jax_agree():
    generator = np.random.default_rng(3)
    a, c, s, t = generator.uniform(0.01, 2, (4, 500))
    for more in ({}, {"depth": 4}, {"imbalance": 0.3}, {"weight_decay": 0.5}):
        one = evolve(a, variance=c, sigma=s, time=t, **more)
        two = evolve(
            *map(jnp.asarray, (a,)), variance=jnp.asarray(c), sigma=jnp.asarray(s), time=jnp.asarray(t), **more
        )
        assert np.allclose(one, np.asarray(two), rtol=1e-11, atol=1e-14), more


def test_gradient_descent_approaches_the_flow_at_first_order():
    sigma, variance, start = np.array([1.4, 0.9, 0.3]), np.array([1.0, 0.4, 1.0]), np.array([0.05, 0.02, 0.5])
    exact = evolve(start, variance=variance, sigma=sigma, time=1.2)
    rates = 0.02 / 2.0 ** np.arange(4)
    errors = [
        np.abs(FullMatrix(start, seed=1).step(variance, sigma, rate, round(1.2 / rate)).strength - exact).max()
        for rate in rates
    ]
    order = np.polyfit(np.log(rates), np.log(errors), 1)[0]
    assert order == pytest.approx(1.0, abs=0.05)


def test_decaying_map_equals_the_plain_one_where_both_apply():
    state, drive = State(np.array([0.1, 0.7]), np.array([0.9, 0.3])), Drive(0.8, 0.8, 0.0)
    for plain, general in zip(
        balanced(state, drive, 1.5)[:2], balanced(state, drive, 1.5, decaying=True)[:2], strict=True
    ):
        assert np.allclose(plain, general, rtol=1e-15)


def test_no_closed_form_is_said_so():
    with pytest.raises(WrongUse, match="decay_pre"):
        evolve(0.1, variance=1.0, sigma=1.0, time=1.0, weight_decay=0.1, depth=3)
    with pytest.raises(WrongUse, match="imbalance"):
        evolve(0.1, variance=1.0, sigma=1.0, time=1.0, imbalance=0.1, depth=3)
