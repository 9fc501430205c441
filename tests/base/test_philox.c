/* Philox-4x32-10 against the known-answer vectors of the paper's own test set (Salmon et al., SC 2011, file
 * kat_vectors of Random123), and the two distributions made from it. */
#include "base/philox.h"

#include <criterion/criterion.h>

typedef struct known_answer {
    uint32_t counter[4]; /* c0 c1 c2 c3 */
    uint32_t key[2];     /* k0 k1 */
    uint32_t answer[4];
} known_answer;

static const known_answer known[] = {
    { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
    { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
      { 0xffffffff, 0xffffffff },
      { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
    { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
      { 0xa4093822, 0x299f31d0 },
      { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
};

Test(philox, known_answers)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const known_answer *k = &known[i];
        uint64_t            index = (uint64_t)k->counter[1] << 32 | k->counter[0];
        uint64_t            stream = (uint64_t)k->counter[3] << 32 | k->counter[2];
        uint64_t            seed = (uint64_t)k->key[1] << 32 | k->key[0];
        ss_philox_block     block = ss_philox(seed, stream, index);
        for (int j = 0; j < 4; j++)
            cr_assert(block.word[j] == k->answer[j], "vector %zu word %d: %08x", i, j, block.word[j]);
    }
}

Test(philox, a_changed_bit_changes_the_answer)
{
    ss_philox_block a = ss_philox(1, SS_STREAM_TEST, 5), b = ss_philox(1, SS_STREAM_TEST, 4),
                    c = ss_philox(0, SS_STREAM_TEST, 5), d = ss_philox(1, SS_STREAM_TEST - 1, 5);
    cr_assert(a.word[0] != b.word[0] && a.word[0] != c.word[0] && a.word[0] != d.word[0]);
}

Test(philox, unit_interval_is_open)
{
    cr_assert(ss_philox_unit(0, 0) > 0.0);
    cr_assert(ss_philox_unit(0xffffffff, 0xffffffff) < 1.0);
    cr_assert(ss_philox_unit(0x80000000, 0) > 0.5 && ss_philox_unit(0x7fffffff, 0xffffffff) < 0.5);
}

Test(philox, normal_moments)
{
    /* Of 100 000 standard normals the mean has deviation 0.0032, the second moment 0.0045, the fourth 0.031:
     * limits at five deviations. */
    const uint64_t count = 100000;
    double         mean = 0.0, second = 0.0, fourth = 0.0;
    for (uint64_t i = 0; i < count; i++) {
        double x = ss_random_normal(7, SS_STREAM_TEST, i);
        mean += x;
        second += x * x;
        fourth += x * x * x * x;
    }
    cr_assert(fabs(mean / (double)count) < 0.016);
    cr_assert(fabs(second / (double)count - 1.0) < 0.023);
    cr_assert(fabs(fourth / (double)count - 3.0) < 0.16);
}
