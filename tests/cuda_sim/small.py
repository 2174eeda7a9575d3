"""Small kernels for the tests."""

from aopnp.arrays.cuda_sim import RawKernel, thread_order

ORDERS = [("forward", 0), ("reverse", 0), *(("random", seed) for seed in range(4))]


def kernel(parameters, body):
    """Return the kernel `f` of these parameters (the text in parentheses) and statements; the body
    starts line 2."""
    return RawKernel(f'extern "C" __global__ void f({parameters}) {{\n{body}\n}}', "f")


def in_every_order(function):
    """Return the results of `function` in a number of thread orders."""
    results = []
    for order, seed in ORDERS:
        with thread_order(order, seed):
            results.append(function())
    return results
