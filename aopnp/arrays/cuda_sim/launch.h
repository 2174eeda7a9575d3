// A launch: block after block on poisoned shared memory, with the threads of a block in the order
// that the launch asks for.
#pragma once
#include <algorithm>
#include <numeric>
#include <random>

#include "block.h"

// The linker marks both ends of the section in which all shared variables lie. There is no such
// section where no shared variable is declared.
extern "C" __attribute__((weak, visibility("hidden"))) char __start_cuda_shared[],
    __stop_cuda_shared[];

namespace cuda_sim {

enum Order { forward, reverse, random_order };

inline Stacks stacks;
inline std::mt19937_64 random_numbers;

inline std::vector<size_t> in_order(size_t n) {
    std::vector<size_t> order(n);
    std::iota(order.begin(), order.end(), size_t(0));
    if (block.launch->order == reverse) std::reverse(order.begin(), order.end());
    if (block.launch->order == random_order)
        std::shuffle(order.begin(), order.end(), random_numbers);
    return order;
}

// Return the index of the i-th thread of a block, or of the i-th block of a grid: x runs fastest.
inline Index unravel(size_t i, Index sizes) {
    return {unsigned(i % sizes.x), unsigned(i / sizes.x % sizes.y),
            unsigned(i / sizes.x / sizes.y)};
}

inline size_t product(Index sizes) { return size_t(sizes.x) * sizes.y * sizes.z; }

// On a GPU, shared memory starts with arbitrary contents. Here all its bits are set, which is NaN,
// or -1: hard to overlook.
inline void poison_shared_memory() {
    if (__start_cuda_shared)
        memset(__start_cuda_shared, 0xFF, __stop_cuda_shared - __start_cuda_shared);
    std::fill(block.shared.begin(), block.shared.end(), char(0xFF));
}

// The whole life of a fibre.
inline void live() {
    sanitizers::arrive_first(block.current->fibre.sanitizer, block.scheduler.sanitizer);
    sanitizers::acquire(&block.start_mark);
    block.launch->thread(block.launch->arguments);
    ++block.ended;
    hand_back(Thread::ended);
}

// Let every thread that can run have its turn; return false if no thread can.
inline bool let_all_run() {
    bool any = false;
    for (size_t i : in_order(block.threads.size())) {
        Thread& thread = block.threads[i];
        if (thread.state != Thread::ready || !block.fault.empty()) continue;
        any = true;
        block.current = &thread;
        block.scheduler.hand_over(thread.fibre);
    }
    return any;
}

inline void run_block(Index index) {
    block.index = index;
    block.ended = block.at_barrier = 0;
    block.exchanges.clear();
    poison_shared_memory();
    sanitizers::release(&block.start_mark);
    for (unsigned i = 0; i < block.threads.size(); ++i) {
        Thread& thread = block.threads[i];
        thread.index = unravel(i, block.launch->block);
        thread.number = i;
        thread.state = Thread::ready;
        stacks.prepare(thread.fibre, i, live);
    }
    while (block.ended < block.threads.size() && block.fault.empty())
        if (!let_all_run()) block.fault = deadlock();
    sanitizers::acquire(&block.end_mark);
}

// Run all blocks; return the sentence about a fault, or an empty text.
const char* run(const Launch& launch) {
    block.launch = &launch;
    block.fault.clear();
    block.shared.resize(launch.shared);
    block.threads.resize(product(launch.block));
    stacks.reserve(block.threads.size());
    random_numbers.seed(launch.seed);
    sanitizers::adopt(block.scheduler.sanitizer);
    for (Thread& thread : block.threads) sanitizers::create(thread.fibre.sanitizer);
    for (size_t i : in_order(product(launch.grid)))
        if (block.fault.empty()) run_block(unravel(i, launch.grid));
    for (Thread& thread : block.threads) sanitizers::destroy(thread.fibre.sanitizer);
    if (!block.fault.empty()) stacks.forget();
    return block.fault.c_str();
}

}  // namespace cuda_sim
