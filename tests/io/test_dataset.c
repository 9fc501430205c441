/* Data sets: from files and arrays, options, choice and grouping, labels, descriptions. What is refused in
 * files is in malformed.tsv. */
#include "io/archive.h"
#include "saddlescope/dataset.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define DATA   SS_SOURCE_DIRECTORY "/tests/io/data/"
#define CORPUS SS_SOURCE_DIRECTORY "/tests/fuzz/corpus/dataset/"

static const float    xs[12] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, -11 };
static const int64_t  ys[6] = { 0, 2, -100, 1, 2, 2 };
static const ss_array x = { .name = "x", .type = SS_F32, .rank = 2, .shape = { 6, 2 }, .data = xs };
static const ss_array y = { .name = "", .type = SS_I64, .rank = 1, .shape = { 6 }, .data = ys };

Test(dataset, from_arrays, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_dataset *dataset = NULL;
    ss_test_require(ss_dataset_from_arrays(ss_test_context, &x, &y, NULL, &dataset));
    cr_assert(ss_dataset_samples(dataset) == 6 && ss_dataset_samples_in_file(dataset) == 6);
    cr_assert(ss_dataset_input_length(dataset) == 2 && ss_dataset_target_length(dataset) == 1);
    cr_assert(ss_dataset_inputs(dataset)->data == xs && ss_dataset_targets(dataset)->data == ys);
    cr_assert(ss_dataset_scale(dataset) == 1.0 && ss_dataset_shift(dataset) == 0.0);
    cr_assert(ss_dataset_chosen(dataset) == NULL && ss_dataset_has_labels(dataset));
    cr_assert(ss_dataset_counted(dataset, 1) == 1 && ss_dataset_counted(dataset, 2) == 0);
    cr_assert_str_eq(ss_dataset_description(dataset),
                     "x F32 [6, 2] range [-11, 10]; y I64 [6], 3 classes 0..2, "
                     "1 of 6 not counted (-100)");
    ss_dataset_close(dataset);
}

Test(dataset, labels, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_dataset   *dataset = NULL;
    const int64_t ignored[6] = { -100, -100, -100, -100, -100, -100 };
    ss_array      other = y;
    ss_test_require(ss_dataset_from_arrays(ss_test_context, &x, &y, NULL, &dataset));
    ss_test_require(ss_dataset_check_labels(ss_test_context, dataset, 3, SS_IGNORED_LABEL));
    ss_test_refuse(ss_dataset_check_labels(ss_test_context, dataset, 2, SS_IGNORED_LABEL), SS_ERROR_INPUT,
                   "array 'y': label 2 at [1]: expected a class id between 0 and 1");
    ss_test_refuse(ss_dataset_check_labels(ss_test_context, dataset, 3, -1), SS_ERROR_INPUT,
                   "label -100 at [2]");
    ss_dataset_close(dataset);
    other.data = ignored;
    ss_test_require(ss_dataset_from_arrays(ss_test_context, &x, &other, NULL, &dataset));
    ss_test_refuse(ss_dataset_check_labels(ss_test_context, dataset, 3, SS_IGNORED_LABEL), SS_ERROR_INPUT,
                   "no label counts");
    ss_dataset_close(dataset);
    ss_test_require(ss_dataset_from_arrays(ss_test_context, &x, &x, NULL, &dataset));
    cr_assert(!ss_dataset_has_labels(dataset) && ss_dataset_counted(dataset, 0) == 2);
    ss_test_refuse(ss_dataset_check_labels(ss_test_context, dataset, 3, SS_IGNORED_LABEL), SS_ERROR_INPUT,
                   "expected integer class ids, found type F32");
    ss_dataset_close(dataset);
}

