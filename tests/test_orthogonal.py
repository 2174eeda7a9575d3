"""The orthogonal trick: what its directions are, and what it gains and does not gain."""

import itertools

import numpy as np
import pytest

from aopnp import Dense, MeanSquaredError, Streams
from aopnp.estimators import Step
from aopnp.training.directions import ForwardPass, Orthogonal, estimate_gradient
from aopnp.training.directions.flat import columns, join_parameters
from aopnp.training.directions.strategy import gradients

N, DRAWS = 12, 20_000
STREAMS = Streams(0, range(DRAWS))


class Linear:
    """A loss that is linear in the parameters, so that its gradient g does not change from step to
    step."""

    def __init__(self, g, streams, num_dir=1, dtype=np.float64):
        self.network, self.loss, self.streams, self.num_dir = (
            Dense(3, 3),
            MeanSquaredError(),
            streams,
            num_dir,
        )
        self.network.initialise(Streams(0, [0] * streams.replicas), dtype)
        self.network.forward(np.eye(3, dtype=dtype)[None])
        # A bias and three rows: dloss/dW = G and dloss/db its sum over the rows.
        self.loss.gradient = np.broadcast_to(g, (streams.replicas, 3, 3)).astype(dtype)
        self.g = np.concatenate([g.T.ravel(), g.sum(0)])

    def forward_pass(self, index):
        return ForwardPass(
            self.network, self.loss, Step(index, training=True), self.streams, self.num_dir
        )

    def run(self, strategy, steps):
        """Return the directions [R, N, m] and the estimates [R, N] of every step, and the state."""
        state, directions, estimates = None, [], []
        for index in range(steps):
            forward_pass = self.forward_pass(index)
            state = strategy.begin(forward_pass, state)
            drawn = columns(forward_pass, strategy.sample(forward_pass, range(self.num_dir), state))
            directions.append(np.concatenate(drawn, -2))
            state, _ = estimate_gradient(strategy, forward_pass, state)
            estimates.append(
                join_parameters(
                    columns(forward_pass, [each[None] for each in gradients(forward_pass)])
                )[..., 0]
            )
        return directions, estimates, state


G = np.random.default_rng(3).normal(size=(3, 3))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("window", "num_dir", "within"),
    [(1, 1, False), (3, 1, False), (2, 3, False), (2, 3, True), (11, 1, False)],
)
def test_directions_are_orthogonal_to_those_of_the_window(dtype, window, num_dir, within):
    strategy, problem = (
        Orthogonal(window, within=within),
        Linear(G, Streams(0, [0, 1]), num_dir, dtype),
    )
    directions, _, state = problem.run(strategy, 30)
    for t in range(1, 30):
        v = directions[t].astype(float)
        assert directions[t].dtype == dtype
        np.testing.assert_allclose((v * v).sum(1), N, rtol=1e-5)
        for old in directions[max(0, t - window) : t]:
            q = np.linalg.qr(old.astype(float))[0]
            assert np.linalg.norm(q.swapaxes(1, 2) @ v, axis=1).max() <= 1e-6 * np.sqrt(N)
        if within:
            np.testing.assert_allclose(
                v.swapaxes(1, 2) @ v, N * np.eye(num_dir)[None].repeat(2, 0), atol=1e-4
            )
        if t > window and N - window * num_dir > 1:  # what is older than the window is forgotten
            older = directions[t - window - 1].astype(float)
            assert np.abs(older.swapaxes(1, 2) @ v).max() > 1e-3
    np.testing.assert_allclose(
        state.q[0].swapaxes(1, 2) @ state.q[0],
        np.eye(window * num_dir)[None].repeat(2, 0),
        atol=1e-5,
    )


def test_a_long_float32_direction_is_orthogonal_to_one_in_a_million():
    network, streams, strategy = Dense(600, 500), Streams(), Orthogonal(2)
    network.initialise(streams, np.float32)
    network.forward(np.ones((1, 2, 600), np.float32))
    loss = MeanSquaredError()
    loss.gradient = np.ones((1, 2, 500), np.float32)
    state = None
    for index in range(4):
        forward_pass = ForwardPass(network, loss, Step(index), streams, 2)
        state = strategy.begin(forward_pass, state)
        v = np.concatenate(
            columns(forward_pass, strategy.sample(forward_pass, range(2), state)), -2
        )[0].astype(float)
        off = np.linalg.norm(state.q[0][0].astype(float).T @ v, axis=0)
        assert (off <= 1e-6 * np.linalg.norm(v, axis=0)).all()
        state, _ = estimate_gradient(strategy, forward_pass, state)


