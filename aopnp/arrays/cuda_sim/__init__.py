"""CUDA kernels on a CPU, compiled by g++ and run on NumPy arrays.

The source is the text that a GPU would compile. Every thread of a block is a fibre with a separate
stack (fibres.h). A thread runs until it waits for other threads, at a barrier or in a shuffle
(block.h); then the next thread takes its turn, in the order that `thread_order` asks for
(launch.h). A launch therefore takes the same course every time, and behaviour that CUDA leaves
undefined is an error instead of bad luck:

- a barrier that some threads never reach, or lanes that are missing from a shuffle: a deadlock,
  which is reported with its lines;
- a lane outside the mask, a launch that no GPU could run, an argument of the wrong type or width;
- shared memory that is read before it is written: it holds NaN when a block starts.

A barrier that is missing altogether changes results in some thread orders only;
`sanitizer="thread"` sees it in every order. `sanitizer="address"` sees accesses beyond an array.
`sanitizer="undefined"` sees indices beyond a shared array of known size, and integers that
overflow. The first two sanitizers need a process that starts with the variables of
`sanitizer_environment(sanitizer)`.

Not simulated: speed; the order in which memory becomes visible on a GPU; limits on registers and on
static shared memory; the contraction of a * b + c to one rounding; the last bits of log and similar
functions. Blocks run one after another: a race of two blocks for one address is not seen.
"""

from aopnp.arrays.cuda_sim.compiler import SimulationError, sanitizer_environment
from aopnp.arrays.cuda_sim.raw_kernel import RawKernel, thread_order, works

__all__ = ["RawKernel", "SimulationError", "sanitizer_environment", "thread_order", "works"]
