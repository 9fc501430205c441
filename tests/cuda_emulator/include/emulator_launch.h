/* Launching a kernel under the emulator, and the shared memory of its blocks: SS_LAUNCH, SS_SHARED and
 * SS_DYNAMIC_SHARED of cuda/launch.cuh. Arguments are converted to the kernel's parameter types and copied,
 * as CUDA does; the copy is handed to every thread. */
#ifndef SS_EMULATOR_LAUNCH_H
#define SS_EMULATOR_LAUNCH_H

#include "cuda_runtime.h"
#include "emulator_kernel.h"

#include <tuple>
#include <type_traits>
#include <utility>

namespace ss_emulator
{
template <class... P> struct arguments {
    void (*kernel)(P...);
    std::tuple<std::remove_cv_t<P>...> values;

    static void run(const void *at)
    {
        const arguments *self = static_cast<const arguments *>(at);
        std::apply(self->kernel, self->values);
    }
    static void release(void *at) { delete static_cast<arguments *>(at); }
};

/* Lists the words of one parameter. A compiler that can clears its padding, which may hold old pointers. An
 * empty parameter has no words, and its one byte is another one's: a tuple keeps them at the same address. */
template <class T> void list_words(T &value, ss_emulator_word *list, size_t *n)
{
    if constexpr (std::is_empty_v<T>) return;
    int cleared = 0;
#ifdef __has_builtin
#if __has_builtin(__builtin_clear_padding)
    __builtin_clear_padding(&value);
    cleared = 1;
#endif
#endif
    if constexpr (alignof(T) >= 8)
        for (size_t i = 0; i < sizeof(T) / 8; i++)
            list[(*n)++] = { reinterpret_cast<uint64_t *>(&value) + i, std::is_pointer_v<T>, cleared };
}

template <class... P, class... A>
void launch(const char *name, const char *file, int line, dim3 grid, dim3 block, size_t shared,
            cudaStream_t stream, void (*kernel)(P...), A &&...given)
{
    static_assert(sizeof...(P) == sizeof...(A), "a kernel is launched with all its arguments");
    static_assert((std::is_convertible_v<A &&, P> && ...), "arguments convert to the kernel's parameters");
    static_assert((std::is_trivially_copyable_v<P> && ...), "kernel parameters are copied byte by byte");
    static_assert((!std::is_reference_v<P> && ...), "kernel parameters are values");
    static_assert((sizeof(P) + ... + 0) <= 4096,
                  "a kernel has 4 KiB of parameters (32 KiB from CUDA 12.1 on)");
    auto             *own = new arguments<P...>{ kernel, { static_cast<P>(std::forward<A>(given))... } };
    size_t            most = ((sizeof(P) / 8) + ... + 0), n = 0;
    ss_emulator_word *words = ss_emulator_word_list(most);
    std::apply([&](auto &...value) { (list_words(value, words, &n), ...); }, own->values);
    ss_emulator_kernel description = { name,
                                       file,
                                       line,
                                       grid,
                                       block,
                                       shared,
                                       reinterpret_cast<const void *>(kernel),
                                       own,
                                       sizeof *own,
                                       &arguments<P...>::run,
                                       &arguments<P...>::release,
                                       n,
                                       words };
    ss_emulator_launch(&description, stream);
}
} // namespace ss_emulator

#define SS_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                            \
    ::ss_emulator::launch(#kernel, __FILE__, __LINE__, (grid), (block), (shared_bytes), (stream), kernel,    \
                          __VA_ARGS__)

#define SS_SHARED(type, name, count)                                                                         \
    static const char name##_key_ = 0;                                                                       \
    type(&name)[count] = *static_cast<type(*)[count]>(                                                       \
        ::ss_emulator_shared(&name##_key_, sizeof(type[count]), alignof(type), #name))

#define SS_DYNAMIC_SHARED(type, name)                                                                        \
    type *name = static_cast<type *>(::ss_emulator_dynamic_shared(alignof(type)))

#endif
