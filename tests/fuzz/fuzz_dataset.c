/* Fuzz target: data sets. The input is one archive, or "PAIR", a 32-bit length, and two archives. Options
 * follow from the input. */
#include "fuzz.h"
#include "io/dataset_private.h"

#include <string.h>

static volatile double sink;

static void use(const ss_dataset *dataset)
{
    int64_t  samples = ss_dataset_samples(dataset), counted = 0;
    int64_t *index = NULL, start[9];
    int32_t  groups = (int32_t)ss_min64(samples, 8);
    for (int64_t i = 0; i < samples; i++) counted += ss_dataset_counted(dataset, i);
    fuzz_check(counted <=
                   samples * ss_max64(ss_dataset_target_length(dataset), ss_dataset_input_length(dataset)),
               "more targets than elements");
    sink = sink + ss_array_value(ss_dataset_inputs(dataset), samples * ss_dataset_input_length(dataset) - 1);
    if (ss_dataset_targets(dataset) != NULL)
        sink = sink +
               ss_array_value(ss_dataset_targets(dataset), samples * ss_dataset_target_length(dataset) - 1);
    fuzz_check(ss_dataset_description(dataset)[0] != '\0', "no description");
    fuzz_status(ss_dataset_check_labels(fuzz_context, dataset, 10, SS_IGNORED_LABEL));
    ss_status status = ss_allocate(fuzz_context, samples, sizeof *index, (void **)&index);
    if (status == SS_OK) status = ss_dataset_groups(fuzz_context, dataset, groups, fuzz_hash, index, start);
    if (status == SS_OK) fuzz_check(start[0] == 0 && start[groups] == samples, "samples were lost in groups");
    fuzz_status(status);
    ss_free(fuzz_context, index);
}

/* Opens the second archive of a pair, or NULL. */
static ss_status open_second(const uint8_t **data, size_t *size, ss_archive **archive)
{
    uint32_t  length = 0;
    ss_status status = SS_OK;
    if (*size < 8 || memcmp(*data, "PAIR", 4) != 0) return SS_OK;
    memcpy(&length, *data + 4, 4);
    *data += 8;
    *size -= 8;
    if (length > *size) length = (uint32_t)*size;
    status =
        ss_archive_open_memory(fuzz_context, "fuzz.y", *data + length, (int64_t)(*size - length), archive);
    *size = length;
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ss_archive        *inputs = NULL, *targets = NULL;
    ss_dataset        *dataset = NULL;
    ss_dataset_options options;
    fuzz_begin(data, size);
    ss_dataset_options_init(&options);
    options.scale_given = (fuzz_hash >> 8) % 4 != 0;
    options.scale = options.scale_given ? 1.0 / 255 : 1.0;
    options.samples = (fuzz_hash >> 10) % 4 == 0 ? 1 + (int64_t)(fuzz_hash >> 12) % 3 : 0;
    ss_status status = open_second(&data, &size, &targets);
    if (status == SS_OK)
        status = ss_archive_open_memory(fuzz_context, "fuzz.x", data, (int64_t)size, &inputs);
    if (status == SS_OK)
        status = ss_dataset_from_archives(fuzz_context, "fuzz", inputs, targets, &options, &dataset);
    else
        ss_archive_close(targets);
    fuzz_check((dataset != NULL) == (status == SS_OK), "a data set beside a failure");
    fuzz_status(status);
    if (dataset != NULL) use(dataset);
    ss_dataset_close(dataset);
    fuzz_end();
    return 0;
}
