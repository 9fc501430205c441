/* Torch checkpoints as torch.save writes them since version 1.6: a zip file with "<folder>/data.pkl", the
 * objects as a pickle, and "<folder>/data/<key>", the storages that its tensors view. Reference:
 * torch/serialization.py, caffe2/serialize/inline_container.h.
 *
 * A contiguous tensor is used as it lies in the file; any other is copied once. Tensors that are the same
 * view of one storage (tied weights) share their data, which is how the arrays of the archive show it. Views
 * that share only a part of their elements are refused: they would count as independent parameters. */
#include "io/torch.h"
#include "io/zip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    ss_archive           *archive; /* borrowed */
    ss_zip               *zip;     /* borrowed */
    int                   folder;  /* bytes of "<folder>/" in the name of the pickle */
    const char           *pickle;  /* name of its member */
    bool                  big;     /* the storages are big endian */
    const unsigned char **storage; /* [members of the zip] checked bytes; NULL = not yet looked at; owned */
    ss_torch_state        state;   /* owned */
} reader;

/* ---- Members ----------------------------------------------------------------------------------------------
 */

/* The member "<folder>/<name>", NULL if there is none. */
static const ss_zip_member *find(const reader *r, const char *name)
{
    char path[SS_MEMBER_NAME];
    int  length = snprintf(path, sizeof path, "%.*s%s", r->folder, r->pickle, name);
    return length < (int)sizeof path ? ss_zip_find(r->zip, path) : NULL;
}

/* The byte order of the storages; files before torch 2.1 do not say it and are little endian. */
static ss_status read_byte_order(reader *r)
{
    ss_status            status = SS_OK;
    const ss_zip_member *member = find(r, "byteorder");
    const unsigned char *text = NULL;
    if (member == NULL) return SS_OK;
    SS_TRY(ss_zip_data(r->zip, member, &text));
    r->big = member->size == 3 && memcmp(text, "big", 3) == 0;
    if (!r->big && (member->size != 6 || memcmp(text, "little", 6) != 0))
        SS_TRY(ss_archive_fail(r->archive, "%sexpected 'little' or 'big'", member->where));
fail:
    return status;
}

/* Finds the bytes of a tensor's storage, checks their number, and notes the member. */
static ss_status find_storage(reader *r, ss_torch_tensor *t)
{
    ss_status                status = SS_OK;
    const ss_pickle_storage *storage = t->tensor->storage;
    char                     name[SS_QUOTE_TEXT], path[SS_MEMBER_NAME];
    int64_t                  bytes = storage->count,
            item = storage->type == SS_TYPE_COUNT ? 1 : (int64_t)ss_type_size(storage->type);
    snprintf(path, sizeof path, "data/%.400s", storage->key);
    const ss_zip_member *member = find(r, path);
    if (member == NULL)
        SS_TRY(ss_archive_fail(r->archive, "tensor %s: its storage, member '%.*s%.80s', is missing",
                               ss_quote(t->name, name), r->folder, r->pickle, path));
    if (!ss_mul64(storage->count, item, &bytes) || bytes != member->size)
        SS_TRY(ss_archive_fail(r->archive,
                               "tensor %s: its storage is declared with %lld elements of %lld bytes, %s%lld "
                               "bytes are there",
                               ss_quote(t->name, name), (long long)storage->count, (long long)item,
                               member->where, (long long)member->size));
    t->member = member - r->zip->members;
    if (r->storage[t->member] == NULL) SS_TRY(ss_zip_data(r->zip, member, &r->storage[t->member]));
fail:
    return status;
}

/* ---- Views ------------------------------------------------------------------------------------------------
 */

/* No two index tuples may meet: in the order of their strides, each dimension must step over the whole span
 * of the smaller ones. */
static bool steps_over_itself(const ss_pickle_tensor *tensor)
{
    int64_t order[SS_MAX_RANK], span = 0, step = 0;
    int32_t count = 0;
    for (int32_t d = 0; d < tensor->rank; d++) {
        if (tensor->shape[d] == 1) continue;
        int32_t place = count++;
        for (; place > 0 && tensor->stride[order[place - 1]] > tensor->stride[d]; place--)
            order[place] = order[place - 1];
        order[place] = d;
    }
    for (int32_t i = 0; i < count; i++) {
        if (tensor->stride[order[i]] <= span) return true;
        if (!ss_mul64(tensor->shape[order[i]] - 1, tensor->stride[order[i]], &step) ||
            !ss_add64(span, step, &span))
            return true;
    }
    return false;
}

