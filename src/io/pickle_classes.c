/* The classes and functions that a checkpoint may name: those of torch's weights_only loader, one row each,
 * and what calling them makes here. Nothing is imported; a name that is not in the table ends the reading. */
#include "io/pickle_private.h"

#include <string.h>

typedef enum role {
    ROLE_DICTIONARY,   /* OrderedDict(), OrderedDict([[key, value], ...]), Counter({...}) */
    ROLE_SIZE,         /* torch.Size((...)) */
    ROLE_STORAGE,      /* only named in persistent ids */
    ROLE_TYPE,         /* an element type */
    ROLE_TENSOR_1,     /* _rebuild_tensor(storage, offset, size, stride) */
    ROLE_TENSOR_2,     /* _rebuild_tensor_v2(the same, requires_grad, hooks[, metadata]) */
    ROLE_TENSOR_3,     /* _rebuild_tensor_v3(the same, requires_grad, hooks, dtype[, metadata]) */
    ROLE_PARAMETER,    /* Parameter(tensor, ...) and kin: the tensor */
    ROLE_FROM_TYPE,    /* _rebuild_from_type_v2(function, type, arguments, state) */
    ROLE_ENCODE,       /* _codecs.encode("text", "latin1"): bytes */
    ROLE_TENSOR_CLASS, /* torch.Tensor and kin: named, never called by torch's writer of today */
    ROLE_OPAQUE        /* allowed, and of no use here */
} role;

struct ss_pickle_class {
    const char *name; /* "<module>.<name>" */
    role        role; /* what calling it means */
    ss_type     type; /* of TYPE and STORAGE, SS_TYPE_COUNT where it is none of ours */
};

#define SS_NO_TYPE SS_TYPE_COUNT

/* A storage, with its form for tensors that were on a GPU when they were saved; likewise a class of tensors,
 * dense and sparse. */
#define SS_STORAGE_ROWS(name, type)                                                                          \
    { "torch." name, ROLE_STORAGE, type },                                                                   \
    {                                                                                                        \
        "torch.cuda." name, ROLE_STORAGE, type                                                               \
    }
#define SS_TENSOR_ROWS(name)                                                                                 \
    { "torch." name, ROLE_TENSOR_CLASS, SS_NO_TYPE }, { "torch.cuda." name, ROLE_TENSOR_CLASS, SS_NO_TYPE }, \
        { "torch.sparse." name, ROLE_OPAQUE, SS_NO_TYPE },                                                   \
    {                                                                                                        \
        "torch.cuda.sparse." name, ROLE_OPAQUE, SS_NO_TYPE                                                   \
    }
#define SS_TYPE_ROW(name, type)                                                                              \
    {                                                                                                        \
        "torch." name, ROLE_TYPE, type                                                                       \
    }
#define SS_UNKNOWN_ROW(name)                                                                                 \
    {                                                                                                        \
        "torch." name, ROLE_TYPE, SS_NO_TYPE                                                                 \
    }
#define SS_OPAQUE_ROW(name)                                                                                  \
    {                                                                                                        \
        name, ROLE_OPAQUE, SS_NO_TYPE                                                                        \
    }

