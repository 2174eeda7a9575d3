"""The three products of a layer: forward Y = X W, input dX = G W^T and weight dW = X^T G, and what they share."""

from typing import Any

from aopnp.arrays.backend import Array
from aopnp.estimators.ledger import add_up
from aopnp.estimators.product import Product
from aopnp.nn.forward_product import ForwardProduct
from aopnp.nn.input_product import InputProduct


class Products:
    """What the products of a layer have together: its selection noise, its costs, what it remembers."""

    def __init__(self, forward: ForwardProduct, input: InputProduct, weight: Product) -> None:
        for product in (forward, input):
            if product.estimator.remembers:
                raise ValueError(
                    "expected estimators without memory for the forward product and the input gradient, got "
                    f"{product.estimator}; only the weight gradient may answer a step late"
                )
        # Selection noise lies in this order: the weights' comes last, whoever else wants some.
        self.named: dict[str, Product] = {"forward": forward, "input": input, "weight": weight}
        self.input = input

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

    def observations(self) -> dict[str, Array]:
        """Return, and reset, what the estimators of both gradients have measured."""
        seen = self.input.observations()
        return self.named["weight"].observations() | {
            f"input_{name}": value for name, value in seen.items()
        }

    def spent(self, like: Array) -> dict[str, Array]:
        """Return, and reset, what all three have cost R = len(like) replicas."""
        return add_up(*(product.spent(like) for product in self.named.values()))

    def saved(self) -> dict[str, Any]:
        """Return what the estimators remember."""
        return {name: product.state for name, product in self.named.items()} | self.input.own()

    def restore(self, saved: dict[str, Any], layer: str) -> None:
        """Take over what `saved` returned."""
        self.input.restore(saved, layer)
        for name, product in self.named.items():
            product.state = saved[name]
