"""Ways to store the soft weights behind binary weights.

A new storage is one file and one line here.
"""

from aopnp.nn.soft_weights.float_latent import FloatLatent
from aopnp.nn.soft_weights.levels import Levels
from aopnp.nn.soft_weights.soft_weight import SoftWeight
from aopnp.nn.soft_weights.storage import Storage, sign

SOFT_WEIGHTS: dict[str, Storage] = {
    "float": FloatLatent(),
    "8-bit": Levels(8),
    "7-bit": Levels(7),
    "6-bit": Levels(6),
    "5-bit": Levels(5),
    "4-bit": Levels(4),
    # A bit flips with probability clip(eta w g / 2, 0, 1). Bop flips these bits, too.
    "memoryless": Levels(1),
    # w <- sign(w - eta g), which freezes where eta |g| < 1.
    "naive": Levels(1, "nearest"),
}

__all__ = ["SOFT_WEIGHTS", "FloatLatent", "Levels", "SoftWeight", "Storage", "sign"]
