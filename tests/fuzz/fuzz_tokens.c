/* Fuzz target: token ids. The bytes are a raw file, or an archive when they look like one; how they are cut
 * follows from the input. */
#include "fuzz.h"
#include "io/dataset_private.h"

static volatile double sink;

static void use(const ss_dataset *dataset)
{
    const ss_array *x = ss_dataset_inputs(dataset);
    int64_t         samples = ss_dataset_samples(dataset), counted = 0;
    for (int64_t i = 0; i < samples * ss_dataset_input_length(dataset); i++)
        sink = sink + ss_array_value(x, i);
    for (int64_t i = 0; i < samples; i++) counted += ss_dataset_counted(dataset, i);
    fuzz_check(counted >= 0, "a negative number of targets");
    fuzz_check(ss_dataset_targets(dataset) != NULL || ss_dataset_largest_id(dataset) >= 0,
               "no ids, no targets");
    fuzz_check(ss_dataset_description(dataset)[0] != '\0', "no description");
    fuzz_status(ss_dataset_check_labels(fuzz_context, dataset, 300, SS_IGNORED_LABEL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ss_type types[] = { SS_U16, SS_U32, SS_I32, SS_I64 };
    ss_archive          *archive = NULL;
    ss_dataset          *dataset = NULL;
    ss_dataset_options   options;
    fuzz_begin(data, size);
    ss_dataset_options_init(&options);
    options.sequence_length = (int64_t)((fuzz_hash >> 8) % 24);
    options.stride = (fuzz_hash >> 16) % 2 == 0 ? 0 : (int64_t)((fuzz_hash >> 17) % 32);
    options.samples = (fuzz_hash >> 24) % 4 == 0 ? 1 + (int64_t)(fuzz_hash >> 26) % 3 : 0;
    options.token_type_given = (fuzz_hash >> 32) % 4 != 0;
    options.token_type = types[(fuzz_hash >> 34) % 4];
    bool      known = size > 8 && (data[0] == 0x93 || data[8] == '{');
    ss_status status =
        known ? ss_archive_open_memory(fuzz_context, "fuzz", data, (int64_t)size, &archive)
              : ss_tokens_open_memory(fuzz_context, "fuzz", data, (int64_t)size, &options, &archive);
    if (status == SS_OK)
        status = ss_dataset_from_archives(fuzz_context, "fuzz", archive, NULL, &options, &dataset);
    fuzz_check((dataset != NULL) == (status == SS_OK), "a data set beside a failure");
    fuzz_status(status);
    if (dataset != NULL) use(dataset);
    ss_dataset_close(dataset);
    fuzz_end();
    return 0;
}
