/* Shorthands for rows of ss_field tables; only for the files that hold tables. Each table stands between
 * "#define STRUCT <its struct>" and "#undef STRUCT"; a member has the same name in C and in JSON. */
#ifndef SS_REPORT_FIELD_ROWS_H
#define SS_REPORT_FIELD_ROWS_H

#include "report/fields.h"

#include <stddef.h>

/* clang-format off */
/* The name of an enumerator, for ENUM. */
#define NAME_OF(type) \
    static const char *type##_text(const void *value) \
    { \
        return ss_##type##_name(*(const ss_##type *)value); \
    }
#define FIELD(kind, member, meaning) \
    { #member, SS_FIELD_##kind, offsetof(STRUCT, member), 0, 0, NULL, NULL, meaning }
#define ENUM(type, member, meaning) \
    { #member, SS_FIELD_NAMED, offsetof(STRUCT, member), 0, 0, NULL, type##_text, meaning }
#define CHARS(member, meaning) \
    { #member, SS_FIELD_CHARS, offsetof(STRUCT, member), sizeof((STRUCT *)0)->member, 0, NULL, NULL, meaning }
#define ENUM_OF(type, number, member, meaning) \
    { #member, SS_FIELD_NAMED, offsetof(STRUCT, member), number, 0, NULL, type##_text, meaning }
#define GROUP(table, member, meaning) \
    { #member, SS_FIELD_GROUP, offsetof(STRUCT, member), 0, 0, table, NULL, meaning }
#define REALS(number, member, meaning) \
    { #member, SS_FIELD_REALS, offsetof(STRUCT, member), number, 0, NULL, NULL, meaning }
#define REALS_AT(number, member, meaning) \
    { #member, SS_FIELD_REALS_AT, offsetof(STRUCT, member), offsetof(STRUCT, number), 0, NULL, NULL, meaning }
#define INTEGERS(number, member, meaning) \
    { #member, SS_FIELD_INTEGERS, offsetof(STRUCT, member), number, 0, NULL, NULL, meaning }
#define INTEGERS_AT(number, member, meaning) \
    { #member, SS_FIELD_INTEGERS_AT, offsetof(STRUCT, member), offsetof(STRUCT, number), 0, NULL, NULL, meaning }
#define ROWS(table, type, number, member, meaning) \
    { #member, SS_FIELD_ROWS, offsetof(STRUCT, member), number, sizeof(type), table, NULL, meaning }
#define ROWS_AT(table, type, number, member, meaning) \
    { #member, SS_FIELD_ROWS_AT, offsetof(STRUCT, member), offsetof(STRUCT, number), sizeof(type), table, NULL, meaning }
#define END { NULL, SS_FIELD_BOOL, 0, 0, 0, NULL, NULL, NULL }
/* clang-format on */

#endif
