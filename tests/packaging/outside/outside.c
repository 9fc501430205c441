/* Somebody else's program: uses the installed library through its public headers alone. */
#include <saddlescope/context.h>
#include <saddlescope/tensor.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    ss_context *context = NULL;
    int64_t     shape[2] = { 3, 7 }, count = 0;
    if (ss_context_create(&context) != SS_OK) return 1;
    int good = ss_shape_count(context, 2, shape, &count) == SS_OK && count == 21;
    shape[1] = -7;
    good = good && ss_shape_count(context, 2, shape, &count) == SS_ERROR_INPUT &&
           strstr(ss_context_message(context), "-7") != NULL;
    printf("%s\n", ss_context_message(context));
    ss_context_destroy(context);
    return good ? 0 : 1;
}
