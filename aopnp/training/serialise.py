"""Nested state <-> one JSON value and flat arrays, so that it can be saved without pickles.

    None, numbers, texts, lists   as themselves
    arrays                        {"array": name}, the array itself under that name beside the JSON value
    tuples, dicts                 {"tuple": [...]}, {"dict": {name: ...}}
    states                        {"RowState": {field: ...}}, one of the classes in the table STATES

A state says which of its arrays stay on the host: `field(metadata={"host": True})`.
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


def pack(value: Any, name: str, arrays: dict[str, Array]) -> Any:
    """Return `value` as a JSON value, its arrays brought to the host into `arrays`, under names that begin with `name`.

    Raises TypeError for what is none of the above. NumPy's scalars are none: they would come back as Python's, which
    compute in another dtype.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is list:
        return [pack(each, f"{name}/{i}", arrays) for i, each in enumerate(value)]
    if kind is tuple:
        return {"tuple": pack(list(value), name, arrays)}
    if kind is dict and all(type(key) is str and "/" not in key for key in value):
        return {"dict": {key: pack(each, f"{name}/{key}", arrays) for key, each in value.items()}}
    if STATES.get(kind.__name__) is kind:
        return {
            kind.__name__: {
                f.name: pack(getattr(value, f.name), f"{name}/{f.name}", arrays)
                for f in fields(kind)
            }
        }
    if (
        not isinstance(value, np.generic)
        and getattr(value, "dtype", np.dtype(object)).kind in "biuf"
    ):
        arrays[name] = to_host(value)
        return {"array": name}
    raise TypeError(
        f"expected {name} to be None, a Python number or text, an array of numbers, a list, tuple or dict of them "
        f"(by names without /) or a state among {', '.join(STATES)}, got {kind.__name__}; add a new one to that table"
    )


def unpack(packed: Any, arrays: Mapping[str, Array], device: str) -> Any:
    """Return the value that was packed, its arrays on `device`, those marked "host" on the host.

    Raises ValueError for a state that this library does not know, and for an array that is missing.
    """
    if isinstance(packed, list):
        return [unpack(each, arrays, device) for each in packed]
    if not isinstance(packed, dict):
        return packed
    ((kind, content),) = packed.items()
    if kind == "array":
        if content not in arrays:
            raise ValueError(
                f"expected an array {content}, got none of that name; the file is damaged: save it again"
            )
        return to_device(arrays[content], device)
    if kind == "tuple":
        return tuple(unpack(content, arrays, device))
    if kind == "dict":
        return {key: unpack(each, arrays, device) for key, each in content.items()}
    state = STATES.get(kind)
    known = () if state is None else fields(state)
    if state is None or {f.name for f in known} != content.keys():
        raise ValueError(
            f"expected states among {', '.join(STATES)} with the fields that they have here, got {kind} with "
            f"{', '.join(content)}; load it with the version of aopnp that saved it"
        )
    places = {f.name: "cpu" if f.metadata.get("host") else device for f in known}
    return state(**{name: unpack(content[name], arrays, place) for name, place in places.items()})
