"""Inputs as bytes: the same training as with the numbers they stand for."""

import numpy as np
import pytest

from aopnp import SGD, CrossEntropy, Dense, Streams, fit
from aopnp.arrays.backend import to_device, to_host
from aopnp.data import Coded
from tests.devices import ON_DEVICES, need


def samples() -> tuple[Coded, np.ndarray]:
    rng = np.random.default_rng(0)
    codes, levels = rng.integers(0, 256, (50, 6)).astype(np.uint8), rng.normal(size=256)
    return Coded(codes, levels), levels[codes]


@ON_DEVICES
def test_rows_are_decoded_where_they_are(device: str) -> None:
    need(device)
    coded, numbers = samples()
    there, rows = coded.to_device(device), np.array([[3, 1], [49, 0]])
    np.testing.assert_array_equal(to_host(there.take(to_device(rows, device))), numbers[rows])
    np.testing.assert_array_equal(to_host(there.decoded()), numbers)


def test_training_on_bytes_is_training_on_numbers() -> None:
    coded, numbers = samples()
    labels, curves = np.arange(50) % 3, []
    for x in (coded, numbers):
        network, streams = Dense(6, 3), Streams(0, [0, 1])
        network.initialise(streams)
        history = fit(
            network,
            CrossEntropy(),
            SGD(0.1),
            (x, labels),
            streams=streams,
            batch_size=8,
            epochs=2,
            validation=(x, labels),
        )
        curves.append(history.curves)
    for name in curves[0]:
        np.testing.assert_array_equal(curves[0][name], curves[1][name])


def test_levels_that_are_not_finite_and_wrong_shapes_are_refused() -> None:
    coded, _ = samples()
    network = Dense(6, 3)
    network.initialise(Streams())
    bad = Coded(coded.codes, np.full(256, np.nan)), np.zeros(50, int)
    with pytest.raises(ValueError, match="expected finite inputs, got 256"):
        fit(network, CrossEntropy(), SGD(0.1), bad, streams=Streams(), batch_size=8, epochs=1)
    for codes, levels in ((coded.codes.astype(int), coded.levels), (coded.codes, coded.levels[:9])):
        with pytest.raises(ValueError, match=r"expected codes uint8 \[n, N\] and levels \[256\]"):
            Coded(codes, levels)
