"""Saving and loading: everything comes back, on any device; what does not fit is refused and
changes nothing."""

import json
import os
import re
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

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
    MeanSquaredError,
    QueueMemory,
    ReLU,
    ResidualMemory,
    RowMemory,
    Streams,
    Tanh,
    fit,
    randk,
    topk,
)
from aopnp.arrays import to_device, to_host
from aopnp.estimators import Watched, side_by_side
from aopnp.estimators.memories import RowState
from aopnp.nn import BatchNorm
from aopnp.nn.layer import Layer
from aopnp.optim import Adam, Critical, ErrorFeedback, Moments, ParameterGroups
from aopnp.training import ForwardGradient
from aopnp.training.checkpoint import load, save
from aopnp.training.directions import Aligned, Anchor, Orthogonal
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
    """Assert that the file is refused with `sentence` and that neither network nor optimiser has
    changed."""
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
        refused(path, "expected a network saved by aopnp, got .*short.npz, which is damaged or")


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
    """One bit makes an array of 4 replicas one of 0, which is read without coming to the end of its
    bytes."""
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
    """Refuses the first state that it is handed, after it and the layers before it have taken
    theirs."""

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


# Checks before anything is written: estimators, arrays, the structure of states, the header.

X, Y = np.random.default_rng(1).normal(size=(30, 8)), np.arange(30) % 3
PAIRS = {
    "exact, then row memory": (Exact(), AOP(topk, 4, RowMemory())),
    "no memory, then row memory": (AOP(topk, 4), AOP(topk, 4, RowMemory())),
    "exact, then residual memory": (Exact(), AOP(topk, 4, ResidualMemory())),
    "one memory, then another": (AOP(topk, 4, RowMemory()), AOP(topk, 4, ResidualMemory())),
    "row memory, then exact": (AOP(topk, 4, RowMemory()), Exact()),
    "plain, then watched": (AOP(topk, 4, RowMemory()), Watched(AOP(topk, 4, RowMemory()))),
    "another decay": (AOP(topk, 4, RowMemory(0.5)), AOP(topk, 4, RowMemory())),
    "another policy": (AOP(topk, 4, RowMemory()), AOP(randk, 4, RowMemory())),
    "another K": (AOP(topk, 4, RowMemory()), AOP(topk, 5, RowMemory())),
}


def one_layer(estimator=Exact(), epochs=1, optimiser=None, batch_size=10):  # noqa: B008
    """Return a trained layer and its optimiser."""
    layer, optimiser, streams = Dense(8, 3, estimator), optimiser or SGD(0.1), Streams(0)
    layer.initialise(streams)
    if epochs:
        options = {"streams": streams, "batch_size": batch_size, "epochs": epochs}
        fit(layer, CrossEntropy(), optimiser, (X, Y), **options)
    return layer, optimiser


@pytest.mark.parametrize("epochs", [0, 1])
@pytest.mark.parametrize(("first", "second"), PAIRS.values(), ids=PAIRS)
def test_a_file_of_another_estimator_is_refused_with_the_names_of_both(
    first, second, epochs, tmp_path
):
    path = tmp_path / "network.npz"
    save(path, *one_layer(first), streams=Streams(0), epoch=1)
    sentence = (
        f"expected the estimator {second} as here for the product 'weight' of layer 0, "
        f"Dense(8, 3), got {first}; build the network with the estimators"
    )
    refused(path, re.escape(sentence), *one_layer(second, epochs), Streams(0))


def test_every_product_has_an_estimator_of_its_own(tmp_path):
    def network(**estimators):
        built = Chain(Dense(8, 4), ReLU(), Dense(4, 3, **estimators))
        built.initialise(Streams(0))
        return built

    path = tmp_path / "network.npz"
    save(path, network(), SGD(0.1), streams=Streams(0), epoch=0)
    for argument, name in (("forward", "forward"), ("input_gradient", "input")):
        sentence = (
            rf"AOP\(.*\) as here for the product '{name}' of layer 2, Dense\(4, 3\), got Exact"
        )
        refused(path, sentence, network(**{argument: AOP(topk, 2)}), SGD(0.1), Streams(0))