/* clang-format off */
static const ss_pickle_class classes[] = {
    { "collections.OrderedDict", ROLE_DICTIONARY, SS_NO_TYPE },
    { "collections.Counter", ROLE_DICTIONARY, SS_NO_TYPE },
    { "torch.Size", ROLE_SIZE, SS_NO_TYPE },
    { "torch._utils._rebuild_tensor", ROLE_TENSOR_1, SS_NO_TYPE },
    { "torch._utils._rebuild_tensor_v2", ROLE_TENSOR_2, SS_NO_TYPE },
    { "torch._utils._rebuild_tensor_v3", ROLE_TENSOR_3, SS_NO_TYPE },
    { "torch._utils._rebuild_parameter", ROLE_PARAMETER, SS_NO_TYPE },
    { "torch._utils._rebuild_parameter_with_state", ROLE_PARAMETER, SS_NO_TYPE },
    { "torch._utils._rebuild_device_tensor_from_cpu_tensor", ROLE_PARAMETER, SS_NO_TYPE },
    { "torch.nn.parameter.Parameter", ROLE_PARAMETER, SS_NO_TYPE },
    { "torch._tensor._rebuild_from_type_v2", ROLE_FROM_TYPE, SS_NO_TYPE },
    { "torch.Tensor", ROLE_TENSOR_CLASS, SS_NO_TYPE },
    { "_codecs.encode", ROLE_ENCODE, SS_NO_TYPE },
    SS_OPAQUE_ROW("builtins.bytearray"), SS_OPAQUE_ROW("builtins.complex"), SS_OPAQUE_ROW("builtins.set"),
    SS_OPAQUE_ROW("torch.device"), SS_OPAQUE_ROW("torch.serialization._get_layout"),
    SS_OPAQUE_ROW("torch._utils._rebuild_device_tensor_from_numpy"),
    SS_OPAQUE_ROW("torch._utils._rebuild_meta_tensor_no_storage"),
    SS_OPAQUE_ROW("torch._utils._rebuild_qtensor"), SS_OPAQUE_ROW("torch._utils._rebuild_sparse_tensor"),
    SS_OPAQUE_ROW("torch._utils._rebuild_wrapper_subclass"),
    SS_OPAQUE_ROW("torch.per_channel_affine"), SS_OPAQUE_ROW("torch.per_channel_affine_float_qparams"),
    SS_OPAQUE_ROW("torch.per_channel_symmetric"), SS_OPAQUE_ROW("torch.per_tensor_affine"),
    SS_OPAQUE_ROW("torch.per_tensor_symmetric"),
    SS_STORAGE_ROWS("DoubleStorage", SS_F64), SS_STORAGE_ROWS("FloatStorage", SS_F32),
    SS_STORAGE_ROWS("HalfStorage", SS_F16), SS_STORAGE_ROWS("BFloat16Storage", SS_BF16),
    SS_STORAGE_ROWS("LongStorage", SS_I64), SS_STORAGE_ROWS("IntStorage", SS_I32),
    SS_STORAGE_ROWS("ShortStorage", SS_I16), SS_STORAGE_ROWS("CharStorage", SS_I8),
    SS_STORAGE_ROWS("ByteStorage", SS_U8), SS_STORAGE_ROWS("BoolStorage", SS_BOOL),
    SS_STORAGE_ROWS("ComplexDoubleStorage", SS_NO_TYPE), SS_STORAGE_ROWS("ComplexFloatStorage", SS_NO_TYPE),
    SS_STORAGE_ROWS("QInt8Storage", SS_NO_TYPE), SS_STORAGE_ROWS("QUInt8Storage", SS_NO_TYPE),
    SS_STORAGE_ROWS("QInt32Storage", SS_NO_TYPE), SS_STORAGE_ROWS("QUInt2x4Storage", SS_NO_TYPE),
    SS_STORAGE_ROWS("QUInt4x2Storage", SS_NO_TYPE),
    { "torch.storage.UntypedStorage", ROLE_STORAGE, SS_U8 }, /* counted in bytes */
    { "torch.storage.TypedStorage", ROLE_STORAGE, SS_NO_TYPE },
    SS_TENSOR_ROWS("DoubleTensor"), SS_TENSOR_ROWS("FloatTensor"), SS_TENSOR_ROWS("HalfTensor"),
    SS_TENSOR_ROWS("BFloat16Tensor"), SS_TENSOR_ROWS("LongTensor"), SS_TENSOR_ROWS("IntTensor"),
    SS_TENSOR_ROWS("ShortTensor"), SS_TENSOR_ROWS("CharTensor"), SS_TENSOR_ROWS("ByteTensor"),
    SS_TENSOR_ROWS("BoolTensor"),
    SS_TYPE_ROW("float64", SS_F64), SS_TYPE_ROW("float32", SS_F32), SS_TYPE_ROW("float16", SS_F16),
    SS_TYPE_ROW("bfloat16", SS_BF16), SS_TYPE_ROW("int64", SS_I64), SS_TYPE_ROW("int32", SS_I32),
    SS_TYPE_ROW("int16", SS_I16), SS_TYPE_ROW("int8", SS_I8), SS_TYPE_ROW("uint64", SS_U64),
    SS_TYPE_ROW("uint32", SS_U32), SS_TYPE_ROW("uint16", SS_U16), SS_TYPE_ROW("uint8", SS_U8),
    SS_TYPE_ROW("bool", SS_BOOL),
    SS_UNKNOWN_ROW("bcomplex32"), SS_UNKNOWN_ROW("complex128"), SS_UNKNOWN_ROW("complex64"),
    SS_UNKNOWN_ROW("complex32"), SS_UNKNOWN_ROW("float8_e4m3fn"), SS_UNKNOWN_ROW("float8_e4m3fnuz"),
    SS_UNKNOWN_ROW("float8_e5m2"), SS_UNKNOWN_ROW("float8_e5m2fnuz"), SS_UNKNOWN_ROW("float8_e8m0fnu"),
    SS_UNKNOWN_ROW("float4_e2m1fn_x2"), SS_UNKNOWN_ROW("qint8"), SS_UNKNOWN_ROW("quint8"),
    SS_UNKNOWN_ROW("qint32"), SS_UNKNOWN_ROW("quint4x2"), SS_UNKNOWN_ROW("quint2x4"),
    SS_UNKNOWN_ROW("bits8"), SS_UNKNOWN_ROW("bits16"), SS_UNKNOWN_ROW("bits1x8"), SS_UNKNOWN_ROW("bits2x4"),
    SS_UNKNOWN_ROW("bits4x2"),
    SS_UNKNOWN_ROW("int1"), SS_UNKNOWN_ROW("int2"), SS_UNKNOWN_ROW("int3"), SS_UNKNOWN_ROW("int4"),
    SS_UNKNOWN_ROW("int5"), SS_UNKNOWN_ROW("int6"), SS_UNKNOWN_ROW("int7"),
    SS_UNKNOWN_ROW("uint1"), SS_UNKNOWN_ROW("uint2"), SS_UNKNOWN_ROW("uint3"), SS_UNKNOWN_ROW("uint4"),
    SS_UNKNOWN_ROW("uint5"), SS_UNKNOWN_ROW("uint6"), SS_UNKNOWN_ROW("uint7"),
};
/* clang-format on */