Test(dataset, bytes_need_a_scale, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_dataset        *dataset = NULL;
    ss_dataset_options options;
    const char *const  path = DATA "images-idx3-ubyte.gz," DATA "labels-idx1-ubyte.gz";
    ss_dataset_options_init(&options);
    ss_test_refuse(ss_dataset_open(ss_test_context, path, &options, &dataset), SS_ERROR_INPUT,
                   "array 'x' has type U8: state what the network sees, for example --scale 1/255");
    options.scale_given = true;
    options.scale = 1.0 / 255;
    options.shift = -0.5;
    ss_test_require(ss_dataset_open(ss_test_context, path, &options, &dataset));
    cr_assert(ss_dataset_scale(dataset) == 1.0 / 255 && ss_dataset_shift(dataset) == -0.5);
    cr_assert(ss_dataset_inputs(dataset)->rank == 3 && ss_array_value(ss_dataset_inputs(dataset), 23) == 23);
    cr_assert(ss_array_integer(ss_dataset_targets(dataset), 1) == 2);
    cr_assert_str_eq(
        ss_dataset_description(dataset),
        "x U8 [4, 2, 3] range [0, 23] times 0.00392157 plus -0.5: [-0.5, -0.409804]; y U8 [4], 3 "
        "classes 0..2");
    ss_dataset_close(dataset);
    ss_test_require(ss_dataset_open(ss_test_context, DATA "images-idx3-ubyte," DATA "labels-idx1-ubyte",
                                    &options, &dataset));
    ss_dataset_close(dataset);
}

Test(dataset, options_are_checked, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_dataset        *dataset = NULL;
    ss_dataset_options options;
    ss_dataset_options_init(&options);
    options.scale = NAN;
    ss_test_refuse(ss_dataset_from_arrays(ss_test_context, &x, &y, &options, &dataset), SS_ERROR_USAGE,
                   "scale");
    options.scale = 0.0;
    ss_test_refuse(ss_dataset_from_arrays(ss_test_context, &x, &y, &options, &dataset), SS_ERROR_USAGE,
                   "scale");
    ss_dataset_options_init(&options);
    options.samples = -1;
    ss_test_refuse(ss_dataset_from_arrays(ss_test_context, &x, &y, &options, &dataset), SS_ERROR_USAGE,
                   "samples");
    options.samples = 7;
    ss_test_refuse(ss_dataset_from_arrays(ss_test_context, &x, &y, &options, &dataset), SS_ERROR_INPUT,
                   "7 samples are asked for, array 'x' has 6");
    ss_dataset_options_init(&options);
    options.inputs = "x";
    ss_test_refuse(ss_dataset_open(ss_test_context, CORPUS "ok_x_y", &options, &dataset), SS_ERROR_USAGE,
                   "name both arrays");
    options.targets = "z";
    ss_test_refuse(ss_dataset_open(ss_test_context, CORPUS "ok_x_y", &options, &dataset), SS_ERROR_INPUT,
                   "expected an array 'z', found 'x', 'y'");
    options.targets = "y";
    ss_test_require(ss_dataset_open(ss_test_context, CORPUS "ok_x_y", &options, &dataset));
    ss_dataset_close(dataset);
}

Test(dataset, other_arrays_stay, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_dataset        *dataset = NULL;
    ss_dataset_options options;
    ss_dataset_options_init(&options);
    ss_test_require(ss_dataset_open(ss_test_context, CORPUS "ok_ids", &options, &dataset));
    cr_assert(ss_dataset_find(dataset, "attention_mask")->shape[1] == 2);
    cr_assert(ss_dataset_find(dataset, "nobody") == NULL && ss_dataset_find(dataset, "labels") == NULL);
    cr_assert_str_eq(ss_dataset_inputs(dataset)->name, "input_ids");
    cr_assert(ss_dataset_target_length(dataset) == 2 && ss_dataset_counted(dataset, 0) == 1);
    ss_dataset_close(dataset);
    options.scale_given = true;
    ss_test_refuse(ss_dataset_open(ss_test_context, CORPUS "ok_ids", &options, &dataset), SS_ERROR_INPUT,
                   "token ids are never scaled");
    options.scale_given = false;
    options.samples = 1;
    ss_test_require(ss_dataset_open(ss_test_context, CORPUS "ok_ids", &options, &dataset));
    int64_t chosen = ss_dataset_chosen(dataset)[0];
    cr_assert(ss_dataset_find(dataset, "attention_mask")->shape[0] == 1);
    cr_assert(ss_array_integer(ss_dataset_find(dataset, "attention_mask"), 1) == (chosen == 0 ? 1 : 0));
    ss_dataset_close(dataset);
}

