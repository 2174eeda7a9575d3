// Fibres: functions that hand the processor to each other, each with a separate stack. One fibre
// plays one CUDA thread.
//
// A fibre runs until it hands over. Nothing happens at the same time, so a program takes the same
// course every time.
#pragma once
#include <stddef.h>
#include <sys/mman.h>

#include <new>

#include "sanitizers.h"

#if defined(__x86_64__) && !defined(CUDA_SIM_UCONTEXT)

// POSIX's swapcontext makes a system call at every switch. It is enough to save the registers that
// a function must preserve.
extern "C" __attribute__((visibility("hidden"))) void cuda_sim_switch(void** save, void* resume);
asm(R"(
.text
.hidden cuda_sim_switch
.globl cuda_sim_switch
.type cuda_sim_switch, @function
cuda_sim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");

namespace cuda_sim {

struct Context {
    void* stack_pointer;

    void prepare(char* stack, size_t size, void (*body)()) {
        void** top = reinterpret_cast<void**>(stack + size);
        // The address to which body would return. It also aligns the stack as a call would.
        *--top = nullptr;
        *--top = reinterpret_cast<void*>(body);
        for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
        stack_pointer = top;
    }
    void swap(Context& to) { cuda_sim_switch(&stack_pointer, to.stack_pointer); }
};

}  // namespace cuda_sim

#else
#include <ucontext.h>

namespace cuda_sim {

struct Context {
    ucontext_t saved;

    void prepare(char* stack, size_t size, void (*body)()) {
        getcontext(&saved);
        saved.uc_stack.ss_sp = stack;
        saved.uc_stack.ss_size = size;
        makecontext(&saved, body, 0);
    }
    void swap(Context& to) { swapcontext(&saved, &to.saved); }
};

}  // namespace cuda_sim

#endif

namespace cuda_sim {

struct Fibre {
    Context context;
    sanitizers::Fibre sanitizer;

    void prepare(char* stack, size_t size, void (*body)()) {
        context.prepare(stack, size, body);
        sanitizer.fake_stack = nullptr;
        sanitizer.bottom = stack;
        sanitizer.size = size;
    }
    // Hand over to another fibre. This function returns when some fibre hands back.
    void hand_over(Fibre& to) {
        sanitizers::leave(sanitizer, to.sanitizer);
        context.swap(to.context);
        sanitizers::arrive(sanitizer);
    }
};

// Stacks for the threads of one block. Below each stack lies a page that may not be touched: a
// stack that overflows stops the process, and does not spoil another thread's variables. Memory
// that is never touched costs nothing.
class Stacks {
    // No machine has larger pages than 64 KB.
    static constexpr size_t page = 1 << 16, size = 1 << 18;
    char* base = nullptr;
    size_t count = 0;

public:
    void reserve(size_t wanted) {
        if (wanted <= count) return;
        if (base) munmap(base, count * size);
        void* memory = mmap(nullptr, wanted * size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        base = static_cast<char*>(memory);
        count = wanted;
        for (size_t i = 0; i < count; ++i) mprotect(base + i * size, page, PROT_NONE);
    }
    void prepare(Fibre& fibre, size_t i, void (*body)()) {
        fibre.prepare(base + i * size + page, size - page, body);
    }
    void forget() { sanitizers::forget(base, count * size); }
};

}  // namespace cuda_sim
