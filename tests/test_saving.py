"""Saving and loading: everything comes back, on any device; what does not fit is refused and changes nothing."""

import json
import zipfile
from dataclasses import dataclass, fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aopnp import (
    AOP,
    SGD,
    Chain,
    CrossEntropy,
    Dense,
    Exact,
    QueueMemory,
    ReLU,
    ResidualMemory,
    RowMemory,
    Streams,
    Tanh,
    fit,
    topk,
)
from aopnp.arrays import to_device, to_host
from aopnp.estimators import Watched, side_by_side
from aopnp.estimators.memories import RowState
from aopnp.nn import BatchNorm
from aopnp.nn.layer import Layer
from aopnp.optim import Adam, Critical, ErrorFeedback, Moments, ParameterGroups
from aopnp.training.checkpoint import load, save
from aopnp.training.serialise import STATES, pack, unpack
from tests import feedback
from tests.devices import ON_DEVICES, need

MEMORIES = [RowMemory(0.9), ResidualMemory(), QueueMemory(5)]
ESTIMATORS = [Exact(), *(AOP(topk, 3, memory) for memory in MEMORIES)]
STREAMS = Streams(3, [1] * len(ESTIMATORS))


def problem(dtype=np.float64, device="cpu"):
    rng = np.random.default_rng(0)
    return to_device(rng.normal(size=(24, 6)).astype(dtype), device), to_device(
        rng.integers(0, 4, 24), device
    )


def build(dtype=np.float64, device="cpu", streams=STREAMS, activation=ReLU, hidden=5):
    """Return an initialised network with memories, one of them watched, and running statistics."""
    zoo = side_by_side([ESTIMATORS[r % len(ESTIMATORS)] for r in range(streams.replicas)])
    network = Chain(
        Dense(6, hidden, Watched(zoo)), BatchNorm(hidden), activation(), Dense(hidden, 4, zoo)
    )
    network.initialise(streams, dtype, device)
    return network


def train(network, optimiser, device="cpu", streams=STREAMS, first_epoch=1, epochs=1):
    data = problem(network.parameters()[0].value.dtype, device)
    options = {"streams": streams, "batch_size": 8, "first_epoch": first_epoch, "epochs": epochs}
    return fit(network, CrossEntropy(), optimiser, data, **options)


def contents(network, optimiser):
    """Return copies of all that is saved of a network and its optimiser, and its structure."""
    arrays = {f"parameter/{i}": to_host(p.value) for i, p in enumerate(network.parameters())}
    structure = [
        pack([layer.saved() for layer in network.walk()], "layers", arrays),
        pack(optimiser.saved(network.parameters()), "optimiser", arrays),
    ]
    return structure, {name: array.copy() for name, array in arrays.items()}