Test(dataset, two_files, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_dataset *dataset = NULL;
    const char *comma = ss_test_path("with,comma.npz");
    size_t      size = 0;
    char        path[4096];
    void       *bytes = ss_test_read_file(SS_SOURCE_DIRECTORY "/tests/fuzz/corpus/npz/ok_stored", &size);
    ss_test_write_file(comma, bytes, size);
    ss_free(ss_test_context, bytes);
    ss_test_require(ss_dataset_open(ss_test_context, comma, NULL, &dataset));
    cr_assert_str_eq(ss_dataset_path(dataset), comma);
    ss_dataset_close(dataset);

    /* The first name has a comma too: the split is behind a file that exists. */
    const char *first = ss_test_path("a,b.idx");
    bytes = ss_test_read_file(DATA "F64.idx", &size);
    ss_test_write_file(first, bytes, size);
    ss_free(ss_test_context, bytes);
    snprintf(path, sizeof path, "%s,%s", first, DATA "I32.idx");
    ss_test_require(ss_dataset_open(ss_test_context, path, NULL, &dataset));
    cr_assert(ss_dataset_inputs(dataset)->type == SS_F64 && ss_dataset_targets(dataset)->type == SS_I32);
    ss_dataset_close(dataset);

    ss_test_refuse(ss_dataset_open(ss_test_context, "nowhere.npy,neither.npy", NULL, &dataset),
                   SS_ERROR_INPUT, "nowhere.npy: cannot be opened");
    snprintf(path, sizeof path, "%s,%s", DATA "F64.idx", comma);
    ss_test_refuse(ss_dataset_open(ss_test_context, path, NULL, &dataset), SS_ERROR_INPUT,
                   "each must hold one array, this one holds 2");
}

Test(dataset, a_choice_of_samples, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_dataset        *dataset = NULL;
    ss_dataset_options options;
    ss_dataset_options_init(&options);
    options.samples = 4;
    options.sample_seed = 11;
    ss_test_require(ss_dataset_from_arrays(ss_test_context, &x, &y, &options, &dataset));
    const int64_t *chosen = ss_dataset_chosen(dataset);
    cr_assert(ss_dataset_samples(dataset) == 4 && ss_dataset_samples_in_file(dataset) == 6);
    cr_assert(ss_dataset_inputs(dataset)->shape[0] == 4 && ss_dataset_targets(dataset)->shape[0] == 4);
    for (int64_t i = 0; i < 4; i++) {
        for (int64_t j = 0; j < 2; j++)
            cr_assert(ss_array_value(ss_dataset_inputs(dataset), 2 * i + j) == xs[2 * chosen[i] + j]);
        cr_assert(ss_array_integer(ss_dataset_targets(dataset), i) == ys[chosen[i]]);
    }
    cr_assert(strstr(ss_dataset_description(dataset), "; 4 of 6 samples, seed 11") != NULL);
    ss_dataset_close(dataset);
}

Test(dataset, select_is_a_set_and_fair, .init = ss_test_begin, .fini = ss_test_end)
{
    enum { N = 20, K = 7, SEEDS = 4000 };
    int64_t index[N], again[N], hits[N] = { 0 };
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        ss_test_require(ss_dataset_select(ss_test_context, N, K, seed, index));
        for (int i = 0; i < K; i++) {
            cr_assert(index[i] >= 0 && index[i] < N && (i == 0 || index[i] > index[i - 1]));
            hits[index[i]]++;
        }
    }
    /* Each number is hit with probability K/N: five standard deviations of the binomial. */
    double mean = (double)SEEDS * K / N, deviation = sqrt(mean * (1.0 - (double)K / N));
    for (int i = 0; i < N; i++)
        cr_assert(fabs((double)hits[i] - mean) < 5 * deviation, "%d was drawn %lld times of %g", i,
                  (long long)hits[i], mean);
    ss_test_require(ss_dataset_select(ss_test_context, N, K, 3, index));
    ss_test_require(ss_dataset_select(ss_test_context, N, K, 3, again));
    cr_assert(memcmp(index, again, K * sizeof *index) == 0);
    ss_test_require(ss_dataset_select(ss_test_context, N, N, 3, index));
    for (int i = 0; i < N; i++) cr_assert(index[i] == i);
    ss_test_refuse(ss_dataset_select(ss_test_context, N, N + 1, 3, index), SS_ERROR_USAGE, "21 of 20");
    ss_test_refuse(ss_dataset_select(ss_test_context, N, 0, 3, index), SS_ERROR_USAGE, "0 of 20");
}

