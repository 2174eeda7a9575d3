"""Nested states <-> one JSON value and named arrays, so that states can be saved without pickles.

    None, numbers, texts, lists   as they are
    arrays                        {"array": {"name": ..., "form": "float64 [2, 8, 6]"}}
    tuples, dicts                 {"tuple": [...]}, {"dict": {name: ...}}
    states                        {"RowState": {field: ...}}, for a class in the table STATES

The arrays themselves go into a dict, by their names. A state says which of its arrays stay on the
host: `field(metadata={"host": True})`.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, to_device, to_host
from aopnp.estimators.automatic import AutomaticState
from aopnp.estimators.memories import QueueState, ResidualState, RowState
from aopnp.estimators.watched import WatchedState
from aopnp.optim import CriticalGradients, Moments, Unapplied
from aopnp.training.directions import AlignedState, AnchorState, Ring

STATES: dict[str, type[Any]] = {
    state.__name__: state
    for state in (
        RowState,
        ResidualState,
        QueueState,
        AutomaticState,
        WatchedState,
        Moments,
        CriticalGradients,
        Unapplied,
        AlignedState,
        AnchorState,
        Ring,
    )
}
"""The dataclasses that can be packed and are rebuilt. A new one is one name here."""


def form(array: Array) -> str:
    """Return dtype and shape of an array as a text, `float64 [2, 8, 6]` for example."""
    return f"{array.dtype} {list(array.shape)}"


def is_array(value: Any) -> bool:
    """Return whether `value` is an array of numbers or booleans, on any device.

    NumPy's scalars are not: they would come back as Python's numbers, which compute in another
    dtype.
    """
    if isinstance(value, np.generic):
        return False
    dtype = getattr(value, "dtype", None)
    return dtype is not None and dtype.kind in "biuf"


def pack(value: Any, name: str, arrays: dict[str, Array]) -> Any:
    """Return `value` as a JSON value; enter its arrays, brought to the host, into `arrays`.

    The names of the arrays begin with `name`. Raises TypeError for a value that is not in the
    table above.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is list:
        return [pack(part, f"{name}/{i}", arrays) for i, part in enumerate(value)]
    if kind is tuple:
        return {"tuple": pack(list(value), name, arrays)}
    if kind is dict and all(type(key) is str and "/" not in key for key in value):
        return {"dict": {key: pack(part, f"{name}/{key}", arrays) for key, part in value.items()}}
    if STATES.get(kind.__name__) is kind:
        packed = {}
        for field in fields(kind):
            part = getattr(value, field.name)
            packed[field.name] = pack(part, f"{name}/{field.name}", arrays)
        return {kind.__name__: packed}
    if is_array(value):
        arrays[name] = to_host(value)
        return {"array": {"name": name, "form": form(value)}}
    raise TypeError(
        f"expected {name} to be None, a Python number or text, an array of numbers, a list, tuple "
        f"or dict of them (by names without /) or a state among {', '.join(STATES)}, got "
        f"{kind.__name__}; add a new one to that table"
    )


def unpack(packed: Any, arrays: Mapping[str, Array], device: str) -> Any:
    """Return the value that was packed, its arrays on `device`; arrays marked "host" stay there.

    Raises ValueError for a state that this library does not know, and for an array that is missing
    or has another dtype or shape than the JSON value says.
    """
    if isinstance(packed, list):
        return [unpack(part, arrays, device) for part in packed]
    if not isinstance(packed, dict):
        return packed
    if len(packed) != 1:
        raise ValueError(
            f"expected one kind of value, got {', '.join(packed) or 'none'}; the file is damaged: "
            "save it again"
        )
    ((kind, content),) = packed.items()
    if kind == "array":
        return to_device(_named(content["name"], content["form"], arrays), device)
    if kind == "tuple":
        return tuple(unpack(content, arrays, device))
    if kind == "dict":
        return {key: unpack(part, arrays, device) for key, part in content.items()}
    return _rebuilt(kind, content, arrays, device)


def _named(name: str, expected: str, arrays: Mapping[str, Array]) -> Array:
    """Return the array `name`, which must have the dtype and shape `expected`."""
    if name not in arrays:
        raise ValueError(
            f"expected an array {name}, got none of that name; the file is damaged: save it again"
        )
    got = form(arrays[name])
    if got != expected:
        raise ValueError(
            f"expected an array {name} of {expected}, got {got}; the file is damaged: save it again"
        )
    return arrays[name]


def _rebuilt(kind: str, content: dict[str, Any], arrays: Mapping[str, Array], device: str) -> Any:
    """Return the state of class `kind` with these packed fields."""
    state = STATES.get(kind)
    if state is None or {field.name for field in fields(state)} != content.keys():
        raise ValueError(
            f"expected states among {', '.join(STATES)} with the fields that they have here, got "
            f"{kind} with {', '.join(content)}; load it with the version of aopnp that saved it"
        )
    values: dict[str, Any] = {}
    for field in fields(state):
        place = device
        if field.metadata.get("host"):
            place = "cpu"
        values[field.name] = unpack(content[field.name], arrays, place)
    return state(**values)
