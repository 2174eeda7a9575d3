"""Arrays: the array-module switch, random streams, kernels in three spellings, a simulated GPU."""

from aopnp.arrays.backend import Array, array_module, has_gpu, probe, to_device, to_host
from aopnp.arrays.streams import Purpose, Streams

__all__ = [
    "Array",
    "Purpose",
    "Streams",
    "array_module",
    "has_gpu",
    "probe",
    "to_device",
    "to_host",
]
