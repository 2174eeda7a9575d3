"""The networks of Adelman et al. (arXiv 1805.08079, section 5), made with an estimator for each of three products.

The last layer is exact, and so is the first convolution, whose few channels leave nothing to choose from.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from aopnp import Chain, Dense, Exact, ReLU, nn
from aopnp.estimators import Estimator
from aopnp.nn import Layer
from experiments.deep.normalise import Normalise

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2023, 0.1994, 0.2010)
"""As published: the deviations within an image, averaged; those of all pixels are 0.2470, 0.2435, 0.2616."""


class Products(NamedTuple):
    """Who answers for the three products of a layer: dW = X^T G, Y = X W, dX = G W^T."""

    estimator: Estimator = Exact()
    forward: Estimator = Exact()
    input_gradient: Estimator = Exact()


def mlp(products: Products) -> Layer:
    """784-500-500-10 with dropout 0.1 after each hidden layer, for pixels in 0..1."""
    return Chain(
        *(Dense(784, 500, **products._asdict()), ReLU(), nn.Dropout(0.1)),
        *(Dense(500, 500, **products._asdict()), ReLU(), nn.Dropout(0.1)),
        Dense(500, 10),
    )


def cnn(products: Products) -> Layer:
    """Two 5 x 5 convolutions of 32 and 64 channels, a dense layer of 1024, for standardised grey pixels."""
    return Chain(
        nn.Unflatten(28, 28, 1),
        *(nn.Conv2d(1, 32, 5, padding=2), nn.MaxPool2d(2), ReLU()),
        *(
            nn.Conv2d(32, 64, 5, padding=2, unit="example", **products._asdict()),
            nn.ChannelDropout(0.5),
        ),
        *(nn.MaxPool2d(2), ReLU(), nn.Flatten()),
        *(Dense(3136, 1024, **products._asdict()), ReLU(), nn.Dropout(0.5)),
        Dense(1024, 10),
    )


def wide_resnet(blocks: int, width: int, products: Products) -> Layer:
    """WRN-(6 blocks + 4)-width (Zagoruyko and Komodakis 2016) for 32 x 32 colour pixels in 0..1, augmented.

    Three stages of `blocks` residual blocks with 16, 32 and 64 times `width` channels.
    """
    conv = partial(nn.Conv2d, init=nn.XavierUniform(gain=2**0.5))
    estimated = partial(conv, unit="example", **products._asdict())
    channels = (16, 16 * width, 32 * width, 64 * width)
    stages = [
        _block(
            channels[stage + (block > 0)],
            channels[stage + 1],
            2 if stage and not block else 1,
            estimated,
        )
        for stage in range(3)
        for block in range(blocks)
    ]
    return Chain(
        *(nn.Unflatten(32, 32, 3), nn.RandomCropFlip(4), Normalise(CIFAR10_MEAN, CIFAR10_STD)),
        conv(3, 16, 3, padding=1),
        *stages,
        *(nn.BatchNorm(channels[-1], momentum=0.9), ReLU(), nn.GlobalAveragePool()),
        Dense(channels[-1], 10),
    )


def _block(inputs: int, outputs: int, stride: int, conv: Callable[..., Any]) -> Layer:
    """Return a block that normalises and activates before each of its two convolutions."""
    return nn.Residual(
        *(nn.BatchNorm(inputs), ReLU(), conv(inputs, outputs, 3, stride=stride, padding=1)),
        *(nn.BatchNorm(outputs), ReLU(), conv(outputs, outputs, 3, padding=1)),
        shortcut=None if inputs == outputs else conv(inputs, outputs, 1, stride=stride),
    )
