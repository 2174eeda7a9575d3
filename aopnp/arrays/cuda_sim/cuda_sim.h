// CUDA's vocabulary on a CPU: behind this header, the text of a kernel is C++ that g++ compiles.
//
// Only the words that the kernels of aopnp and their tests use are here; a missing word is a
// compile error. Each word has the meaning of the CUDA C++ Programming Guide in its strictest
// reading: behaviour that the guide calls undefined (a barrier that some threads skip, a lane
// outside the mask) is an error, although hardware may let it pass.
#pragma once
#include <math.h>
#include <string.h>

#include "machine.h"

#define __global__
#define __device__ static __attribute__((unused))

// Shared memory lies in a separate section, so that the machine can find and poison all of it
// before each block. The address sanitizer guards only variables that lie where it has put them:
// with it, shared memory lies elsewhere and is not poisoned.
#ifdef __SANITIZE_ADDRESS__
#define __shared__ static
#else
#define __shared__ static __attribute__((section("cuda_shared")))
#endif

#define threadIdx cuda_sim::thread_index()
#define blockIdx cuda_sim::block_index()
#define blockDim cuda_sim::block_size()
#define gridDim cuda_sim::grid_size()

// __builtin_LINE, as a default argument, is the line of the caller.
inline void __syncthreads(int line = __builtin_LINE()) {
    cuda_sim::wait_for_block({"__syncthreads", line});
}

namespace cuda_sim {

template <class T>
T shuffle(Place place, unsigned mask, T value, unsigned source_lane) {
    static_assert(sizeof(T) <= sizeof(uint64_t), "a shuffle moves numbers of at most 64 bits");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = exchange(place, mask, bits, source_lane);
    memcpy(&value, &bits, sizeof value);
    return value;
}

}  // namespace cuda_sim

// A lane that would read beyond its warp gets its own value back.
template <class T>
T __shfl_sync(unsigned mask, T value, unsigned source, int line = __builtin_LINE()) {
    return cuda_sim::shuffle({"__shfl_sync", line}, mask, value, source % 32);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int line = __builtin_LINE()) {
    const unsigned lane = cuda_sim::lane();
    return cuda_sim::shuffle(
        {"__shfl_up_sync", line}, mask, value, lane >= delta ? lane - delta : lane);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int line = __builtin_LINE()) {
    const unsigned lane = cuda_sim::lane();
    return cuda_sim::shuffle(
        {"__shfl_down_sync", line}, mask, value, delta < 32 - lane ? lane + delta : lane);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, unsigned bits, int line = __builtin_LINE()) {
    return cuda_sim::shuffle(
        {"__shfl_xor_sync", line}, mask, value, cuda_sim::lane() ^ (bits % 32));
}

// One thread runs at a time, so a plain sum would be right. It is atomic, because the thread
// sanitizer must see that no threads race.
template <class T>
T atomicAdd(T* address, decltype(T{}) value) {
    T old, sum;
    __atomic_load(address, &old, __ATOMIC_RELAXED);
    do {
        sum = old + value;
    } while (!__atomic_compare_exchange(
        address, &old, &sum, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return old;
}

// Only integers have this min. CUDA's min of floating-point numbers is fmin, which skips NaN.
inline int min(int a, int b) { return a < b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
