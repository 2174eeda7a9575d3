"""Saving and loading: a network and its optimiser between two epochs, as one .npz file without pickles.

    header           JSON: format, epoch, (seed, runs), kinds of layers, optimiser and rule, structure of their states
    parameter/i      the value of the i-th parameter
    layer/i/...      the arrays of what layer i remembers: memories, running statistics
    optimiser/i/...  the arrays of what the optimiser remembers of the i-th parameter
    rule/...         the arrays of what the rule remembers, where it does

Random numbers are pure functions of (seed, run, epoch, step), so nothing else has to be kept: `fit` from the next epoch
on goes on as if it had never stopped, bit for bit on the CPU.
"""

import copy
import io
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module, to_device, to_host
from aopnp.arrays.streams import Streams
from aopnp.nn.layer import Layer, Parameter
from aopnp.optim import Optimiser
from aopnp.training.rules import Rule, backprop
from aopnp.training.serialise import pack, unpack

FORMAT = "aopnp network, version 2"


def save(
    path: str | Path,
    network: Layer,
    optimiser: Optimiser,
    *,
    streams: Streams,
    epoch: int,
    rule: Rule = backprop,
) -> None:
    """Write `network`, `optimiser` and `rule` as they are after `epoch` epochs (0: untrained) to `path`.

    The file appears whole or not at all: it is written beside `path` and then renamed. Raises TypeError where a layer
    remembers something that cannot be packed, OSError where the folder cannot be written to.
    """
    parameters = network.parameters()
    arrays = {f"parameter/{i}": to_host(parameter.value) for i, parameter in enumerate(parameters)}
    header = _described(network, optimiser, streams, rule) | {
        "format": FORMAT,
        "epoch": int(epoch),
        "layers": [
            pack(layer.saved(), f"layer/{i}", arrays) for i, layer in enumerate(network.walk())
        ],
        "moments": pack(optimiser.saved(parameters), "optimiser", arrays),
        "memory": pack(rule.saved(), "rule", arrays),
    }
    _write(Path(path), {"header": np.array(json.dumps(header)), **arrays})


def load(
    path: str | Path,
    network: Layer,
    optimiser: Optimiser,
    *,
    streams: Streams,
    device: str = "cpu",
    rule: Rule = backprop,
) -> int:
    """Read what `save` wrote into `network`, initialised with `streams` on `device`; return the number of its epoch.

    Values are written into the parameters' own arrays, in place. Step size, schedule and weight decay are not in the
    file: they are `optimiser`'s. Raises ValueError where the file is damaged, is none of `save`'s or belongs to
    another network, optimiser, rule, seed or runs, FileNotFoundError where there is none; then nothing has changed.
    """
    header, arrays = _read(Path(path))
    parameters, layers = network.parameters(), list(network.walk())
    _check_described(path, header, _described(network, optimiser, streams, rule))
    values = _checked_values(path, arrays, parameters, device)
    moments, memory = (unpack(header[name], arrays, device) for name in ("moments", "memory"))
    _restore_layers(layers, [unpack(packed, arrays, device) for packed in header["layers"]])
    optimiser.restore(parameters, moments)
    rule.restore(memory)
    for parameter, value in zip(parameters, values, strict=True):
        parameter.value[...] = value
    return header["epoch"]


def _described(
    network: Layer, optimiser: Optimiser, streams: Streams, rule: Rule
) -> dict[str, Any]:
    """Return what must be the same where a file is loaded: name in the header -> JSON value."""
    return {
        "kinds": [type(layer).__name__ for layer in network.walk()],
        "optimiser": optimiser.state_kind,
        "rule": rule.state_kind,
        "seed": streams.seed,
        "runs": list(streams.runs),
    }


def _check_described(path: str | Path, header: dict[str, Any], expected: dict[str, Any]) -> None:
    words = {
        "kinds": "layers",
        "optimiser": "an optimiser",
        "rule": "a rule",
        "seed": "a seed",
        "runs": "runs",
    }
    for name, value in expected.items():
        if header[name] != value:
            raise ValueError(
                f"{path}: expected {words[name]} {value} as here, got {header[name]}; "
                "build network, optimiser, rule and streams as they were when it was saved"
            )


def _checked_values(
    path: str | Path, arrays: dict[str, Array], parameters: Sequence[Parameter], device: str
) -> list[Array]:
    """Return the saved values on `device`, once each fits its parameter."""
    saved = [
        arrays[f"parameter/{i}"]
        for i in range(sum(name.startswith("parameter/") for name in arrays))
    ]
    expected = [
        f"{parameter.value.dtype} {list(parameter.value.shape)}" for parameter in parameters
    ]
    got = [f"{value.dtype} {list(value.shape)}" for value in saved]
    if got != expected:
        raise ValueError(
            f"{path}: expected parameters {', '.join(expected)} as the network's, got {', '.join(got)}; "
            "build and initialise the network as it was when it was saved, in the same dtype"
        )
    values = [to_device(value, device) for value in saved]
    if values and array_module(*values) is not array_module(
        *(parameter.value for parameter in parameters)
    ):
        raise ValueError(
            f"expected a network on the device {device}, got one elsewhere; name its device in load"
        )
    return values


def _restore_layers(layers: Sequence[Layer], saved: Sequence[dict[str, Any]]) -> None:
    """Hand every layer what it remembered; where one refuses it, all keep what they had."""
    before = [copy.deepcopy(layer.saved()) for layer in layers]
    try:
        for layer, own in zip(layers, saved, strict=True):
            layer.restore(own)
    except Exception:
        for layer, own in zip(layers, before, strict=True):
            layer.restore(own)
        raise


def _write(path: Path, arrays: dict[str, Any]) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    content = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            damaged = archive.testzip()  # before NumPy trusts a damaged shape
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged} does not fit")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = dict(file)
        header = json.loads(str(arrays.pop("header")))
    except (
        Exception
    ) as error:  # a damaged file can fail in many ways: each of them is the reason that is reported
        raise ValueError(
            f"expected a network saved by aopnp, got {path}, which is damaged or something else "
            f"({type(error).__name__}: {error}); save it again"
        ) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        got = header.get("format") if isinstance(header, dict) else header
        raise ValueError(
            f"expected a file of format {FORMAT!r}, got {got!r} in {path}; use the aopnp that saved it"
        )
    return header, arrays
