"""Selection noise: the same numbers for a slot whatever lies before it, few or many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aopnp import (
    AOP,
    SGD,
    Chain,
    CrossEntropy,
    Dense,
    QueueMemory,
    RowMemory,
    Streams,
    fit,
    randk,
    topk,
    weightedk,
)
from aopnp.arrays import to_host
from aopnp.arrays.streams import Purpose
from aopnp.estimators import side_by_side
from aopnp.estimators.product import Product
from aopnp.nn.layer import Layer
from aopnp.training import epoch_noise
from aopnp.training.selection_noise import EPOCH_SLOTS, LongNoise
from tests.devices import ON_DEVICES, need

PURPOSES = Purpose.SELECTION, Purpose.FORWARD_SELECTION, Purpose.INPUT_SELECTION


class Slots(Layer):
    """A layer with one product for each of `purposes`, a sum of so many terms."""

    def __init__(self, slots, purposes=(Purpose.SELECTION,)):
        self.sums = {p.name: Product(AOP(randk, 0), slots, p) for p in purposes}

    def products(self):
        return self.sums


def noise_of(slots, runs=(1, 2), epoch=2, number=0, steps=3, purpose=Purpose.SELECTION):
    """Return the noise of one product of layer `number`, in a network whose layers are all
    alike."""
    layers = [Slots(slots, PURPOSES) for _ in range(number + 1)]
    noise = epoch_noise(Chain(*layers), Streams(5, runs), epoch, steps, 4)
    return noise[layers[number].products()[purpose.name]]


def test_a_layer_of_few_slots_has_its_epoch_drawn_at_once():
    noise = noise_of(EPOCH_SLOTS, steps=2)
    drawn = Streams(5, (1, 2)).draw(
        Purpose.SELECTION, 2, 0, sample=lambda g: g.gumbel(size=(EPOCH_SLOTS, 2))
    )
    np.testing.assert_array_equal(noise, drawn[:, ::-1].transpose(2, 0, 1))
    assert isinstance(noise_of(EPOCH_SLOTS + 1), LongNoise)
    assert not epoch_noise(Slots(0), Streams(), 1, 2, 4)
    assert not epoch_noise(Dense(3, 2), Streams(), 1, 2, 4)


def test_the_early_slots_of_many_are_drawn_for_their_step_alone():
    noise, streams = noise_of(EPOCH_SLOTS + 7), Streams(5, (1, 2))
    for t in (2, 0):
        drawn = streams.draw(Purpose.SELECTION, 2, 0, t, sample=lambda g: g.gumbel(size=7))
        np.testing.assert_array_equal(
            noise[t], np.concatenate([drawn[:, ::-1], noise_of(EPOCH_SLOTS)[t]], axis=1)
        )
        assert noise[t].flags.c_contiguous


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr("aopnp.training.selection_noise.EPOCH_SLOTS", 6)


@pytest.mark.usefixtures("short")
@given(few=st.integers(1, 14), more=st.integers(0, 14), t=st.integers(0, 2))
def test_more_slots_change_nothing_for_the_last_ones(few, more, t):
    assert noise_of(few)[t].shape == (2, few)
    np.testing.assert_array_equal(noise_of(few)[t], noise_of(few + more)[t][:, more:])


@pytest.mark.usefixtures("short")
def test_no_two_slots_steps_runs_epochs_layers_or_products_share_a_number():
    drawn = [
        noise_of(20, epoch=epoch, number=number, purpose=purpose)[t]
        for epoch in (1, 2, 3)
        for number in (0, 1, 2)
        for t in (0, 1, 2)
        for purpose in PURPOSES
    ]
    assert np.unique(drawn).size == np.size(drawn) == 81 * 2 * 20
    np.testing.assert_array_equal(noise_of(20)[1][1:], noise_of(20, runs=[2])[1])
    # One run: drawn once, shared.
    np.testing.assert_array_equal(noise_of(20)[1][1:], noise_of(20, runs=[2, 2])[1])


@pytest.mark.usefixtures("short")
def test_a_stack_of_few_and_many_slots_trains_as_each_alone_bit_for_bit():
    """Batches of 5: the row memory's slots lie below the limit of 6, the queue's above it."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(23, 6)), rng.integers(0, 4, 23)

    def train(estimator, runs):
        network, streams = Dense(6, 4, estimator), Streams(0, runs)
        network.initialise(streams)
        fit(network, CrossEntropy(), SGD(0.5), data, streams=streams, batch_size=5, epochs=2)
        return network.weight.value

    members = [AOP(weightedk, 2, RowMemory()), AOP(weightedk, 2, QueueMemory(7)), AOP(topk, 2)]
    together = train(side_by_side(members), [3, 3, 3])
    for r, member in enumerate(members):
        np.testing.assert_array_equal(together[r], train(member, [3])[0])


@ON_DEVICES
def test_on_a_device_lie_the_same_numbers_and_nobody_waits_for_them(device):
    need(device)
    import importlib

    from aopnp.arrays.backend import DEVICES
    from aopnp.arrays.cuda_sim.device import no_waiting

    xp = importlib.import_module(DEVICES[device])
    for slots in (3, EPOCH_SLOTS + 3):
        layer = Slots(slots)
        (product,) = layer.products().values()
        with no_waiting():
            there = epoch_noise(layer, Streams(5, (1, 2)), 2, 3, 4, xp)[product][1]
        np.testing.assert_array_equal(to_host(there), noise_of(slots)[1])
