// The simulated machine as the text of a kernel sees it: the questions that a thread may ask, and
// the places where it waits for other threads.
//
// Kernels are compiled against these declarations only. The machine itself (runtime.h) is compiled
// separately, so that a sanitizer instruments the memory accesses of the kernel and not those of
// the simulator.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace cuda_sim {

struct Index {
    unsigned x, y, z;
};

// A place where threads wait for each other: a built-in function, and the line of kernel.cu that
// calls it.
struct Place {
    const char* function;
    int line;
};

struct Launch {
    Index grid, block;
    size_t shared;           // bytes of dynamic shared memory
    int order;               // an Order of launch.h
    uint64_t seed;           // of the random order
    void (*thread)(void**);  // runs the kernel once, as one thread
    void** arguments;        // one address for each argument
};

// The indices of a thread do not change while it lives: [[gnu::const]] lets the compiler ask once.
[[gnu::const]] Index thread_index();
[[gnu::const]] Index block_index();
[[gnu::const]] Index block_size();
[[gnu::const]] Index grid_size();
[[gnu::const]] unsigned lane();
[[gnu::const]] void* dynamic_shared();

void wait_for_block(Place place);
uint64_t exchange(Place place, unsigned mask, uint64_t bits, unsigned source_lane);
const char* run(const Launch& launch);

}  // namespace cuda_sim