/* These numbers are part of the format: an index list in a result must mean the same in every version. */
Test(dataset, select_is_pinned, .init = ss_test_begin, .fini = ss_test_end)
{
    const int64_t expected[5] = { 72, 430, 522, 578, 938 };
    int64_t       index[5];
    ss_test_require(ss_dataset_select(ss_test_context, 1797, 5, 42, index));
    for (int i = 0; i < 5; i++) cr_assert(index[i] == expected[i], "%d: %lld", i, (long long)index[i]);
}

Test(dataset, groups, .init = ss_test_begin, .fini = ss_test_end)
{
    enum { N = 101, T = 3 };
    static int64_t labels[N * T];
    static float   inputs[N];
    int64_t        index[N], start[33], targets = 0, least = INT64_MAX, most = 0;
    bool           seen[N] = { false };
    for (int i = 0; i < N * T; i++) labels[i] = i % 5 == 0 || i < 60 ? SS_IGNORED_LABEL : 1;
    const ss_array a = { .name = "x", .type = SS_F32, .rank = 1, .shape = { N }, .data = inputs };
    const ss_array b = { .name = "y", .type = SS_I64, .rank = 2, .shape = { N, T }, .data = labels };
    ss_dataset    *dataset = NULL;
    ss_test_require(ss_dataset_from_arrays(ss_test_context, &a, &b, NULL, &dataset));
    ss_test_require(ss_dataset_groups(ss_test_context, dataset, 32, 5, index, start));
    cr_assert(start[0] == 0 && start[32] == N);
    for (int g = 0; g < 32; g++) {
        int64_t sum = 0;
        cr_assert(start[g + 1] > start[g], "group %d is empty", g);
        for (int64_t i = start[g]; i < start[g + 1]; i++) {
            cr_assert(!seen[index[i]] && (i == start[g] || index[i] > index[i - 1]));
            seen[index[i]] = true;
            sum += ss_dataset_counted(dataset, index[i]);
        }
        least = ss_min64(least, sum);
        most = ss_max64(most, sum);
        targets += sum;
    }
    for (int i = 0; i < N; i++) cr_assert(seen[i]);
    /* Dealing to the neediest keeps the difference below the largest sample. */
    cr_assert(targets > 0 && most - least <= T, "%lld to %lld targets", (long long)least, (long long)most);
    ss_test_refuse(ss_dataset_groups(ss_test_context, dataset, N + 1, 5, index, start), SS_ERROR_USAGE,
                   "102 groups");
    ss_test_refuse(ss_dataset_groups(ss_test_context, dataset, 0, 5, index, start), SS_ERROR_USAGE,
                   "0 groups");
    ss_dataset_close(dataset);
}

Test(dataset, overflowing_rows, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_dataset    *dataset = NULL;
    const ss_array a = {
        .name = "x", .type = SS_F32, .rank = 3, .shape = { 2, INT64_MAX / 2, 3 }, .data = xs
    };
    ss_test_refuse(ss_dataset_from_arrays(ss_test_context, &a, &y, NULL, &dataset), SS_ERROR_INPUT,
                   "overflows");
}

Test(dataset, every_allocation_fails_once, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_dataset        *dataset = NULL;
    ss_dataset_options options;
    ss_dataset_options_init(&options);
    options.samples = 1;
    for (int64_t nth = 1;; nth++) {
        int64_t before = ss_context_allocations(ss_test_context);
        ss_context_fail_allocation(ss_test_context, nth);
        ss_status status = ss_dataset_open(ss_test_context, CORPUS "ok_ids", &options, &dataset);
        if (ss_context_allocations(ss_test_context) - before < nth) {
            ss_test_require(status);
            cr_assert(nth > 20, "only %lld allocations", (long long)nth);
            break;
        }
        ss_test_refuse(status, SS_ERROR_MEMORY, NULL);
        cr_assert(dataset == NULL && ss_context_memory_now(ss_test_context) == 0);
    }
    ss_context_fail_allocation(ss_test_context, 0);
    ss_dataset_close(dataset);
}

/* A data set of float targets as a reference case has it. */
Test(dataset, float_targets, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_dataset *dataset = NULL;
    ss_test_require(ss_dataset_open(
        ss_test_context, SS_SOURCE_DIRECTORY "/tests/cases/gelu_mse/data.safetensors", NULL, &dataset));
    cr_assert(!ss_dataset_has_labels(dataset));
    ss_dataset_close(dataset);
}