static bool is_contiguous(const ss_pickle_tensor *tensor)
{
    int64_t expected = 1;
    for (int32_t d = tensor->rank - 1; d >= 0; d--) {
        if (tensor->shape[d] != 1 && tensor->stride[d] != expected) return false;
        expected *= tensor->shape[d];
    }
    return true;
}

/* Sets begin and end, the bytes of the storage that the tensor reaches over. */
static ss_status find_span(reader *r, ss_torch_tensor *t)
{
    ss_status               status = SS_OK;
    const ss_pickle_tensor *tensor = t->tensor;
    const int64_t           item = (int64_t)ss_type_size(tensor->type);
    int64_t size = r->zip->members[t->member].size, last = tensor->offset, step = 0, bytes = 0;
    char    name[SS_QUOTE_TEXT], where[SS_QUOTE_TEXT + 16];
    snprintf(where, sizeof where, "tensor %s: ", ss_quote(t->name, name));
    SS_TRY(ss_archive_extent(r->archive, where, tensor->rank, tensor->shape, (size_t)item, &bytes));
    t->begin = t->end = 0;
    if (bytes == 0) return SS_OK;
    for (int32_t d = 0; d < tensor->rank; d++) {
        if (!ss_mul64(tensor->shape[d] - 1, tensor->stride[d], &step) || !ss_add64(last, step, &last))
            SS_TRY(ss_archive_fail(r->archive, "%sits strides overflow a 64-bit size", where));
    }
    if (last >= size / item)
        SS_TRY(ss_archive_fail(r->archive, "%sreaches to element %lld of a storage of %lld", where,
                               (long long)last, (long long)(size / item)));
    if (steps_over_itself(tensor))
        SS_TRY(ss_archive_fail(r->archive,
                               "%sits elements share memory (an expanded tensor): save it with .contiguous()",
                               where));
    t->begin = tensor->offset * item;
    t->end = (last + 1) * item;
fail:
    return status;
}

