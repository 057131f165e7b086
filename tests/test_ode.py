# SPDX-License-Identifier: Apache-2.0
"""Runge-Kutta methods: their orders, adaptive steps, and what they tell the field."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from manybody.ode import Integrator, Slope, StepTooSmall, solve, tableau_of

ORDERS = {"euler": 1, "heun": 2, "rk4": 4, "rk23": 3, "rk45": 5, "dop853": 8}


class Spin:
    """dy/dt = -i (cos(t) X + Z) y for a spin, next to a real decay; counts its evaluations in the memory."""

    def __call__(self, t, y, memory):
        up, down = y["spin"]
        spin = jnp.array([-1j * (up + math.cos(t) * down), -1j * (math.cos(t) * up - down)])
        return Slope({"spin": spin, "decay": -y["decay"]}, (*memory, t))

    def norm(self, change, y, at):
        return float(jnp.linalg.norm(change["spin"]) + jnp.linalg.norm(change["decay"]))


START = {"spin": jnp.array([1.0, 0.5j]), "decay": jnp.array([2.0, -1.0])}


def exact(t):
    """By steps that are far too small."""
    return solve(Spin(), START, [0.0, t], Integrator("dop853", dt=1 / 32))[-1]


def distance(a, b):
    return max(float(jnp.max(jnp.abs(a[name] - b[name]))) for name in a)


@pytest.mark.parametrize("method", ORDERS)
def test_orders(method):
    """The slope of log(error) against log(dt), to 0.15; of order 8 it goes up and down by 0.2."""
    wanted = exact(1.0)
    np.testing.assert_allclose(wanted["decay"], np.exp(-1.0) * np.array([2.0, -1.0]), rtol=1e-11)
    largest = {"euler": 1 / 64, "dop853": 1 / 2}.get(method, 1 / 8)
    sizes = np.array([largest, largest / 2])
    errors = [distance(solve(Spin(), START, [0.0, 1.0], Integrator(method, dt))[-1], wanted) for dt in sizes]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(ORDERS[method], abs=0.3 if method == "dop853" else 0.15)
    assert tableau_of(method).order == ORDERS[method]


@pytest.mark.parametrize("method", ["rk23", "rk45", "dop853"])
def test_error_estimates(method):
    """The estimate is of the order of the lower method, and not far from its error."""
    field, steps = Spin(), []
    for dt in (0.1, 0.05) if method != "dop853" else (0.8, 0.4):
        first = field(0.0, START, ())
        steps.append(Integrator(method, dt, tolerance=1.0).step(field, 0.0, START, first, dt, 1.0).error)
    assert math.log2(steps[0] / steps[1]) == pytest.approx(ORDERS[method], abs=0.3)


@pytest.mark.parametrize("method", ["rk23", "rk45", "dop853"])
@pytest.mark.parametrize("tolerance", [1e-4, 1e-7])
def test_adaptive_steps(method, tolerance):
    integrator = Integrator(method, dt=2.0, tolerance=tolerance)
    error = distance(solve(Spin(), START, [0.0, 1.0, 3.0], integrator)[-1], exact(3.0))
    assert 1e-3 * tolerance < error < 100 * tolerance


def test_steps_end_where_they_should():
    integrator, field = Integrator("heun", dt=0.3), Spin()
    step = integrator.step(field, 0.9, START, field(0.9, START, ()), 0.3, 1.0)
    assert (step.t, step.dt) == (1.0, 0.3)  # cut off, and not remembered
    step = integrator.step(field, 0.1, START, field(0.1, START, ()), 0.3, 1.0)
    assert (step.t, step.dt) == (pytest.approx(0.4), 0.3)
    # Ten steps of 0.1 are not eleven.
    assert len(memory_after(Integrator("euler", dt=0.1), [0.0, 1.0])) == 10


def memory_after(integrator, times):
    """When the field was evaluated."""
    seen = []

    class Watched(Spin):
        def __call__(self, t, y, memory):
            assert memory == tuple(seen)  # what was handed on, also after a step that was rejected
            seen.append(t)
            return super().__call__(t, y, memory)

    solve(Watched(), START, times, integrator)
    return seen


def test_slopes_are_used_again():
    """The last one of a step is the first one of the next for the embedded pairs, and after a rejected step."""
    assert len(memory_after(Integrator("rk45", dt=0.25), [0.0, 0.5, 1.0])) == 1 + 4 * 6
    assert len(memory_after(Integrator("rk23", dt=0.25), [0.0, 0.5, 1.0])) == 1 + 4 * 3
    assert len(memory_after(Integrator("dop853", dt=0.5), [0.0, 0.5, 1.0])) == 1 + 2 * 12
    assert len(memory_after(Integrator("rk4", dt=0.25), [0.0, 0.5, 1.0])) == 4 * 4
    times = memory_after(Integrator("rk23", dt=4.0, tolerance=1e-3), [0.0, 4.0])
    assert times.count(0.0) == 1
    assert max(b - a for a, b in itertools.pairwise(sorted(times))) < 2.0


class OnHost(Spin):
    """The same for arrays of NumPy."""

    def __call__(self, t, y, memory):
        up, down = y["spin"]
        spin = np.array([-1j * (up + math.cos(t) * down), -1j * (math.cos(t) * up - down)])
        return Slope({"spin": spin, "decay": -y["decay"]}, memory)


@pytest.mark.parametrize("method", ["rk45", "dop853"])
def test_arrays_of_numpy_stay_there(method):
    integrator = Integrator(method, 0.1, tolerance=1e-6)
    found = solve(OnHost(), {name: np.asarray(x) for name, x in START.items()}, [0.0, 2.0], integrator)[-1]
    expected = solve(Spin(), START, [0.0, 2.0], integrator)[-1]
    for name, x in found.items():
        assert isinstance(x, np.ndarray)
        np.testing.assert_allclose(x, expected[name], rtol=0, atol=1e-13)


def test_max_dt():
    few, many = (
        len(memory_after(Integrator("rk23", 0.1, tolerance=1.0, max_dt=m), [0.0, 3.0])) for m in (math.inf, 0.1)
    )
    assert many >= 3 * 30
    assert few < many / 2


def test_a_step_driven_to_zero():
    class Noisy(Spin):
        def norm(self, change, y, at):
            return 1.0

    with pytest.raises(StepTooSmall, match=r"at time 0\.5.*error is 1, the tolerance 0\.001.*more samples") as caught:
        field = Noisy()
        Integrator("rk23", 0.1, tolerance=1e-3, min_dt=1e-3).step(field, 0.5, START, field(0.5, START, ()), 0.1, 1.0)
    assert caught.value.t == 0.5


def test_errors_that_are_not_finite_shrink_the_step():
    class Wild(Spin):
        calls = itertools.count()

        def norm(self, change, y, at):
            return math.nan if next(self.calls) == 0 else 1e-9

    field = Wild()
    step = Integrator("rk23", 0.1, tolerance=1e-3).step(field, 0.0, START, field(0.0, START, ()), 0.1, 1.0)
    assert step.t == pytest.approx(0.02)
    assert step.n_rejected == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rk5", 0.1), "rk45"),
        (("heun", 0.0), "`dt`"),
        (("heun", 0.1, 1e-3), "`tolerance` must be left out"),
        (("rk23", 0.1, -1.0), "`tolerance`"),
        (("rk23", 0.1, None, 0.0), "`min_dt`"),
        (("rk23", 0.1, None, 1e-8, -1.0), "`max_dt`"),
    ],
)
def test_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Integrator(*arguments)
