"""The optimisers of the feedback experiments: for the network, and for the feedback matrices that are trained apart.

Kolen-Pollack's matrices are moved with the weights, and contract towards them by the decay, which therefore passes
through no moments: decoupled.
"""

from collections.abc import Callable

from aopnp import SGD, Adam
from aopnp.optim import Optimiser, ParameterGroups, StepDecay

Recipe = Callable[[str, float, int, int], Optimiser]
"""(rule, step size, steps of an epoch, epochs) -> optimiser."""


def mlp(rule: str, lr: float, epoch: int, epochs: int) -> Optimiser:
    """Adam, of DRTP SGD with momentum; step sizes fall every epoch, by as much in all as in a training of eight."""

    def falling(factor: float) -> StepDecay:
        return StepDecay(epoch, factor ** (8 / epochs))

    if rule == "drtp":
        return SGD(lr, 0.9, schedule=falling(0.75))
    network = Adam(lr, weight_decay=0.1 if rule == "kp" else 0.0, schedule=falling(0.7))
    if rule == "dkp":
        return ParameterGroups(network, Adam(1e-4, schedule=falling(0.8)))
    return ParameterGroups(network, Adam(1e-4)) if rule == "fdfa" else network


def two_convolutions(rule: str, lr: float, epoch: int, epochs: int) -> Optimiser:
    """As Webster, Choi and Ahn have it; FDFA's as Bacho and Chu (2024), Kolen-Pollack's decay is ours."""
    if rule == "kp":
        return SGD(lr, 0.9, nesterov=True, weight_decay=1.0, decoupled=True)
    network = SGD(lr, 0.9, nesterov=True, weight_decay=1e-6)
    if rule == "dkp":
        own = Adam(1e-4, weight_decay=1e-6, decoupled=False, schedule=StepDecay(epoch, 0.8))
        return ParameterGroups(network, own)
    return ParameterGroups(network, Adam(1e-4)) if rule == "fdfa" else network


def alexnet(rule: str, lr: float, epoch: int, epochs: int) -> Optimiser:
    """As Webster, Choi and Ahn have it; FDFA's as Bacho and Chu (2024)."""
    network = SGD(lr, 0.9, weight_decay=1e-4, decoupled=rule == "kp")
    if rule == "dkp":
        return ParameterGroups(network, Adam(0.01, weight_decay=1e-4, decoupled=False))
    return ParameterGroups(network, Adam(1e-4)) if rule == "fdfa" else network