ss_status ss_pickle_class_find(const ss_pickle *p, const char *name, const ss_pickle_class **class)
{
    char        quoted[SS_QUOTE_TEXT];
    const char *python_2 = "__builtin__."; /* protocol 2 keeps the name of the old module */
    bool        old = strncmp(name, python_2, strlen(python_2)) == 0;
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        const char *known = classes[i].name;
        if (old ? strncmp(known, "builtins.", 9) != 0 || strcmp(known + 9, name + strlen(python_2)) != 0
                : strcmp(known, name) != 0)
            continue;
        *class = &classes[i];
        return SS_OK;
    }
    return ss_pickle_fail(
        p,
        "class %s is not among those of a state dict (weights_only): making one would run code; save the "
        "weights alone, where the classes are installed and the file is trusted: python -c \"import torch; "
        "c = torch.load('IN', weights_only=False, map_location='cpu'); torch.save(c.state_dict() if "
        "hasattr(c, 'state_dict') else c['state_dict'], 'OUT')\"",
        ss_quote(name, quoted));
}

/* ---- Arguments --------------------------------------------------------------------------------------------
 */

static ss_status make_opaque(ss_pickle *p, const char *what, ss_pickle_value **result)
{
    return ss_pickle_text(p, SS_PICKLE_OPAQUE, what, (int64_t)strlen(what), result);
}

/* Between `least` and `most` arguments? */
static ss_status check_count(const ss_pickle       *p, const ss_pickle_class *class,
                             const ss_pickle_value *arguments, int64_t least, int64_t most)
{
    int64_t count = arguments->as.list.count;
    if (count >= least && count <= most) return SS_OK;
    return ss_pickle_fail(p, "%s takes %lld to %lld arguments, found %lld", class->name, (long long)least,
                          (long long)most, (long long)count);
}

/* An extent, stride or offset. */
static ss_status take_extent(const ss_pickle *p, const char *what, const ss_pickle_value *value,
                             int64_t *number)
{
    if (value->kind != SS_PICKLE_INTEGER)
        return ss_pickle_fail(p, "%s: expected an integer, found %s", what, ss_pickle_kind_text(value));
    if (value->as.integer < 0)
        return ss_pickle_fail(p, "%s: %lld is negative", what, (long long)value->as.integer);
    *number = value->as.integer;
    return SS_OK;
}

static ss_status take_extents(const ss_pickle *p, const char *what, const ss_pickle_value *value,
                              int64_t numbers[SS_MAX_RANK], int32_t *count)
{
    ss_status status = SS_OK;
    if (value->kind != SS_PICKLE_TUPLE)
        SS_TRY(ss_pickle_fail(p, "%s: expected a tuple, found %s", what, ss_pickle_kind_text(value)));
    if (value->as.list.count > SS_MAX_RANK)
        SS_TRY(ss_pickle_fail(p, "%s: at most %d dimensions are supported, found %lld", what, SS_MAX_RANK,
                              (long long)value->as.list.count));
    *count = (int32_t)value->as.list.count;
    for (int32_t i = 0; i < *count; i++) SS_TRY(take_extent(p, what, value->as.list.items[i], &numbers[i]));
fail:
    return status;
}

/* ---- What calls make --------------------------------------------------------------------------------------
 */

