// Calls that inform the sanitizers. The sanitizers of g++ are made for threads of the operating
// system, and here one such thread plays a whole block.
//
// The address sanitizer must know of every change of stack. The thread sanitizer is told that each
// fibre is a thread, and that a switch between fibres synchronises nothing. Only accesses that CUDA
// orders are reported as ordered: a release, then an acquire of the same mark. Two threads of a
// block therefore race where no __syncthreads() lies between their accesses, although here they
// never run at the same time. A shuffle orders nothing. Without a sanitizer all of these functions
// are empty.
#pragma once
#include <stddef.h>

#ifdef CUDA_SIM_ADDRESS
extern "C" {
void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, size_t size);
void __sanitizer_finish_switch_fiber(void* fake_stack, const void** old_bottom, size_t* old_size);
void __asan_unpoison_memory_region(const volatile void* address, size_t size);
}
#endif
#ifdef CUDA_SIM_THREAD
extern "C" {
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fibre);
void* __tsan_get_current_fiber();
void __tsan_switch_to_fiber(void* fibre, unsigned flags);
void __tsan_acquire(void* mark);
void __tsan_release(void* mark);
}
#endif

namespace cuda_sim::sanitizers {

// The knowledge of a sanitizer about one fibre.
struct Fibre {
    // The thread sanitizer's name for the fibre.
    void* thread = nullptr;
    // The fake stack of the address sanitizer, while the fibre does not run.
    void* fake_stack = nullptr;
    // The stack.
    const void* bottom = nullptr;
    size_t size = 0;
};

#ifdef CUDA_SIM_ADDRESS
inline void leave(Fibre& from, Fibre& to) {
    __sanitizer_start_switch_fiber(&from.fake_stack, to.bottom, to.size);
}
inline void arrive(Fibre& here) {
    __sanitizer_finish_switch_fiber(here.fake_stack, nullptr, nullptr);
}
inline void arrive_first(Fibre&, Fibre& from) {
    __sanitizer_finish_switch_fiber(nullptr, &from.bottom, &from.size);
}
// The frames of functions that were left half way stay guarded. The next fibre on the same stack
// would be reported for touching them.
inline void forget(const void* stacks, size_t size) {
    __asan_unpoison_memory_region(stacks, size);
}
#elif defined(CUDA_SIM_THREAD)
inline void leave(Fibre&, Fibre& to) { __tsan_switch_to_fiber(to.thread, 1); }
inline void arrive(Fibre&) {}
inline void arrive_first(Fibre&, Fibre&) {}
inline void forget(const void*, size_t) {}
#else
inline void leave(Fibre&, Fibre&) {}
inline void arrive(Fibre&) {}
inline void arrive_first(Fibre&, Fibre&) {}
inline void forget(const void*, size_t) {}
#endif

#ifdef CUDA_SIM_THREAD
inline void create(Fibre& fibre) { fibre.thread = __tsan_create_fiber(0); }
inline void destroy(Fibre& fibre) { __tsan_destroy_fiber(fibre.thread); }
inline void adopt(Fibre& running) { running.thread = __tsan_get_current_fiber(); }
inline void release(void* mark) { __tsan_release(mark); }
inline void acquire(void* mark) { __tsan_acquire(mark); }
#else
inline void create(Fibre&) {}
inline void destroy(Fibre&) {}
inline void adopt(Fibre&) {}
inline void release(void*) {}
inline void acquire(void*) {}
#endif

}  // namespace cuda_sim::sanitizers
