/* What the machine (pickle.c) and the classes (pickle_classes.c) share. */
#ifndef SS_IO_PICKLE_PRIVATE_H
#define SS_IO_PICKLE_PRIVATE_H

#include "io/pickle.h"

typedef struct ss_pickle_class ss_pickle_class;

typedef struct ss_pickle_chunk {
    struct ss_pickle_chunk *next; /* older one */
} ss_pickle_chunk;

struct ss_pickle {
    ss_archive          *archive;     /* for messages; borrowed while reading */
    ss_context          *context;     /* borrowed */
    const char          *where;       /* stands before the field in messages */
    const unsigned char *bytes;       /* [size] */
    int64_t              size;        /* bytes */
    int64_t              at;          /* the opcode that runs, for messages */
    int64_t              next;        /* what comes next */
    ss_pickle_chunk     *chunks;      /* memory of all values; owned */
    char                *free;        /* what is left of the newest chunk */
    int64_t              left;        /* bytes of it */
    ss_pickle_value    **stack;       /* [depth]; owned */
    int64_t              depth, room; /* values on the stack, values that fit */
    int64_t             *marks;       /* [n_marks] depths at which MARK ran; owned */
    int64_t              n_marks, marks_room;
    ss_pickle_value    **memo; /* [memo_room]; NULL = never put; owned */
    int64_t              memo_room;
    int64_t              copied; /* items that calls copied so far */
    ss_pickle_value     *root;   /* what STOP found */
};

/* SS_ERROR_INPUT with path, where, and the byte of the running opcode before the text. */
ss_status ss_pickle_fail(const ss_pickle *p, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

/* Memory that lives as long as the pickle, zero. */
ss_status ss_pickle_take(ss_pickle *p, int64_t bytes, void **memory);
ss_status ss_pickle_new(ss_pickle *p, ss_pickle_kind kind, ss_pickle_value **value);
ss_status ss_pickle_text(ss_pickle *p, ss_pickle_kind kind, const void *bytes, int64_t length,
                         ss_pickle_value **value);
ss_status ss_pickle_append(ss_pickle *p, ss_pickle_value *list, ss_pickle_value *item);

ss_status ss_pickle_push(ss_pickle *p, ss_pickle_value *value);
/* There must be `count` values above the last mark. */
ss_status ss_pickle_require(const ss_pickle *p, int64_t count);
/* Removes the last mark; the values above it are items[count], which stay where they are until a push. */
ss_status ss_pickle_pop_mark(ss_pickle *p, ss_pickle_value ***items, int64_t *count);

/* The class "<module>.<name>" of the list; a message that names it when it is not there. */
ss_status ss_pickle_class_find(const ss_pickle *p, const char *name, const ss_pickle_class **class);
/* class(*arguments); `arguments` is a TUPLE. */
ss_status ss_pickle_call(ss_pickle *p, const ss_pickle_class *class, const ss_pickle_value *arguments,
                         ss_pickle_value **result);
/* The storage that a persistent id names. */
ss_status ss_pickle_persistent(ss_pickle *p, const ss_pickle_value *id, ss_pickle_value **result);

#endif