static int compare_numbers(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

/* Where it lies, then what else makes a view: equal views are neighbours. Strides of extents of one are
 * nothing. */
static int compare_views(const ss_torch_tensor *a, const ss_torch_tensor *b)
{
    int order = compare_numbers(a->member, b->member);
    if (order == 0) order = compare_numbers(a->begin, b->begin);
    if (order == 0) order = compare_numbers(a->end, b->end);
    if (order == 0) order = compare_numbers(a->tensor->type, b->tensor->type);
    if (order == 0) order = compare_numbers(a->tensor->rank, b->tensor->rank);
    for (int32_t d = 0; d < a->tensor->rank && order == 0; d++) {
        order = compare_numbers(a->tensor->shape[d], b->tensor->shape[d]);
        if (order == 0 && a->tensor->shape[d] != 1)
            order = compare_numbers(a->tensor->stride[d], b->tensor->stride[d]);
    }
    return order;
}

static int compare_places(const void *a, const void *b)
{
    const ss_torch_tensor *left = a, *right = b;
    int                    order = compare_views(left, right);
    return order != 0 ? order : compare_numbers(left->number, right->number);
}

static int compare_order(const void *a, const void *b)
{
    const ss_torch_tensor *left = a, *right = b;
    return compare_numbers(left->number, right->number);
}

/* ---- Data -------------------------------------------------------------------------------------------------
 */

/* target [elements in C order] := the view */
static void gather(const ss_pickle_tensor *tensor, const unsigned char *storage, int64_t count,
                   unsigned char *target)
{
    size_t  item = ss_type_size(tensor->type);
    int64_t index[SS_MAX_RANK] = { 0 }, from = tensor->offset;
    for (int64_t i = 0; i < count; i++, target += item) {
        memcpy(target, storage + from * (int64_t)item, item);
        for (int32_t d = tensor->rank - 1; d >= 0; d--) {
            from += tensor->stride[d];
            if (++index[d] < tensor->shape[d]) break;
            from -= tensor->stride[d] * tensor->shape[d];
            index[d] = 0;
        }
    }
}

static ss_status place(reader *r, ss_torch_tensor *t)
{
    ss_status            status = SS_OK;
    const unsigned char *storage = r->storage[t->member];
    size_t               item = ss_type_size(t->tensor->type);
    int64_t              count = 0;
    void                *copy = NULL;
    char                 name[SS_QUOTE_TEXT], where[SS_QUOTE_TEXT + 16];
    t->data = storage + t->begin;
    bool contiguous = is_contiguous(t->tensor), swapped = r->big && item > 1;
    if (t->end == t->begin || (contiguous && !swapped)) return SS_OK;
    SS_TRY(ss_shape_count(r->archive->context, t->tensor->rank, t->tensor->shape, &count));
    snprintf(where, sizeof where, "tensor %s: ", ss_quote(t->name, name));
    SS_TRY(ss_archive_block(r->archive, where, count * (int64_t)item, &copy));
    t->data = copy;
    if (!contiguous) {
        gather(t->tensor, storage, count, copy);
        storage = copy;
    } else {
        storage += t->begin;
    }
    if (!swapped) return SS_OK;
    if (storage == copy) {
        void *straight = NULL;
        SS_TRY(ss_archive_block(r->archive, where, count * (int64_t)item, &straight));
        t->data = straight;
    }
    ss_swap_copy((void *)(uintptr_t)t->data, storage, count, item);
fail:
    return status;
}

/* Places all tensors in the order in which they lie. Views that overlap must be the same, so that the copies
 * together are no larger than the storages. */
static ss_status place_all(reader *r)
{
    ss_status        status = SS_OK;
    ss_torch_tensor *tensors = r->state.tensors, *before = NULL;
    char             first[SS_QUOTE_TEXT], second[SS_QUOTE_TEXT];
    for (int64_t i = 0; i < r->state.count; i++) {
        SS_TRY(find_storage(r, &tensors[i]));
        SS_TRY(find_span(r, &tensors[i]));
    }
    qsort(tensors, (size_t)r->state.count, sizeof *tensors, compare_places);
    for (int64_t i = 0; i < r->state.count; i++) {
        ss_torch_tensor *t = &tensors[i];
        bool             empty = t->begin == t->end;
        if (before != NULL && !empty && before->member == t->member && t->begin < before->end) {
            if (compare_views(before, t) != 0)
                SS_TRY(ss_archive_fail(
                    r->archive, "tensors %s and %s share a part of their memory: save them with .clone()",
                    ss_quote(before->name, first), ss_quote(t->name, second)));
            t->data = before->data;
            continue;
        }
        SS_TRY(place(r, t));
        if (!empty) before = t;
    }
    qsort(tensors, (size_t)r->state.count, sizeof *tensors, compare_order);
fail:
    return status;
}

static ss_status add_arrays(reader *r)
{
    ss_status status = SS_OK;
    for (int64_t i = 0; i < r->state.count; i++) {
        const ss_torch_tensor *t = &r->state.tensors[i];
        ss_array               array = {
                          .name = t->name, .type = t->tensor->type, .rank = t->tensor->rank, .data = t->data
        };
        memcpy(array.shape, t->tensor->shape, sizeof array.shape);
        SS_TRY(ss_archive_add(r->archive, &array));
    }
fail:
    return status;
}

ss_status ss_torch_read(ss_archive *archive, ss_zip *zip, const char *pickle)
{
    ss_status            status = SS_OK;
    const char          *slash = strrchr(pickle, '/');
    reader               r = { .archive = archive, .zip = zip, .pickle = pickle };
    ss_pickle           *values = NULL;
    const unsigned char *bytes = NULL;
    const ss_zip_member *member;
    r.folder = slash != NULL ? (int)(slash - pickle) + 1 : 0;
    zip->crc_optional = true; /* torch.serialization.set_crc32_options(False) */
    SS_TRY(ss_zip_sort(zip));
    if (find(&r, "constants.pkl") != NULL)
        SS_TRY(ss_archive_fail(archive, "a TorchScript archive, which is a program: save its weights alone: "
                                        "python -c \"import torch; torch.save(torch.jit.load('IN')"
                                        ".state_dict(), 'OUT')\""));
    SS_TRY(read_byte_order(&r));
    member = ss_zip_find(zip, pickle);
    SS_TRY(ss_zip_data(zip, member, &bytes));
    SS_TRY(ss_pickle_read(archive, member->where, bytes, member->size, &values));
    SS_TRY(ss_torch_choose(archive, ss_pickle_root(values), &r.state));
    SS_TRY(SS_NEW_ARRAY(archive->context, zip->count, &r.storage));
    SS_TRY(place_all(&r));
    SS_TRY(add_arrays(&r));
fail:
    ss_torch_release(archive, &r.state);
    ss_free(archive->context, r.storage);
    ss_pickle_free(values);
    return status;
}