/* (storage, offset, size, stride, ...) */
static ss_status make_tensor(ss_pickle *p, const ss_pickle_class *class, const ss_pickle_value *arguments,
                             ss_pickle_value **result)
{
    ss_status               status = SS_OK;
    ss_pickle_value *const *argument = arguments->as.list.items;
    const int64_t           least = class->role == ROLE_TENSOR_1 ? 4 : class->role == ROLE_TENSOR_2 ? 6 : 7;
    const ss_pickle_class  *type = NULL;
    ss_pickle_tensor       *tensor = NULL;
    int32_t                 rank = 0;
    SS_TRY(check_count(p, class, arguments, least, class->role == ROLE_TENSOR_1 ? least : least + 1));
    if (argument[0]->kind != SS_PICKLE_STORAGE)
        SS_TRY(ss_pickle_fail(p, "%s: expected a storage, found %s", class->name,
                              ss_pickle_kind_text(argument[0])));
    SS_TRY(ss_pickle_take(p, sizeof *tensor, (void **)&tensor));
    tensor->storage = argument[0]->as.storage;
    tensor->type = tensor->storage->type;
    bool known = tensor->storage->known;
    SS_TRY(take_extent(p, "storage_offset", argument[1], &tensor->offset));
    SS_TRY(take_extents(p, "size", argument[2], tensor->shape, &tensor->rank));
    SS_TRY(take_extents(p, "stride", argument[3], tensor->stride, &rank));
    if (rank != tensor->rank)
        SS_TRY(ss_pickle_fail(p, "a tensor of %d dimensions has %d strides", tensor->rank, rank));
    if (class->role == ROLE_TENSOR_3) {
        type = argument[6]->kind == SS_PICKLE_CLASS ? argument[6]->as.class : NULL;
        if (type == NULL || type->role != ROLE_TYPE)
            SS_TRY(ss_pickle_fail(p, "dtype: expected a type, found %s", ss_pickle_kind_text(argument[6])));
        tensor->type = type->type;
        known = known && type->type != SS_NO_TYPE;
    } else if (tensor->type == SS_TYPE_COUNT && known) {
        SS_TRY(ss_pickle_fail(p, "a tensor on an untyped storage has no dtype"));
    }
    if (!known) return make_opaque(p, type != NULL ? type->name : tensor->storage->class, result);
    SS_TRY(ss_pickle_new(p, SS_PICKLE_TENSOR, result));
    (*result)->as.tensor = tensor;
fail:
    return status;
}

/* Nothing, a list of pairs, or a dictionary. */
static ss_status make_dictionary(ss_pickle *p, const ss_pickle_class *class, const ss_pickle_value *arguments,
                                 ss_pickle_value **result)
{
    ss_status status = SS_OK;
    SS_TRY(check_count(p, class, arguments, 0, 1));
    SS_TRY(ss_pickle_new(p, SS_PICKLE_DICTIONARY, result));
    if (arguments->as.list.count == 0) return SS_OK;
    const ss_pickle_value *from = arguments->as.list.items[0];
    bool                   pairs = from->kind == SS_PICKLE_LIST || from->kind == SS_PICKLE_TUPLE;
    if (!pairs && from->kind != SS_PICKLE_DICTIONARY)
        SS_TRY(ss_pickle_fail(p, "%s is made from %s", class->name, ss_pickle_kind_text(from)));
    /* Every item stands in the pickle, which real ones copy once: a list that is copied again and again would
     * take memory beyond any multiple of the file. */
    p->copied += from->as.list.count;
    if (p->copied > p->size)
        SS_TRY(ss_pickle_fail(p, "%s: %lld items are copied in a pickle of %lld bytes", class->name,
                              (long long)p->copied, (long long)p->size));
    for (int64_t i = 0; i < from->as.list.count; i++) {
        ss_pickle_value *item = from->as.list.items[i];
        if (!pairs) {
            SS_TRY(ss_pickle_append(p, *result, item));
            continue;
        }
        if ((item->kind != SS_PICKLE_LIST && item->kind != SS_PICKLE_TUPLE) || item->as.list.count != 2)
            SS_TRY(ss_pickle_fail(p, "%s: item %lld is no pair", class->name, (long long)i));
        SS_TRY(ss_pickle_append(p, *result, item->as.list.items[0]));
        SS_TRY(ss_pickle_append(p, *result, item->as.list.items[1]));
    }
fail:
    return status;
}

