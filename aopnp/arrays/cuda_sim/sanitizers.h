// What the sanitizers must be told: g++'s are made for operating-system threads, and here one of those plays a block.
//
// The address sanitizer wants to know of every change of stack. The thread sanitizer takes each fibre for a thread
// and every switch for no synchronisation at all; only what CUDA orders is said to be ordered (release, then acquire
// at the same mark). So two threads of a block race where no __syncthreads() lies between them, though here they
// never run at once. A shuffle orders nothing. Without a sanitizer all of these functions are empty.
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

// What a sanitizer knows of one fibre.
struct Fibre {
    void* thread = nullptr;         // the thread sanitizer's name for it
    void* fake_stack = nullptr;     // the address sanitizer's, while the fibre does not run
    const void* bottom = nullptr;   // its stack
    size_t size = 0;
};

#ifdef CUDA_SIM_ADDRESS
inline void leave(Fibre& from, Fibre& to) {
    __sanitizer_start_switch_fiber(&from.fake_stack, to.bottom, to.size);
}
inline void arrive(Fibre& here) { __sanitizer_finish_switch_fiber(here.fake_stack, nullptr, nullptr); }
inline void arrive_first(Fibre&, Fibre& from) { __sanitizer_finish_switch_fiber(nullptr, &from.bottom, &from.size); }
// Frames that were left half way stay guarded: the next fibre on the same stack would stumble over them.
inline void forget(const void* stacks, size_t size) { __asan_unpoison_memory_region(stacks, size); }
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
