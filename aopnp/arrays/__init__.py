"""What computes: the array-module switch, random streams, kernels in three spellings, CUDA source on a CPU."""