/* (function, type, arguments, state): a tensor with Python attributes, which are dropped. */
static ss_status make_from_type(ss_pickle *p, const ss_pickle_class *class, const ss_pickle_value *arguments,
                                ss_pickle_value **result)
{
    ss_status status = SS_OK;
    SS_TRY(check_count(p, class, arguments, 4, 4));
    const ss_pickle_value *function = arguments->as.list.items[0], *inner = arguments->as.list.items[2];
    /* A function of this kind again would nest without bound. */
    if (function->kind != SS_PICKLE_CLASS || inner->kind != SS_PICKLE_TUPLE ||
        function->as.class->role == ROLE_FROM_TYPE)
        SS_TRY(ss_pickle_fail(p, "%s: expected a function and its arguments, found %s and %s", class->name,
                              ss_pickle_kind_text(function), ss_pickle_kind_text(inner)));
    SS_TRY(ss_pickle_call(p, function->as.class, inner, result));
fail:
    return status;
}

/* The first argument, which must be a tensor (or something opaque). */
static ss_status take_tensor(ss_pickle *p, const ss_pickle_class *class, const ss_pickle_value *arguments,
                             ss_pickle_value **result)
{
    ss_status status = SS_OK;
    SS_TRY(check_count(p, class, arguments, 1, 4));
    *result = arguments->as.list.items[0];
    if ((*result)->kind != SS_PICKLE_TENSOR && (*result)->kind != SS_PICKLE_OPAQUE)
        SS_TRY(
            ss_pickle_fail(p, "%s: expected a tensor, found %s", class->name, ss_pickle_kind_text(*result)));
fail:
    return status;
}

ss_status ss_pickle_call(ss_pickle *p, const ss_pickle_class *class, const ss_pickle_value *arguments,
                         ss_pickle_value **result)
{
    ss_status status = SS_OK;
    switch (class->role) {
    case ROLE_DICTIONARY: return make_dictionary(p, class, arguments, result);
    case ROLE_TENSOR_1:
    case ROLE_TENSOR_2:
    case ROLE_TENSOR_3: return make_tensor(p, class, arguments, result);
    case ROLE_PARAMETER: return take_tensor(p, class, arguments, result);
    case ROLE_FROM_TYPE: return make_from_type(p, class, arguments, result);
    case ROLE_ENCODE: return make_opaque(p, "bytes", result);
    case ROLE_OPAQUE: return make_opaque(p, class->name, result);
    case ROLE_SIZE:
        SS_TRY(check_count(p, class, arguments, 1, 1));
        *result = arguments->as.list.items[0];
        if ((*result)->kind != SS_PICKLE_TUPLE && (*result)->kind != SS_PICKLE_LIST)
            SS_TRY(ss_pickle_fail(p, "torch.Size is made from %s", ss_pickle_kind_text(*result)));
        return SS_OK;
    case ROLE_STORAGE:
    case ROLE_TYPE:
    case ROLE_TENSOR_CLASS: break;
    }
    status =
        ss_pickle_fail(p, "%s is called: written by a version of torch before 0.4, or damaged", class->name);
fail:
    return status;
}

ss_status ss_pickle_persistent(ss_pickle *p, const ss_pickle_value *id, ss_pickle_value **result)
{
    ss_status               status = SS_OK;
    ss_pickle_storage      *storage = NULL;
    ss_pickle_value *const *item = id->as.list.items;
    if (id->kind != SS_PICKLE_TUPLE || id->as.list.count != 5 || !ss_pickle_is_text(item[0], "storage"))
        SS_TRY(ss_pickle_fail(p, "persistent id: expected (\"storage\", class, key, location, count)"));
    if (item[1]->kind != SS_PICKLE_CLASS || item[1]->as.class->role != ROLE_STORAGE)
        SS_TRY(ss_pickle_fail(p, "persistent id: expected the class of a storage, found %s",
                              ss_pickle_kind_text(item[1])));
    if (item[2]->kind != SS_PICKLE_TEXT || item[2]->as.text.length == 0 ||
        memchr(item[2]->as.text.bytes, '\0', (size_t)item[2]->as.text.length) != NULL)
        SS_TRY(ss_pickle_fail(p, "persistent id: expected the key of a storage, found %s",
                              ss_pickle_kind_text(item[2])));
    SS_TRY(ss_pickle_take(p, sizeof *storage, (void **)&storage));
    const ss_pickle_class *class = item[1]->as.class;
    bool untyped = strcmp(class->name, "torch.storage.UntypedStorage") == 0;
    storage->class = class->name;
    storage->key = item[2]->as.text.bytes;
    storage->known = class->type != SS_NO_TYPE;
    storage->type = untyped ? SS_TYPE_COUNT : class->type;
    SS_TRY(take_extent(p, "persistent id: count", item[4], &storage->count));
    SS_TRY(ss_pickle_new(p, SS_PICKLE_STORAGE, result));
    (*result)->as.storage = storage;
fail:
    return status;
}