@pytest.mark.parametrize("num_dir", [1, 2])
@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("scale", ["rescaled", "unscaled"])
def test_each_form_is_unbiased_and_both_factors_at_once_are_not(scale, flat, num_dir):
    window = 2
    _, estimates, _ = Linear(G, STREAMS, num_dir).run(Orthogonal(window, flat, scale), 4)
    problem = Linear(G, Streams())
    for got in estimates:
        z = (got.mean(0) - problem.g) / (got.std(0) / np.sqrt(DRAWS))
        assert np.abs(z).max() <= 5
    # The weights are 9 of 12 entries; the bias has too few for a window at two directions.
    n, h = (12, window * num_dir) if flat else (9, window * num_dir)
    both = estimates[-1] * n / (n - h)
    z = (both.mean(0) - problem.g) / (both.std(0) / np.sqrt(DRAWS))
    assert np.abs(z).max() > 5
    slope = both[:, :9].mean(0) @ problem.g[:9] / (problem.g[:9] @ problem.g[:9])
    assert slope == pytest.approx(n / (n - h), rel=0.06)


def test_given_the_last_direction_nothing_is_seen_of_it():
    directions, estimates, _ = Linear(G, Streams(0, range(50))).run(Orthogonal(), 2)
    np.testing.assert_allclose((directions[0][..., 0] * estimates[1]).sum(1), 0, atol=1e-10)


def test_a_step_gains_only_where_the_last_direction_was_worse_than_average():
    """E cos^2(v_2, g) = (1 - c) / (n - 1), c = cos^2(v_1, g), in every class of c."""
    problem = Linear(G, STREAMS)
    (first, second), *_ = problem.run(Orthogonal(), 2)
    c, after = (
        ((v[..., 0] @ problem.g) ** 2) / (N * problem.g @ problem.g) for v in (first, second)
    )
    for chosen in (c < 0.02, (c > 0.05) & (c < 0.15), c > 0.3):
        off = after[chosen] - (1 - c[chosen]) / (N - 1)
        assert abs(off.mean()) <= 5 * off.std() / np.sqrt(chosen.sum())
    assert after[c > 0.3].mean() < 1 / N - 0.01  # worse than without the trick
    assert abs(after.mean() - 1 / N) <= 5 * after.std() / np.sqrt(DRAWS)


@pytest.mark.parametrize("T", [2, 6, 12])
def test_over_a_window_of_constant_gradient_the_variance_is_n_over_t_minus_1(T):
    problem = Linear(G, Streams(0, range(DRAWS // 4)))
    _, estimates, _ = problem.run(Orthogonal(11), T)
    mean = sum(estimates) / T
    error = ((mean - problem.g) ** 2).sum(1) / (problem.g @ problem.g)
    if T == N:
        np.testing.assert_allclose(error, 0, atol=1e-18)
    else:
        assert error.mean() == pytest.approx(N / T - 1, rel=0.05)


def test_the_window_of_a_tensor_leaves_room_and_small_ones_get_plain_directions():
    """Weights of 9 entries, a bias of 3: floor(n_l / m) - 1 steps, at most H."""
    for window, num_dir, widths in ((5, 1, [5, 2]), (5, 2, [6, 0]), (5, 3, [6, 0]), (1, 9, [0, 0])):
        problem = Linear(G, Streams(), num_dir)
        state = Orthogonal(window, flat=False).begin(problem.forward_pass(0), None)
        assert [q.shape[-1] for q in state.q] == widths
    directions, _, _ = Linear(G, Streams(), 3).run(Orthogonal(2, flat=False), 3)
    for old, new in itertools.pairwise(directions):
        np.testing.assert_allclose(old[0, :9].T @ new[0, :9], 0, atol=1e-12)
        assert np.linalg.matrix_rank(np.concatenate([old[0, 9:], new[0, 9:]], 1)) == 3


def test_a_window_as_large_as_the_network_is_refused():
    problem = Linear(G, Streams(), num_dir=4)
    with pytest.raises(
        ValueError, match=r"the n = 12 parameters for .* got window = 3 and num_dir = 4"
    ):
        Orthogonal(3).begin(problem.forward_pass(0), None)
    Orthogonal(2).begin(problem.forward_pass(0), None)
