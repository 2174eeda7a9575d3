"""The three products of a layer, forward, input and weight: their selection noise, what they cost and remember."""

from typing import Any

from aopnp.backend import Array
from aopnp.estimators import Estimator
from aopnp.estimators.product import Product
from aopnp.ledger import add_up


class Products:
    """The products Y = X W, dX = G W^T and dW = X^T G, each with its estimator."""

    def __init__(self, forward: Estimator, input_gradient: Estimator, weight: Estimator) -> None:
        if forward.remembers or input_gradient.remembers:
            raise ValueError(
                "expected estimators without memory for the forward product and the input gradient, got "
                f"{forward if forward.remembers else input_gradient}; only the weight gradient may answer a step late"
            )
        # Selection noise lies in this order: the weights' comes last, whoever else wants some.
        self.named = {"forward": Product(forward), "input": Product(input_gradient), "weight": Product(weight)}

    def __getitem__(self, name: str) -> Product:
        return self.named[name]

    def slots(self, terms: dict[str, int]) -> int:
        """Return how many variates of noise sums of so many `terms` want."""
        return sum(product.estimator.slots(terms[name]) for name, product in self.named.items())

    def noise(self, name: str, noise: Array | None, terms: dict[str, int]) -> Array | None:
        """Return a product's part of the layer's noise; the parts lie one after another, from the end."""
        if noise is None:
            return None
        for later, product in reversed(self.named.items()):
            slots = product.estimator.slots(terms[later])
            if later == name:
                return noise[..., -slots:] if slots else None
            noise = noise[..., : noise.shape[-1] - slots]
        return None

    def forget(self) -> None:
        """Begin anew: no memory, nothing spent."""
        for product in self.named.values():
            product.forget()

    def spent(self, like: Array) -> dict[str, Array]:
        """Return, and reset, what all three have cost R = len(like) replicas."""
        return add_up(*(product.spent(like) for product in self.named.values()))

    def saved(self) -> dict[str, Any]:
        """Return what the estimators remember."""
        return {name: product.state for name, product in self.named.items()}

    def restore(self, saved: dict[str, Any]) -> None:
        """Take over what `saved` returned."""
        for name, product in self.named.items():
            product.state = saved[name]