def assert_same(got, expected):
    assert got[0] == expected[0]
    assert got[1].keys() == expected[1].keys()
    for name, array in expected[1].items():
        assert got[1][name].dtype == array.dtype
        np.testing.assert_array_equal(got[1][name], array, err_msg=name)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return (file, what lies in it): a network after one epoch."""
    path = tmp_path_factory.mktemp("saved") / "network.npz"
    network, optimiser = build(), SGD(0.1, 0.9)
    train(network, optimiser)
    save(path, network, optimiser, streams=STREAMS, epoch=1)
    return path, contents(network, optimiser)


def refused(
    path, sentence, network=None, optimiser=None, streams=STREAMS, device="cpu", error=ValueError
):
    """Assert that the file is refused with `sentence` and that neither network nor optimiser has changed."""
    network, optimiser = network or build(), optimiser or SGD(0.1, 0.9)
    before = contents(network, optimiser)
    with pytest.raises(error, match=sentence):
        load(path, network, optimiser, streams=streams, device=device)
    assert_same(contents(network, optimiser), before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "make",
    [
        lambda: SGD(0.1),
        lambda: SGD(0.1, 0.9),
        lambda: Adam(0.01),
        lambda: Critical(SGD(0.1, 0.9), capacity=2),
        lambda: Critical(ErrorFeedback(Adam(0.01), 0.5), synced=True),
    ],
)
@pytest.mark.parametrize("epochs", [0, 1])
def test_everything_comes_back_into_the_same_arrays(dtype, make, epochs, tmp_path):
    network, optimiser = build(dtype), make()
    if epochs:
        train(network, optimiser)
    save(tmp_path / "network.npz", network, optimiser, streams=STREAMS, epoch=epochs)
    other, its_optimiser = build(dtype), make()
    for parameter in other.parameters():
        parameter.value[...] = 0
    places = [(p.value.ctypes.data, p.value.strides) for p in other.parameters()]
    assert load(tmp_path / "network.npz", other, its_optimiser, streams=STREAMS) == epochs
    assert_same(contents(other, its_optimiser), contents(network, optimiser))
    assert [(p.value.ctypes.data, p.value.strides) for p in other.parameters()] == places
    assert other.layers[0].weight.value.strides == network.layers[0].weight.value.strides
    assert not network.layers[0].weight.value.flags.c_contiguous  # as stored for BLAS


@ON_DEVICES
@pytest.mark.parametrize("there_first", [True, False])
def test_training_goes_on_on_another_device(device, there_first, tmp_path):
    need(device)
    first, second = (device, "cpu") if there_first else ("cpu", device)
    network, optimiser = build(device=first), Adam(0.01)
    train(network, optimiser, first)
    save(tmp_path / "network.npz", network, optimiser, streams=STREAMS, epoch=1)
    other, its_optimiser = build(device=second), Adam(0.01)
    load(tmp_path / "network.npz", other, its_optimiser, streams=STREAMS, device=second)
    assert_same(contents(other, its_optimiser), contents(network, optimiser))
    here, there = train(other, its_optimiser, second, epochs=2, first_epoch=2), build()
    whole = train(there, Adam(0.01), epochs=2)
    np.testing.assert_allclose(here["train_loss"][0], whole["train_loss"][1], rtol=1e-10)
    for moved, stayed in zip(other.parameters(), there.parameters(), strict=True):
        np.testing.assert_allclose(to_host(moved.value), stayed.value, rtol=1e-9, atol=1e-12)


def test_what_lies_on_the_host_stays_there():
    need("cuda-sim")
    state = RowState(*(to_device(np.ones((2, 3, 4)), "cuda-sim") for _ in range(3)), np.ones(2))
    arrays = {}
    packed = json.loads(json.dumps(pack(state, "state", arrays)))
    assert all(type(array) is np.ndarray for array in arrays.values())
    back = unpack(packed, arrays, "cuda-sim")
    assert {f.name: type(getattr(back, f.name)) for f in fields(back)} == {
        f.name: type(getattr(state, f.name)) for f in fields(state)
    }


ARRAYS = st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]).flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
    )
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | ARRAYS
NAMES = st.text(max_size=4).filter(lambda name: "/" not in name)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(NAMES, inner, max_size=3)
        | st.builds(Moments, inner, inner, inner)
    ),
    max_leaves=8,
)


def same(one, other):
    """Return whether two values are equal to the bit, of the same types, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return (
            one.dtype == other.dtype
            and one.shape == other.shape
            and one.tobytes() == other.tobytes()
        )
    if type(one) in STATES.values():
        return same(vars(one), vars(other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


@settings(max_examples=150)
@given(VALUES)
def test_any_state_is_unpacked_as_it_was(value):
    arrays = {}
    packed = json.loads(json.dumps(pack(value, "value", arrays)))
    assert same(unpack(packed, arrays, "cpu"), value)


@dataclass
class Unknown:
    a: int = 1


@pytest.mark.parametrize(
    "value",
    [
        Unknown(),
        np.float64(1),
        np.int64(1),
        np.array([None]),
        {1: 2},
        {"a/b": 1},
        {1, 2},
        [Unknown()],
        slice(2),
        1j,
    ],
)
def test_what_cannot_be_saved_is_refused(value):
    with pytest.raises(
        TypeError, match=r"expected state.* to be None, .*, got .*; add a new one to that table"
    ):
        pack(value, "state", {})


@pytest.mark.parametrize(
    "packed", [{"Unknown": {"a": 1}}, {"Moments": {"mean": 1, "square": 2}}, {"slice": {}}]
)
def test_an_unknown_state_is_refused(packed):
    with pytest.raises(
        ValueError, match=r"expected states among RowState, .* got (Unknown|Moments|slice) with"
    ):
        unpack(packed, {}, "cpu")


def test_the_file_holds_no_pickles(saved):
    with np.load(saved[0], allow_pickle=False) as file:
        assert all(array.dtype.kind in "biufU" for array in dict(file).values())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"network": {"activation": Tanh}},
            r"expected layers \['Dense', 'BatchNorm', 'Tanh', 'Dense'\] as here, got",
        ),
        (
            {"network": {"hidden": 3}},
            r"expected parameters float64 \[4, 6, 3\], .*, got float64 \[4, 6, 5\]",
        ),
        (
            {"network": {"dtype": np.float32}},
            r"expected parameters float32 \[4, 6, 5\], .*, got float64 \[4, 6, 5\]",
        ),
        (
            {"network": {"streams": Streams(3, [1])}},
            r"expected parameters float64 \[1, 6, 5\], .*, got float64 \[4, ",
        ),
        ({"streams": Streams(4, STREAMS.runs)}, "expected a seed 4 as here, got 3"),
        (
            {"streams": Streams(3, [0, 1, 2, 3])},
            r"expected runs \[0, 1, 2, 3\] as here, got \[1, 1, 1, 1\]",
        ),
        ({"optimiser": Adam()}, "expected an optimiser Adam as here, got SGD with momentum"),
        ({"optimiser": SGD(0.1)}, "expected an optimiser SGD as here, got SGD with momentum"),
    ],
)
def test_what_belongs_to_another_network_is_refused(saved, arguments, sentence):
    refused(saved[0], sentence, **arguments | {"network": build(**arguments.get("network", {}))})


