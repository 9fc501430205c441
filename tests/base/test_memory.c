/* The allocator: alignment, zero filling, overflow, failing on demand, statistics, threads. */
#include "support/support.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

Test(memory, aligned_and_zero, .init = ss_test_begin, .fini = ss_test_end)
{
    for (int64_t count = 0; count < 700; count += 13) {
        unsigned char *bytes = NULL;
        ss_test_require(ss_allocate(ss_test_context, count, 1, (void **)&bytes));
        cr_assert((uintptr_t)bytes % 256 == 0);
        for (int64_t i = 0; i < count; i++) cr_assert(bytes[i] == 0);
        memset(bytes, 0xA5, (size_t)count);
        ss_free(ss_test_context, bytes);
    }
}

Test(memory, overflow_is_refused, .init = ss_test_begin, .fini = ss_test_end)
{
    void *memory = &memory;
    ss_test_refuse(ss_allocate(ss_test_context, INT64_MAX, 8, &memory), SS_ERROR_MEMORY, "address space");
    cr_assert(memory == NULL);
    ss_test_refuse(ss_allocate(ss_test_context, -1, 8, &memory), SS_ERROR_MEMORY, "-1");
    ss_test_refuse(ss_allocate(ss_test_context, INT64_MAX - 100, 1, &memory), SS_ERROR_MEMORY, NULL);
    cr_assert(ss_context_memory_now(ss_test_context) == 0);
}

Test(memory, nth_allocation_fails_once, .init = ss_test_begin, .fini = ss_test_end)
{
    void *blocks[6] = { NULL };
    ss_test_require(ss_allocate(ss_test_context, 1, 1, &blocks[0]));
    ss_context_fail_allocation(ss_test_context, 3);
    for (int i = 1; i < 6; i++) {
        ss_status status = ss_allocate(ss_test_context, 7, 8, &blocks[i]);
        cr_assert(status == (i == 3 ? SS_ERROR_MEMORY : SS_OK), "call %d", i);
        cr_assert((blocks[i] == NULL) == (i == 3));
    }
    cr_assert(strstr(ss_context_message(ss_test_context), "7 elements of 8 bytes") != NULL);
    cr_assert(ss_context_allocations(ss_test_context) == 6);
    for (int i = 0; i < 6; i++) ss_free(ss_test_context, blocks[i]);
}

Test(memory, hook_is_switched_off, .init = ss_test_begin, .fini = ss_test_end)
{
    void *block = NULL;
    ss_context_fail_allocation(ss_test_context, 1);
    ss_context_fail_allocation(ss_test_context, 0);
    ss_test_require(ss_allocate(ss_test_context, 1, 1, &block));
    ss_free(ss_test_context, block);
}

Test(memory, peak, .init = ss_test_begin, .fini = ss_test_end)
{
    void *a = NULL, *b = NULL;
    ss_test_require(ss_allocate(ss_test_context, 1000, 1, &a));
    ss_test_require(ss_allocate(ss_test_context, 500, 4, &b));
    cr_assert(ss_context_memory_now(ss_test_context) == 3000);
    ss_free(ss_test_context, a);
    cr_assert(ss_context_memory_now(ss_test_context) == 2000);
    cr_assert(ss_context_memory_peak(ss_test_context) == 3000);
    ss_context_memory_reset_peak(ss_test_context);
    cr_assert(ss_context_memory_peak(ss_test_context) == 2000);
    ss_free(ss_test_context, b);
    ss_free(ss_test_context, NULL);
}

Test(memory, reallocation_keeps_and_zeroes, .init = ss_test_begin, .fini = ss_test_end)
{
    int32_t *numbers = NULL;
    ss_test_require(ss_reallocate(ss_test_context, 10, sizeof *numbers, (void **)&numbers));
    for (int32_t i = 0; i < 10; i++) numbers[i] = i + 1;
    ss_test_require(ss_reallocate(ss_test_context, 1000, sizeof *numbers, (void **)&numbers));
    for (int32_t i = 0; i < 1000; i++) cr_assert(numbers[i] == (i < 10 ? i + 1 : 0));
    ss_context_fail_allocation(ss_test_context, 1);
    int32_t *before = numbers;
    ss_test_refuse(ss_reallocate(ss_test_context, 5000, sizeof *numbers, (void **)&numbers), SS_ERROR_MEMORY,
                   "5000 elements of 4 bytes");
    cr_assert(numbers == before && numbers[9] == 10);
    ss_free(ss_test_context, numbers);
}

Test(memory, threads_count_correctly, .init = ss_test_begin, .fini = ss_test_end)
{
    int64_t failures = 0;
#pragma omp parallel for reduction(+ : failures) num_threads(4)
    for (int i = 0; i < 4000; i++) {
        void *block = NULL;
        if (ss_allocate(ss_test_context, i % 97 + 1, 8, &block) != SS_OK) failures++;
        ss_free(ss_test_context, block);
    }
    cr_assert(failures == 0);
    cr_assert(ss_context_allocations(ss_test_context) == 4000);
    cr_assert(ss_context_memory_peak(ss_test_context) >= 97 * 8);
}

Test(memory, strings, .init = ss_test_begin, .fini = ss_test_end)
{
    char *copy = NULL, *text = NULL;
    ss_test_require(ss_copy_string(ss_test_context, "layers.0.weight", &copy));
    ss_test_require(ss_format(ss_test_context, &text, "%s[%d] = %g", copy, 3, 0.5));
    cr_assert_str_eq(text, "layers.0.weight[3] = 0.5");
    ss_free(ss_test_context, copy);
    ss_free(ss_test_context, text);
}
