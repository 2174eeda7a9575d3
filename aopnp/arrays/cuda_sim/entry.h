// The entry from Python to one kernel: a description of its parameters, and a launch that takes one
// address for each of them.
#pragma once
#include <stdio.h>
#include <type_traits>
#include <utility>

#include "machine.h"

namespace cuda_sim {

// Append NumPy's name of the type: "i4;" for an int, "f8*;" for a double*, "const f8*;" for a const
// double*.
template <class Parameter>
void describe(char*& text) {
    using Number = std::remove_pointer_t<Parameter>;
    static_assert(std::is_arithmetic_v<Number>,
                  "a kernel's parameters are numbers and pointers to numbers");
    const char kind = std::is_same_v<std::remove_cv_t<Number>, bool> ? 'b'
                      : std::is_floating_point_v<Number>             ? 'f'
                      : std::is_signed_v<Number>                     ? 'i'
                                                                     : 'u';
    const char* constant = std::is_const_v<Number> ? "const " : "";
    text += sprintf(text, "%s%c%zu%s;", constant, kind, sizeof(Number),
                    std::is_pointer_v<Parameter> ? "*" : "");
}

template <class... Parameters>
void describe_all(void (*)(Parameters...), char* text) {
    *text = 0;
    (describe<Parameters>(text), ...);
}

template <class... Parameters, size_t... I>
void call(void (*kernel)(Parameters...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<Parameters*>(arguments[I])...);
}

template <class... Parameters>
void call(void (*kernel)(Parameters...), void** arguments) {
    call(kernel, arguments, std::index_sequence_for<Parameters...>{});
}

}  // namespace cuda_sim

#define CUDA_SIM_DOOR extern "C" __attribute__((visibility("default")))

// The first line does not compile where the kernel is not extern "C": a GPU's driver looks for the
// plain name that extern "C" gives.
#define CUDA_SIM_EXPORT(kernel)                                                                 \
    extern "C" decltype(kernel) kernel;                                                         \
    CUDA_SIM_DOOR void cuda_sim_describe(char* text) { cuda_sim::describe_all(kernel, text); }  \
    CUDA_SIM_DOOR const char* cuda_sim_run(cuda_sim::Launch* launch) {                          \
        launch->thread = [](void** arguments) { cuda_sim::call(kernel, arguments); };           \
        return cuda_sim::run(*launch);                                                          \
    }
