"""What `binary` trains together: the usual set of every network, and the rows 1 to 5 of the named configurations."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from experiments.binary.config import BinaryConfig, default
from experiments.forward.rules import NUMBERS

Schemes: TypeAlias = list[dict[str, Any]]
"""Where each configuration is off the defaults of its soft weights, optimiser and strategy."""

WITHOUT = ("memoryless", "naive", "bop", "frozen")
"""No soft weights."""


def _each(softs: tuple[str, ...], **more: Any) -> Schemes:
    return [{"soft": soft, **more} for soft in softs]


SETS: dict[str, Schemes] = {
    "binary": [
        *_each(("float", "8-bit", "7-bit", "6-bit", "5-bit", "5-bit-nearest", *WITHOUT)),
        *_each(("float", "5-bit"), update="adam"),
    ],
    "binary-mlp": [
        *(each for init in ("uniform", "glorot") for each in _each(("float", "5-bit"), init=init)),
        *(
            each
            for init in ("uniform", "glorot")
            for each in _each(("float", "5-bit"), init=init, update="adam")
        ),
    ],
    "binary-bvgg16": _each(("float", "8-bit", "5-bit", "memoryless", "naive"), update="adam"),
}

ROWS: dict[int, tuple[str, Schemes]] = {
    1: ("binary", _each(("float", "naive", "bop"))),
    2: ("binary", _each(("float", "5-bit"))),
    3: ("binary-bvgg16", _each(("float", "memoryless", "naive"), update="adam")),
    4: ("binary", _each(("float", "5-bit", "6-bit", "7-bit", "8-bit"), lr=0.01)),
    # Ten directions cost seven times as much as back-propagation: small and short, unless options say otherwise.
    5: (
        "binary",
        [{"soft": "float", "strategy": strategy, "width": 4, "epochs": 1} for strategy in NUMBERS],
    ),
}
"""Row of the specification -> experiment, configurations. Rows 6 to 8 are of the command `forward`.

Row 4 names no network: the one of rows 1, 2 and 5 is taken.
"""


def made(experiment: str, schemes: Schemes, changes: Mapping[str, Any]) -> list[BinaryConfig]:
    """Return the configurations of `schemes`, with `changes` applied."""
    return [_made(experiment, **{**own, **changes}) for own in schemes]


def _made(experiment: str, **values: Any) -> BinaryConfig:
    names = ("soft", "update", "strategy")
    return replace(
        default(experiment, **{name: values[name] for name in names if name in values}), **values
    )
