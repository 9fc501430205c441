/* Results as tables of fields: one row per number says where it lies in its struct, what it is called in JSON
 * and what it means. The JSON and its documentation (docs/json.md) are both written from these rows.
 *
 * NaN and infinity become null, counts of -1 (not determined) too. */
#ifndef SS_REPORT_FIELDS_H
#define SS_REPORT_FIELDS_H

#include "base/base.h"

#include <jansson.h>
#include <stdio.h>

typedef enum ss_field_kind {
    SS_FIELD_REAL,    /* double */
    SS_FIELD_INTEGER, /* int64_t */
    SS_FIELD_COUNT,   /* int64_t, -1 = null */
    SS_FIELD_INT,     /* int */
    SS_FIELD_BOOL,    /* bool */
    SS_FIELD_TEXT,    /* const char *, NULL = null */
    SS_FIELD_CHARS,   /* char array inside the struct */
    SS_FIELD_NAMED,   /* an enumerator whose name `text` gives; the name "null", "true", "false" is that value
                       */
    SS_FIELD_INTERVAL,    /* ss_interval -> [low, high] */
    SS_FIELD_REALS,       /* double [count] inside the struct */
    SS_FIELD_INTEGERS,    /* int64_t [count] inside the struct */
    SS_FIELD_REALS_AT,    /* pointer to double [*(int64_t *)(struct + count)], NULL = null */
    SS_FIELD_INTEGERS_AT, /* pointer to int64_t, likewise */
    SS_FIELD_GROUP,       /* a struct: object of `fields` */
    SS_FIELD_ROWS,        /* array [count] of structs of `size` bytes: array of objects */
    SS_FIELD_ROWS_AT      /* pointer to such structs, their number at offset `count`, NULL = null */
} ss_field_kind;

typedef struct ss_field {
    const char   *name; /* in JSON; NULL ends a table */
    ss_field_kind kind;
    size_t        offset; /* bytes from the start of the struct */
    size_t count; /* see the kinds; CHARS: bytes; NAMED: enumerators; GROUP: 1 = documented elsewhere */
    size_t size;  /* ROWS: bytes of one row */
    const struct ss_field *fields;               /* GROUP, ROWS */
    const char *(*text)(const void *enumerator); /* NAMED */
    const char *meaning;                         /* with its unit or shape */
} ss_field;

/* An object of all fields of `object`; NULL when out of memory. */
json_t *ss_fields_json(const ss_field *fields, const void *object);
/* A finite number, or null. */
json_t *ss_json_real(double value);
/* The rows as a Markdown list, nested by `depth`. */
void ss_fields_document(FILE *file, const ss_field *fields, int depth);

#endif