def test_another_device_than_the_networks_is_refused(saved):
    need("cuda-sim")
    refused(
        saved[0], "expected a network on the device cuda-sim, got one elsewhere", device="cuda-sim"
    )
    refused(
        saved[0],
        "expected a network on the device cpu, got one elsewhere",
        build(device="cuda-sim"),
    )


def test_a_truncated_file_is_refused_wherever_it_ends(saved, tmp_path):
    content, path = saved[0].read_bytes(), tmp_path / "short.npz"
    for size in [0, 1, 30, *range(100, len(content), len(content) // 40), len(content) - 1]:
        path.write_bytes(content[:size])
        refused(
            path,
            "expected a network saved by aopnp, got .*short.npz, which is damaged or something else",
        )


def test_a_flipped_bit_is_refused_or_changes_nothing(saved, tmp_path):
    content, path, rng = saved[0].read_bytes(), tmp_path / "flipped.npz", np.random.default_rng(0)
    network, optimiser, survived, tries = build(), SGD(0.1, 0.9), 0, 200
    before = contents(network, optimiser)
    for place in rng.choice(len(content), tries, replace=False):
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            load(path, network, optimiser, streams=STREAMS)
        except ValueError:
            assert_same(contents(network, optimiser), before)
        else:  # in what the archive says of dates and systems
            survived += 1
            assert_same(contents(network, optimiser), saved[1])
            network, optimiser = build(), SGD(0.1, 0.9)
    assert survived < tries / 4


def test_a_damaged_shape_is_refused_before_anyone_trusts_it(saved, tmp_path):
    """One bit makes an array of 4 replicas one of 0, which is read without coming to the end of its bytes."""
    content, path = saved[0].read_bytes(), tmp_path / "shape.npz"
    places = [place for place in range(len(content)) if content[place:].startswith(b"'shape': (4,")]
    assert len(places) > 10
    for place in places:
        path.write_bytes(content[:place] + b"'shape': (0," + content[place + 12 :])
        refused(path, "expected a network saved by aopnp, got .*the checksum of .* does not fit")


def test_other_files_are_refused(tmp_path):
    refused(tmp_path / "none.npz", "No such file", error=FileNotFoundError)
    (tmp_path / "text.npz").write_text("not a network")
    refused(
        tmp_path / "text.npz", "expected a network saved by aopnp, got .* damaged or something else"
    )
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    refused(tmp_path / "other.npz", "expected a network saved by aopnp, got .*KeyError: 'header'")
    np.savez(tmp_path / "pickle.npz", header=np.array([{}], object))
    refused(
        tmp_path / "pickle.npz",
        "expected a network saved by aopnp, got .*Object arrays cannot be loaded",
    )
    for header in ({"format": "aopnp network, version 1"}, [1]):
        np.savez(tmp_path / "older.npz", header=np.array(json.dumps(header)))
        refused(tmp_path / "older.npz", "expected a file of format 'aopnp network, version 2', got")


class Stubborn(Layer):
    """Refuses the first state that it is handed, after it and the layers before it have taken theirs."""

    def __init__(self, value):
        self.value, self.refusals = np.array(value), 1

    def forward(self, x, step=None):
        return x

    def backward(self, g, step=None, *, needs_input=True):
        return g

    def saved(self):
        return {"value": self.value}

    def restore(self, saved):
        self.value[...] = saved["value"]
        self.refusals -= 1
        if self.refusals >= 0:
            raise ValueError("expected something else")


def test_where_a_layer_refuses_what_it_remembered_all_keep_what_they_had(tmp_path):
    def start(value=1.0):
        network = Chain(BatchNorm(6), Dense(6, 4, AOP(topk, 2, RowMemory())), Stubborn(value))
        network.initialise(STREAMS)
        return network

    network, optimiser, path = start(), SGD(0.1, 0.9), tmp_path / "network.npz"
    train(network, optimiser)
    save(path, network, optimiser, streams=STREAMS, epoch=1)
    trained, its_optimiser = start(2.0), SGD(0.1, 0.9)
    train(trained, its_optimiser, epochs=2)
    for other, its_own in ((start(), SGD(0.1, 0.9)), (trained, its_optimiser)):
        refused(path, "expected something else", other, its_own)
    assert load(path, trained, its_optimiser, streams=STREAMS) == 1
    assert trained.layers[-1].value == 1.0


def test_a_file_appears_whole_or_not_at_all(saved, tmp_path, monkeypatch):
    network, optimiser, path = build(), SGD(0.1, 0.9), tmp_path / "network.npz"
    path.write_bytes(saved[0].read_bytes())

    def half(file, **arrays):
        file.write(b"PK")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(OSError, match="no space left"):
        save(path, network, optimiser, streams=STREAMS, epoch=0)
    assert [entry.name for entry in tmp_path.iterdir()] == ["network.npz"]
    assert load(path, network, optimiser, streams=STREAMS) == 1
    monkeypatch.undo()
    save(path, network, optimiser, streams=STREAMS, epoch=2)
    assert [entry.name for entry in tmp_path.iterdir()] == ["network.npz"]
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    assert load(path, network, optimiser, streams=STREAMS) == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", feedback.NETWORKS)
def test_every_feedback_goes_on_as_if_it_had_never_stopped(name, dtype, tmp_path):
    """Matrices that are trained, mirrored or stay, DKP's gradients and an optimiser apart, bit for bit."""
    streams = Streams(0, [2, 0])
    network, whole = feedback.train(name, streams, dtype, epochs=3, measure=False)
    first, moved_by = feedback.NETWORKS[name](name), feedback.optimiser()
    first.initialise(streams, dtype)
    feedback.go_on(first, moved_by, streams, feedback.rule_for(first), epochs=2)
    save(tmp_path / "network.npz", first, moved_by, streams=streams, epoch=2)
    again, its_optimiser = feedback.NETWORKS[name](name), feedback.optimiser()
    again.initialise(streams, dtype)
    for layer in again.walk():  # as drawn they would be right where they never change
        for kept in (getattr(layer, "feedback_matrix", None), getattr(layer, "b", None)):
            if kept is not None:
                kept.value[...] = np.nan
    epoch = load(tmp_path / "network.npz", again, its_optimiser, streams=streams)
    assert_same(contents(again, its_optimiser), contents(first, moved_by))
    history = feedback.go_on(
        again, its_optimiser, streams, feedback.rule_for(again), epochs=3, first_epoch=epoch + 1
    )
    for curve in whole.curves:
        np.testing.assert_array_equal(history[curve][0], whole[curve][2], err_msg=curve)
    final = feedback.optimiser()
    final.restore(network.parameters(), its_optimiser.saved(again.parameters()))
    assert_same(contents(again, its_optimiser), contents(network, final))


def test_another_feedback_than_it_was_saved_with_is_refused(tmp_path):
    path = tmp_path / "network.npz"

    def network(name):
        built = feedback.layered(name)
        built.initialise(STREAMS)
        return built

    save(path, network("random"), SGD(0.1), streams=STREAMS, epoch=1)
    refused(
        path,
        r"expected a state saved with the feedback Transpose\(\)",
        network("transpose"),
        SGD(0.1),
    )
    refused(path, "expected parameters", network("kolen_pollack"), SGD(0.1))
    save(path, network("transpose"), SGD(0.1), streams=STREAMS, epoch=1)
    refused(
        path,
        r"expected a state saved with the feedback RandomFeedback\(\)",
        network("random"),
        SGD(0.1),
    )
    apart = ParameterGroups(SGD(0.1), Adam(0.1))
    refused(
        path,
        "expected an optimiser SGD, and Adam for feedback as here, got SGD",
        network("transpose"),
        apart,
    )