def test_an_array_in_an_estimator_is_compared_as_a_whole(tmp_path):
    """NumPy writes a long array with dots in its middle."""
    R, path = 1200, tmp_path / "network.npz"
    streams, k = Streams(0, range(R)), np.full(R, 4)

    def network(k):
        layer = Dense(8, 3, AOP(topk, k))
        layer.initialise(streams)
        return layer

    save(path, network(k), SGD(0.1), streams=streams, epoch=0)
    assert load(path, network(k.copy()), SGD(0.1), streams=streams) == 0
    other = k.copy()
    other[R // 2] = 5
    refused(path, "expected the estimator AOP", network(other), SGD(0.1), streams)


def test_a_policy_that_is_a_function_is_known_again_in_another_process(tmp_path):
    def policy():
        def mine(log_norms, noise, k):
            return topk(log_norms, noise, k)

        return mine

    one, other = policy(), policy()
    assert repr(one) != repr(other)  # they lie at two addresses
    save(tmp_path / "network.npz", *one_layer(AOP(one, 4)), streams=Streams(0), epoch=1)
    network, optimiser = one_layer(AOP(other, 4), epochs=0)
    assert load(tmp_path / "network.npz", network, optimiser, streams=Streams(0)) == 1


def test_more_terms_than_a_pattern_has_are_no_hindrance(tmp_path):
    """A state is compared with one that its estimator starts with, for as many terms as it
    wants."""
    streams, x = Streams(0), np.ones((3000, 2))
    estimator = Watched(AOP(topk, 2500, RowMemory()))

    def layer():
        built = Dense(2, 1, estimator)
        built.initialise(streams)
        return built

    trained, optimiser, again = layer(), SGD(0.1), layer()
    options = {"streams": streams, "batch_size": 3000, "epochs": 1}
    fit(trained, MeanSquaredError(), optimiser, (x, x[:, :1]), **options)
    save(tmp_path / "network.npz", trained, optimiser, streams=streams, epoch=1)
    assert load(tmp_path / "network.npz", again, SGD(0.1), streams=streams) == 1
    assert again.weight_product.state.inner.a.shape == (1, 3000, 2)


def edited(path, target, edit):
    """Write the file `path` to `target` after `edit(header, arrays)`."""
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(str(arrays.pop("header")))
    edit(header, arrays)
    np.savez(target, header=np.array(json.dumps(header)), **arrays)


def described_in(packed):
    """Return name -> description of every array in a header."""
    if isinstance(packed, list):
        packed = dict(enumerate(packed))
    if not isinstance(packed, dict):
        return {}
    if packed.keys() == {"array"}:
        return {packed["array"]["name"]: packed["array"]}
    return {name: d for part in packed.values() for name, d in described_in(part).items()}


CHANGES = {
    "dtype": lambda array: array.astype(np.float16),
    "axis": lambda array: array[None],
    "size": lambda array: np.concatenate([array, array]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_array_of_another_dtype_or_shape_is_refused_by_its_name(saved, change, tmp_path):
    target = tmp_path / "edited.npz"
    with np.load(saved[0]) as file:
        names = [name for name in file.files if name != "header"]
    assert len(names) > 30
    network, optimiser = build(), SGD(0.1, 0.9)
    for name in names:

        def edit(header, arrays, name=name):
            arrays[name] = CHANGES[change](arrays[name])

        edited(saved[0], target, edit)
        sentence = rf"expected an array {name} of .*, got .*; the file is damaged"
        if name.startswith("parameter"):
            sentence = "expected parameters"
        refused(target, sentence, network, optimiser)


@pytest.mark.parametrize("change", CHANGES)
def test_arrays_that_the_header_describes_have_to_fit_the_network(saved, change, tmp_path):
    target, known = tmp_path / "edited.npz", {}

    def describe(header, arrays):
        known.update(described_in(header))

    edited(saved[0], target, describe)
    network, optimiser = build(), SGD(0.1, 0.9)
    # The sums of a watcher start as numbers, and its means without names.
    names = [name for name in known if "_sum" not in name and "totals" not in name]
    assert len(names) > 20
    for name in names:

        def edit(header, arrays, name=name):
            array = arrays[name] = CHANGES[change](arrays[name])
            described_in(header)[name]["form"] = f"{array.dtype} {list(array.shape)}"

        edited(saved[0], target, edit)
        refused(target, rf"edited.npz: expected {name} to be .*, got .*; build", network, optimiser)


def null_moment(header, arrays):
    header["layers"][1]["dict"]["mean"] = None


def moments_of_adam(header, arrays):
    header["moments"] = [
        {"Moments": {"mean": m, "square": m, "updates": 1}} for m in header["moments"]
    ]


def state_of_another_memory(header, arrays):
    states = header["layers"][3]["dict"]["weight"]
    states[1], states[2] = states[2], states[1]


def fewer_estimators(header, arrays):
    header["layers"][3]["dict"]["weight"].pop()


DAMAGES = {
    "no moments": (lambda h, a: h.update(moments=None), "optimiser to be a list of 6, got None"),
    "few moments": (
        lambda h, a: h["moments"].pop(),
        "optimiser to be a list of 6, got a list of 5",
    ),
    "other moments": (moments_of_adam, r"optimiser/0 to be float64 \[4, 6, 5\], got a Moments"),
    "moments of text": (lambda h, a: h.update(moments="x"), "to be a list of 6, got a str"),
    "no layers": (lambda h, a: h.update(layers=None), "layer to be a list of 4, got None"),
    "few layers": (lambda h, a: h["layers"].pop(), "layer to be a list of 4, got a list of 3"),
    "a layer less": (
        lambda h, a: h["layers"].__setitem__(0, None),
        "layer/0 to be a dict, got None",
    ),
    "no product": (
        lambda h, a: h["layers"][0]["dict"].pop("weight"),
        "layer/0 to be a dict with .*w",
    ),
    "no mean": (lambda h, a: h["layers"][1]["dict"].pop("mean"), "'mean' in the state of BatchN"),
    "mean is null": (null_moment, r"layer/1/mean to be float64 \[4, 5\], got None"),
    "another memory": (state_of_another_memory, "layer/3/weight/1 to be a RowState, got a Resid"),
    "fewer estimators": (fewer_estimators, "layer/3/weight to be a list of 4, got a list of 3"),
    "a kind of value": (lambda h, a: h["layers"].__setitem__(0, {}), "one kind of value, got none"),
    "a broken tuple": (lambda h, a: h.update(memory={"tuple": 3}), "got something else"),
    "a broken dict": (lambda h, a: h.update(memory={"dict": None}), "got something else"),
    "a broken state": (lambda h, a: h.update(memory={"Ring": None}), "got something else"),
    "a broken array": (lambda h, a: h.update(memory={"array": "a"}), "got something else"),
    "no estimators": (lambda h, a: h.update(estimators=None), "estimator .* as here .* got None"),
}


@pytest.mark.parametrize(("edit", "sentence"), DAMAGES.values(), ids=DAMAGES)
def test_states_of_another_structure_are_refused_by_their_names(saved, edit, sentence, tmp_path):
    edited(saved[0], tmp_path / "edited.npz", edit)
    refused(tmp_path / "edited.npz", f"edited.npz: expected .*{sentence}|expected {sentence}")


def test_a_header_without_an_entry_is_refused(saved, tmp_path):
    names = []
    edited(saved[0], tmp_path / "edited.npz", lambda header, arrays: names.extend(header))
    assert len(names) == 11
    for name in names:
        edited(saved[0], tmp_path / "edited.npz", lambda header, arrays, n=name: header.pop(n))
        sentence = f"in the header, got no {name}; the file is damaged"
        if name == "format":
            sentence = "expected a file of format"
        refused(tmp_path / "edited.npz", sentence)


@pytest.mark.parametrize("epoch", [None, "x", 1.5, -3, float("nan"), True, [1]])
def test_an_epoch_that_is_none_is_refused(saved, epoch, tmp_path):
    edited(saved[0], tmp_path / "edited.npz", lambda header, arrays: header.update(epoch=epoch))
    refused(tmp_path / "edited.npz", "expected the number of an epoch, 0 or more, got")


OPTIMISERS = {
    "momentum": (lambda: SGD(0.1, 0.9), "optimiser/0"),
    "adam": (lambda: Adam(0.01), "optimiser/0/square"),
    "critical": (lambda: Critical(SGD(0.1), capacity=3), "optimiser/1/0/gradients"),
    "priorities": (lambda: Critical(SGD(0.1), capacity=3), "optimiser/0/0/priorities"),
    "error feedback": (lambda: ErrorFeedback(Adam(0.01), 0.5), "optimiser/0/0/lr_last"),
    "inside": (lambda: ErrorFeedback(Adam(0.01), 0.5), "optimiser/1/1/mean"),
    "groups": (lambda: ParameterGroups(Adam(0.01), SGD(0.1)), "optimiser/1/mean"),
}


@pytest.mark.parametrize(("make", "name"), OPTIMISERS.values(), ids=OPTIMISERS)
def test_arrays_of_optimisers_have_to_fit_and_a_refusal_leaves_nothing_behind(make, name, tmp_path):
    path, target = tmp_path / "network.npz", tmp_path / "edited.npz"
    save(path, *one_layer(optimiser=make()), streams=Streams(0), epoch=1)

    def edit(header, arrays):
        array = arrays[name] = np.concatenate([arrays[name], arrays[name]])
        described_in(header)[name]["form"] = f"{array.dtype} {list(array.shape)}"

    edited(path, target, edit)
    for epochs in (0, 1):
        network, optimiser = one_layer(epochs=epochs, optimiser=make())
        states = dict(optimiser.state)
        refused(target, f"expected {name} to be", network, optimiser, Streams(0))
        assert optimiser.state == states
        assert load(path, network, optimiser, streams=Streams(0)) == 1
        assert optimiser.state.keys() <= set(network.parameters())


RULES = {
    "anchor": (Anchor(2), "rule/a/0"),
    "running anchor": (Anchor(None), "rule/a/1"),
    "aligned": (Aligned(0.2), "rule/u/1"),
    "orthogonal": (Orthogonal(2), "rule/q/0"),
    "orthogonal tensors": (Orthogonal(2, flat=False), "rule/q/1"),
}


@pytest.mark.parametrize(("strategy", "name"), RULES.values(), ids=RULES)
def test_the_state_of_a_rule_has_to_fit(strategy, name, tmp_path):
    path, target, streams = tmp_path / "network.npz", tmp_path / "edited.npz", Streams(0)

    def layer():
        built = Dense(8, 3)
        built.initialise(streams)
        return built

    rule, trained, optimiser = ForwardGradient(strategy, 2), layer(), SGD(0.1)
    options = {"streams": streams, "batch_size": 10, "epochs": 1, "rule": rule}
    fit(trained, CrossEntropy(), optimiser, (X, Y), **options)
    save(path, trained, optimiser, streams=streams, epoch=1, rule=rule)

    def edit(header, arrays):
        array = arrays[name] = arrays[name].astype(np.float32)
        described_in(header)[name]["form"] = f"{array.dtype} {list(array.shape)}"

    edited(path, target, edit)
    network, again = layer(), ForwardGradient(strategy, 2)
    before = network.weight.value.copy()
    with pytest.raises(ValueError, match=rf"expected {name} to be float64 .*, got float32"):
        load(target, network, SGD(0.1), streams=streams, rule=again)
    np.testing.assert_array_equal(network.weight.value, before)
    assert again.state is None
    edited(
        path, target, lambda header, arrays: header.update(memory={"Ring": {"q": [], "steps": 1}})
    )
    with pytest.raises(ValueError, match=r"expected rule(/q)? to be"):
        load(target, network, SGD(0.1), streams=streams, rule=again)
    assert load(path, network, SGD(0.1), streams=streams, rule=again) == 1
    assert same(again.state, rule.state)


# How a file is written.


def test_a_link_in_the_place_of_a_temporary_file_is_not_followed(tmp_path):
    """In a folder that others may write to, a predictable name may be a link to somebody's file."""
    path, victim = tmp_path / "network.npz", tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f"network.npz.{os.getpid()}.tmp").symlink_to(victim)
    save(path, *one_layer(epochs=0), streams=Streams(0), epoch=0)
    assert victim.read_text() == "precious"
    assert not path.is_symlink()
    assert load(path, *one_layer(epochs=0), streams=Streams(0)) == 0


def test_no_two_temporary_files_have_one_name(tmp_path, monkeypatch):
    seen = []
    rename = os.replace

    def noted(source, target):
        seen.append(source)
        rename(source, target)

    monkeypatch.setattr(os, "replace", noted)
    for _ in range(3):
        save(tmp_path / "network.npz", *one_layer(epochs=0), streams=Streams(0), epoch=0)
    assert len(set(seen)) == 3
    assert all(Path(source).parent == tmp_path for source in seen)


@pytest.mark.skipif(os.name != "posix", reason="permissions of this kind are POSIX's")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_file_has_the_permissions_of_any_new_file(mask, mode, tmp_path):
    path, before = tmp_path / "network.npz", os.umask(mask)
    try:
        save(path, *one_layer(epochs=0), streams=Streams(0), epoch=0)
        assert os.umask(mask) == mask  # as it was
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", feedback.NETWORKS)
def test_every_feedback_goes_on_as_if_it_had_never_stopped(name, dtype, tmp_path):
    """Matrices that are trained, mirrored or stay, DKP's gradients and an optimiser apart, bit for
    bit."""
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
