"""What `forward` trains together: the usual set of every network, and the rows 6 to 8 of the named configurations."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from aopnp.training.directions import DIRECTIONS
from experiments.forward.config import SETUPS, ForwardConfig, default
from experiments.forward.rules import BACKPROP

Schemes: TypeAlias = list[tuple[str, Mapping[str, Any]]]
"""(strategy, where it is off its defaults) ..."""

SETS: dict[str, Schemes] = {
    "forward": [("gaussian", {"epochs": 3})],  # dear: normal variates take nine tenths of a step
    "forward-narrow": [
        *((strategy, {}) for strategy in DIRECTIONS if strategy not in ("rademacher", "activity")),
        ("activity", {"lr": 0.01}),  # so few are its dimensions that it bears larger steps
        (
            "rademacher",
            {"update": "critical", "lr": 1e-3},
        ),  # past gradients add up to about a second one
        (
            "gaussian",
            {"update": "error-feedback"},
        ),  # of random signs all entries tie, and nothing would wait
    ],
    "forward-vgg": [
        *((strategy, {}) for strategy in ("gaussian", "orthogonal", "anchor")),
        (
            "activity",
            {"lr": 1e-6},
        ),  # a batch has far more pre-activations here than the network has weights
        ("rademacher", {"num_dir": 10}),
    ],
    "forward-vgg16": [
        ("gaussian", {"num_dir": 20}),
        *(("orthogonal", {"num_dir": m}) for m in (25, 50)),
    ],
}
"""Experiment -> what it trains beside back-propagation and Rademacher directions."""

ROWS: dict[int, tuple[str, Schemes]] = {
    6: ("forward-vgg16", [(BACKPROP, {}), ("gaussian", {"num_dir": 20})]),
    7: (
        "forward",
        [
            (strategy, {"lr": 1e-4, "epochs": 2, "runs": 3})
            for strategy in ("gaussian", "orthogonal")
        ],
    ),
    8: ("forward-vgg16", [("orthogonal", {"num_dir": num_dir}) for num_dir in (25, 50)]),
}
"""Row of the specification -> experiment, configurations. Rows 1 to 5 are of the command `binary`."""


def usual(experiment: str, **changes: Any) -> list[ForwardConfig]:
    """Return the usual set of an experiment, with `changes` applied.

    Back-propagation is there twice, with its own step size and with that of the forward gradients; Rademacher
    directions are there with and without a clip.
    """
    setup = SETUPS[experiment]
    naive: Schemes = [("rademacher", {}), ("rademacher", {"clip": None})]
    exact: Schemes = [(BACKPROP, {"epochs": min(5, setup.epochs)}), (BACKPROP, {"lr": setup.lr})]
    return made(experiment, [*exact, *naive, *SETS[experiment]], **changes)


def made(experiment: str, schemes: Schemes, **changes: Any) -> list[ForwardConfig]:
    """Return the configurations of `schemes`, with `changes` applied."""
    return [
        replace(default(experiment, strategy), **{**own, **changes}) for strategy, own in schemes
    ]
