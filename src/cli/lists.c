/* Lists of numbers, and digests of what a table depends on. */
#include "cli/lists.h"

#include <errno.h>
#include <stdlib.h>

#define LONGEST 1000000 /* numbers */

typedef struct list {
    ss_context *context;
    const char *option, *text; /* for messages */
    int64_t     least, most;
    int64_t    *numbers; /* [count] */
    int64_t     count, room;
} list;

static ss_status add(list *l, int64_t number)
{
    ss_status status = SS_OK;
    if (number < l->least || number > l->most)
        SS_FAIL(l->context, SS_ERROR_USAGE, "%s: %lld is outside %lld..%lld", l->option, (long long)number,
                (long long)l->least, (long long)l->most);
    if (l->count == LONGEST)
        SS_FAIL(l->context, SS_ERROR_USAGE, "%s: more than a million numbers", l->option);
    if (l->count == l->room) {
        l->room = l->room > 0 ? 2 * l->room : 64;
        SS_TRY(ss_reallocate(l->context, l->room, sizeof *l->numbers, (void **)&l->numbers));
    }
    l->numbers[l->count++] = number;
fail:
    return status;
}

/* One number at *p, which moves behind it. */
static ss_status take(const list *l, const char **p, int64_t *number)
{
    char *end = NULL;
    errno = 0;
    *number = **p >= '0' && **p <= '9' ? strtoll(*p, &end, 10) : 0;
    if (end == NULL || errno != 0)
        return ss_fail(l->context, SS_ERROR_USAGE, "%s: '%s' is no list of numbers like 0..99 or 2,4,8",
                       l->option, l->text);
    *p = end;
    return SS_OK;
}

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static ss_status refuse_twice(const list *l)
{
    ss_status status = SS_OK;
    int64_t  *sorted = NULL;
    SS_TRY(SS_NEW_ARRAY(l->context, l->count, &sorted));
    for (int64_t i = 0; i < l->count; i++) sorted[i] = l->numbers[i];
    qsort(sorted, (size_t)l->count, sizeof *sorted, ascending);
    for (int64_t i = 1; i < l->count; i++)
        if (sorted[i] == sorted[i - 1])
            SS_FAIL(l->context, SS_ERROR_USAGE, "%s: %lld is given twice", l->option, (long long)sorted[i]);
fail:
    ss_free(l->context, sorted);
    return status;
}

ss_status ss_list_parse(ss_context *context, const char *option, const char *text, int64_t least,
                        int64_t most, int64_t **numbers, int64_t *count)
{
    ss_status   status = SS_OK;
    list        l = { .context = context, .option = option, .text = text, .least = least, .most = most };
    const char *p = text;
    for (;;) {
        int64_t first = 0, last = 0;
        SS_TRY(take(&l, &p, &first));
        last = first;
        if (p[0] == '.' && p[1] == '.') {
            p += 2;
            SS_TRY(take(&l, &p, &last));
            if (last < first)
                SS_FAIL(context, SS_ERROR_USAGE, "%s: %lld..%lld runs backwards", option, (long long)first,
                        (long long)last);
        }
        for (int64_t i = first; i <= last; i++) SS_TRY(add(&l, i));
        if (*p == '\0') break;
        if (*p++ != ',')
            SS_FAIL(context, SS_ERROR_USAGE, "%s: '%s' is no list of numbers like 0..99 or 2,4,8", option,
                    text);
    }
    SS_TRY(refuse_twice(&l));
    *numbers = l.numbers;
    *count = l.count;
    return SS_OK;
fail:
    ss_free(context, l.numbers);
    return status;
}

uint64_t ss_digest(uint64_t digest, const void *bytes, size_t size)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < size; i++) digest = (digest ^ p[i]) * 1099511628211u;
    return digest;
}
