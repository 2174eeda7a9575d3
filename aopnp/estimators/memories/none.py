"""No memory: outer products that are not selected are lost.

With it, AOP is plain approximate outer products.
"""

from dataclasses import dataclass

from aopnp.arrays.backend import Array
from aopnp.estimators.memories.memory import Candidates, Memory
from aopnp.estimators.outer_products import OuterProducts
from aopnp.estimators.policies import Selection


@dataclass(frozen=True)
class NoMemory(Memory):
    """Forget the rows that were not selected."""

    def start(self, x: Array, g: Array) -> tuple[()]:
        return ()

    def candidates(self, state: tuple[()], x: Array, g: Array, lr: Array | None) -> Candidates:
        return Candidates(x, g, None)

    def keep(
        self,
        state: tuple[()],
        candidates: Candidates,
        selection: Selection,
        kept: OuterProducts,
    ) -> OuterProducts:
        return kept
