/* A pickle reader for torch checkpoints that runs nothing: the opcodes and classes of torch's `weights_only`
 * loader (torch/_weights_only_unpickler.py) and no others. What a class would make is a plain value here; a
 * class that torch allows but that holds no weights (complex numbers, sparse or quantised tensors) becomes
 * SS_PICKLE_OPAQUE, so that it matters only where weights are expected.
 *
 * Every value costs at least a byte of the pickle, so that memory is bounded by a small multiple of its size;
 * nothing recurses, however deep the nesting. Values may contain themselves and one another: who walks over
 * them marks what was seen. */
#ifndef SS_IO_PICKLE_H
#define SS_IO_PICKLE_H

#include "io/archive_private.h"

typedef enum ss_pickle_kind {
    SS_PICKLE_NONE,
    SS_PICKLE_BOOLEAN,
    SS_PICKLE_INTEGER,
    SS_PICKLE_REAL,
    SS_PICKLE_TEXT,
    SS_PICKLE_LIST,
    SS_PICKLE_TUPLE,
    SS_PICKLE_DICTIONARY, /* dict, OrderedDict, Counter */
    SS_PICKLE_CLASS,      /* a class or function of the list, not yet called */
    SS_PICKLE_STORAGE,
    SS_PICKLE_TENSOR,
    SS_PICKLE_OPAQUE /* something that torch allows and that is of no use here */
} ss_pickle_kind;

typedef struct ss_pickle_value   ss_pickle_value;
typedef struct ss_pickle_storage ss_pickle_storage;
typedef struct ss_pickle_tensor  ss_pickle_tensor;
struct ss_pickle_class;

struct ss_pickle_value {
    ss_pickle_kind kind;
    bool           seen;   /* by who walks over the values; false at first */
    bool           looked; /* likewise, by who only searches them */
    union {
        int64_t integer; /* BOOLEAN, INTEGER */
        double  real;    /* REAL */
        struct {
            const char *bytes;  /* [length], then NUL; may hold NUL and anything but UTF-8 */
            int64_t     length; /* bytes */
        } text;                 /* TEXT; OPAQUE: what it is, for messages */
        struct {
            ss_pickle_value **items; /* [count]; DICTIONARY: key, value, key, value ... */
            int64_t           count; /* items in use */
            int64_t           room;  /* items that fit */
        } list;                      /* LIST, TUPLE, DICTIONARY */
        const struct ss_pickle_class *class;
        ss_pickle_storage *storage;
        ss_pickle_tensor  *tensor;
    } as;
};

/* ("storage", class, key, location, count), the persistent id of a storage. */
struct ss_pickle_storage {
    const char *key;   /* name of its member below data/ */
    ss_type     type;  /* of its elements; SS_TYPE_COUNT = bytes (UntypedStorage) */
    const char *class; /* "torch.FloatStorage" */
    bool    known;     /* the type is one of ours */
    int64_t count;     /* elements, or bytes */
};

struct ss_pickle_tensor {
    const ss_pickle_storage *storage;
    ss_type                  type;
    int32_t                  rank;
    int64_t                  shape[SS_MAX_RANK];  /* [rank], not negative */
    int64_t                  stride[SS_MAX_RANK]; /* [rank] elements, not negative */
    int64_t                  offset;              /* elements from the start of the storage, not negative */
};

typedef struct ss_pickle ss_pickle;

/* Reads one pickle. SS_ERROR_INPUT "<path>: <where>byte 17: ...", naming opcode or class, when it is not
 * allowed or makes no sense. *pickle is NULL then. */
ss_status ss_pickle_read(ss_archive *archive, const char *where, const unsigned char *bytes, int64_t size,
                         ss_pickle **pickle);
void      ss_pickle_free(ss_pickle *pickle); /* NULL allowed */

/* The value of the whole pickle; lives as long as the pickle. */
ss_pickle_value *ss_pickle_root(const ss_pickle *pickle);

/* Value of a key of a dictionary, NULL if there is none (or it is no dictionary). */
ss_pickle_value *ss_pickle_find(const ss_pickle_value *dictionary, const char *key);
bool             ss_pickle_is_text(const ss_pickle_value *value, const char *text);
/* "a dictionary", "a tensor" ..., for messages. */
const char *ss_pickle_kind_text(const ss_pickle_value *value);

#endif
