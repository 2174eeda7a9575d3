"""CUDA kernels on a CPU: the text that a GPU would compile, compiled by g++ and run on NumPy arrays.

Every thread of a block is a fibre with a stack of its own (fibres.h). It runs until it waits for others, at a barrier
or in a shuffle (block.h); then the next one has its turn, in the order that `thread_order` asks for (launch.h). So a
launch takes the same course every time, and what CUDA leaves undefined is an error and not bad luck:

- a barrier that some threads never reach, or lanes missing from a shuffle: a deadlock, reported with its lines;
- a lane outside the mask, a launch that no GPU could run, an argument of the wrong type or width;
- shared memory that is read before it is written: it holds NaN when a block starts.

A barrier that is missing altogether changes results in some orders only; `sanitizer="thread"` sees it in any.
`sanitizer="address"` sees accesses beyond an array, `sanitizer="undefined"` indices beyond a shared array of known size
and overflowing integers. The first two need a process that starts with `sanitizer_environment(sanitizer)`.

Not simulated: speed; the order in which memory becomes visible on a GPU; limits on registers and static shared memory;
the contraction of a * b + c to one rounding; the last bits of log and its like. Blocks run one after another: two of
them that race for one address are not seen.
"""

from aopnp.arrays.cuda_sim.compiler import SimulationError, sanitizer_environment
from aopnp.arrays.cuda_sim.raw_kernel import RawKernel, thread_order, works

__all__ = ["RawKernel", "SimulationError", "sanitizer_environment", "thread_order", "works"]
