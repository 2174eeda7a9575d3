"""Both spellings of the step size agree: inside the memory as in the paper, outside as rho_t."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aopnp.estimators.policies import PAPER_POLICIES, POLICIES
from aopnp.verify import Batch, PaperMemory, Setting, library, library_estimator


@pytest.mark.parametrize("policy", PAPER_POLICIES)
@pytest.mark.parametrize("decay", [0.0, 0.7, 1.0])
@given(seed=st.integers(0, 10**6), k=st.integers(1, 8))
def test_inside_and_outside_apply_the_same_updates(policy, decay, seed, k):
    M, N, P, rng = 8, 5, 3, np.random.default_rng(seed)
    ours, paper = library(Setting(policy, k, "row", decay)), PaperMemory(M, N, P, decay)
    rule = POLICIES[policy]
    w, reference = np.zeros((N, P)), np.zeros((N, P))
    for t in range(20):
        x, g, noise = rng.normal(size=(M, N)), rng.normal(size=(M, P)), rng.gumbel(size=M)
        lr = 0.1 * 0.8**t * (1 + t % 3)
        w = w - lr * ours.step(Batch(x[None], g[None], noise[None], lr)).gradient[0]
        reference = reference - paper.update(x, g, lr, k, rule.alpha, rule.beta * noise)
        assert np.abs(w - reference).max() <= 1e-9 * np.abs(reference).max()


@pytest.mark.parametrize("memory", ["row", "residual", "queue"])
def test_a_step_size_of_zero_is_refused_while_a_memory_is_on(memory):
    subject = library(Setting("topk", 1, memory, 1.0, 3))
    batch = Batch(
        np.ones((1, 2, 1)), np.ones((1, 2, 1)), np.zeros((1, 5 if memory == "queue" else 2)), 0.0
    )
    with pytest.raises(ValueError, match=r"expected step sizes > 0 while a memory is on, got 0\.0"):
        subject.step(batch)


@pytest.mark.parametrize("memory", ["row", "residual", "queue"])
def test_a_decay_outside_0_to_1_is_refused(memory):
    for decay in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="expected a memory decay from 0 to 1, got"):
            library_estimator(Setting("topk", 1, memory, decay, 3))


@pytest.mark.parametrize("memory", ["residual", "queue"])
def test_what_is_owed_is_applied_at_the_size_of_its_own_step(memory):
    """lr_2 times the estimate of a zero batch applies lr_1 times what step 1 owed."""
    subject = library(Setting("topk", 1, memory, 1.0, 4))
    x = np.array([[[2.0], [1.0]]])
    noise = np.zeros((1, 6 if memory == "queue" else 2))
    owed = subject.step(Batch(x, x, noise, 0.5)).owed
    returned = subject.step(Batch(0 * x, 0 * x, noise, 0.125)).gradient
    np.testing.assert_allclose(0.125 * returned, 0.5 * owed, rtol=1e-15)
