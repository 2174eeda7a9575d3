"""The networks of the feedback experiments, made with the parts that a rule puts into them.

All rules have the same layers in the same places, hooks included, so that layer numbers, and with them the initial
weights, are the same. The lowest layer sends nothing back and has no feedback of its own.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from aopnp import Chain, Dense, Exact, ReLU, Tanh, nn
from aopnp.estimators import Estimator
from aopnp.nn import Layer
from aopnp.nn.feedback import Feedback, Hook, Transpose

CLASSES = 10


class Parts(NamedTuple):
    """What tells the networks of two rules apart."""

    feedback: Feedback = Transpose()
    """The matrix in the place of W^T, in every layer but the lowest."""
    hook: Callable[[int | tuple[int, ...]], Layer] = lambda shape: Hook()
    """Makes what stands after the activations of each hidden layer, given the shape of an example's."""
    estimator: Estimator = Exact()
    """Answers for the weight gradients of the hidden layers."""
    hidden: type[Chain] = Chain
    """Holds the hidden layers."""


def mlp(parts: Parts) -> Layer:
    """784-700-500-300-200-10, dense -> batch norm -> tanh -> hook, for pixels in -1..1."""

    def block(inputs: int, outputs: int, feedback: Feedback = parts.feedback) -> tuple[Layer, ...]:
        dense = Dense(inputs, outputs, parts.estimator, feedback=feedback)
        return dense, nn.BatchNorm(outputs), Tanh(), parts.hook(outputs)

    hidden = *block(784, 700, Transpose()), *block(700, 500), *block(500, 300), *block(300, 200)
    return Chain(parts.hidden(*hidden), Dense(200, CLASSES, feedback=parts.feedback))


def two_convolutions(parts: Parts) -> Layer:
    """The CIFAR-10 network of Webster, Choi and Ahn for 32 x 32 colour pixels in -1..1; hooks before the pooling."""
    conv = partial(nn.Conv2d, estimator=parts.estimator, unit="example")
    return Chain(
        parts.hidden(
            nn.Unflatten(32, 32, 3),
            *(conv(3, 32, 3), nn.BatchNorm(32), ReLU(), parts.hook((30, 30, 32))),
            *(
                conv(32, 32, 3, feedback=parts.feedback),
                nn.BatchNorm(32),
                ReLU(),
                parts.hook((28, 28, 32)),
            ),
            *(nn.MaxPool2d(2), nn.Flatten()),
            *(Dense(6272, 128, parts.estimator, feedback=parts.feedback), ReLU(), parts.hook(128)),
        ),
        Dense(128, CLASSES, feedback=parts.feedback),
    )


def alexnet(parts: Parts) -> Layer:
    """AlexNet as Webster, Choi and Ahn have it, for 32 x 32 in the place of 224 x 224 pixels: meant for a GPU.

    The first convolution is 5 x 5 with stride 1 instead of 11 x 11 with stride 4, so that the last images are 3 x 3
    instead of 6 x 6 and the first dense layer has 2304 inputs; all other layers, widths and hooks are as published.
    """
    conv = partial(nn.Conv2d, estimator=parts.estimator, unit="example")
    upper = partial(conv, feedback=parts.feedback)
    dense = partial(Dense, estimator=parts.estimator, feedback=parts.feedback)
    hook = parts.hook
    return Chain(
        parts.hidden(
            nn.Unflatten(32, 32, 3),
            *(
                conv(3, 64, 5, padding=2),
                nn.BatchNorm(64),
                ReLU(),
                nn.MaxPool2d(3, 2),
                hook((15, 15, 64)),
            ),
            *(
                upper(64, 192, 5, padding=2),
                nn.BatchNorm(192),
                ReLU(),
                nn.MaxPool2d(3, 2),
                hook((7, 7, 192)),
            ),
            *(upper(192, 384, 3, padding=1), nn.BatchNorm(384), ReLU(), hook((7, 7, 384))),
            *(upper(384, 256, 3, padding=1), nn.BatchNorm(256), ReLU(), hook((7, 7, 256))),
            *(upper(256, 256, 3, padding=1), nn.BatchNorm(256), ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Flatten(), nn.Dropout(0.5), hook(2304)),
            *(dense(2304, 4096), ReLU(), nn.Dropout(0.5), hook(4096)),
            *(dense(4096, 4096), ReLU(), hook(4096)),
        ),
        Dense(4096, CLASSES, feedback=parts.feedback),
    )
