/* Rows of structs as CSV and back, driven by their table of fields.
 *
 * Reals are written with 17 significant digits, so that a row that was read again has the same bits. Texts
 * that hold a comma or a quote are quoted. */
#include "report/report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Writing --------------------------------------------------------------------------------------------
 */

static void write_text(ss_text *text, const char *value)
{
    if (strpbrk(value, ",\"\n\r") == NULL) {
        ss_text_print(text, "%s", value);
        return;
    }
    ss_text_print(text, "\"");
    for (const char *p = value; *p != '\0'; p++) ss_text_print(text, *p == '"' ? "\"\"" : "%c", *p);
    ss_text_print(text, "\"");
}

static void write_field(ss_text *text, const ss_field *field, const char *row)
{
    const char *at = row + field->offset;
    double      real = 0;
    int64_t     integer = 0;
    int         number = 0;
    bool        truth = false;
    switch (field->kind) {
    case SS_FIELD_REAL:
        memcpy(&real, at, sizeof real);
        if (isfinite(real)) ss_text_print(text, "%.17g", real);
        break;
    case SS_FIELD_INTEGER:
    case SS_FIELD_COUNT:
        memcpy(&integer, at, sizeof integer);
        ss_text_print(text, "%lld", (long long)integer);
        break;
    case SS_FIELD_INT:
        memcpy(&number, at, sizeof number);
        ss_text_print(text, "%d", number);
        break;
    case SS_FIELD_BOOL:
        memcpy(&truth, at, sizeof truth);
        ss_text_print(text, "%d", truth ? 1 : 0);
        break;
    case SS_FIELD_NAMED: write_text(text, field->text(at)); break;
    case SS_FIELD_CHARS: write_text(text, at); break;
    default: break; /* the other kinds are no cells */
    }
}

static void write_head(ss_text *text, const ss_field *fields)
{
    for (const ss_field *f = fields; f->name != NULL; f++)
        ss_text_print(text, "%s%s", f->name, f[1].name != NULL ? "," : "\n");
}

void ss_report_csv(ss_text *text, const ss_field *fields, const void *rows, int64_t count, size_t size)
{
    write_head(text, fields);
    for (int64_t i = 0; i < count; i++)
        for (const ss_field *f = fields; f->name != NULL; f++) {
            write_field(text, f, (const char *)rows + (size_t)i * size);
            ss_text_print(text, f[1].name != NULL ? "," : "\n");
        }
}

/* ---- Reading --------------------------------------------------------------------------------------------
 */

#define CELL 1024 /* longest cell that is read */

/* The cell at *p without its quotes into cell[CELL]; *p moves behind it, onto the comma or the end of the
 * line. False when it is too long or badly quoted. */
static bool take_cell(const char **p, char *cell)
{
    const char *at = *p;
    size_t      used = 0;
    bool        quoted = *at == '"';
    if (quoted) at++;
    while (quoted ? *at != '\0' : (*at != ',' && *at != '\n' && *at != '\0')) {
        if (quoted && *at == '"') {
            if (at[1] != '"') break;
            at++;
        }
        if (used + 1 >= CELL) return false;
        cell[used++] = *at++;
    }
    if (quoted && *at++ != '"') return false;
    cell[used] = '\0';
    *p = at;
    return *at == ',' || *at == '\n' || *at == '\0';
}

static bool read_integer(const char *cell, int64_t *value)
{
    char *end = NULL;
    errno = 0;
    *value = strtoll(cell, &end, 10);
    return end != cell && *end == '\0' && errno == 0;
}

static bool read_named(const ss_field *field, const char *cell, char *at)
{
    for (int value = 0; value < (int)field->count; value++)
        if (strcmp(field->text(&value), cell) == 0) {
            memcpy(at, &value, sizeof value);
            return true;
        }
    return false;
}

static bool read_field(const ss_field *field, const char *cell, char *row)
{
    char   *at = row + field->offset, *end = NULL;
    int64_t integer = 0;
    double  real = (double)NAN;
    switch (field->kind) {
    case SS_FIELD_REAL:
        if (cell[0] != '\0') {
            real = strtod(cell, &end);
            if (*end != '\0') return false;
        }
        memcpy(at, &real, sizeof real);
        return true;
    case SS_FIELD_INTEGER:
    case SS_FIELD_COUNT:
        if (!read_integer(cell, &integer)) return false;
        memcpy(at, &integer, sizeof integer);
        return true;
    case SS_FIELD_INT:
    case SS_FIELD_BOOL: {
        if (!read_integer(cell, &integer)) return false;
        int  number = (int)integer;
        bool truth = integer != 0;
        if (field->kind == SS_FIELD_INT)
            memcpy(at, &number, sizeof number);
        else
            memcpy(at, &truth, sizeof truth);
        return true;
    }
    case SS_FIELD_NAMED: return read_named(field, cell, at);
    case SS_FIELD_CHARS:
        if (strlen(cell) >= field->count) return false;
        memcpy(at, cell, strlen(cell) + 1);
        return true;
    default: return false;
    }
}

/* One line into a row; *wrong names the column that does not fit. */
static bool read_row(const ss_field *fields, const char **p, char *row, const char **wrong)
{
    char cell[CELL];
    for (const ss_field *f = fields; f->name != NULL; f++) {
        *wrong = f->name;
        if (!take_cell(p, cell) || !read_field(f, cell, row)) return false;
        bool last = f[1].name == NULL;
        if (**p != (last ? '\n' : ',')) return false;
        (*p)++;
    }
    return true;
}

ss_status ss_report_csv_read(ss_context *context, const char *path, const char *bytes, const ss_field *fields,
                             size_t size, void **rows, int64_t *count)
{
    ss_status   status = SS_OK;
    ss_text     head;
    const char *p = bytes, *wrong = "";
    int64_t     room = 0;
    *rows = NULL;
    *count = 0;
    ss_text_init(context, &head);
    write_head(&head, fields);
    SS_TRY(head.status);
    if (strncmp(bytes, head.bytes, (size_t)head.length) != 0)
        SS_FAIL(context, SS_ERROR_INPUT, "%s: line 1: expected the header of this table, '%.60s...'", path,
                head.bytes);
    p += head.length;
    while (*p != '\0') {
        if (*count == room) {
            room = room > 0 ? 2 * room : 64;
            SS_TRY(ss_reallocate(context, room, size, rows));
        }
        if (!read_row(fields, &p, (char *)*rows + (size_t)*count * size, &wrong))
            SS_FAIL(context, SS_ERROR_INPUT, "%s: line %lld: column '%s' is not as this table has it", path,
                    (long long)*count + 2, wrong);
        (*count)++;
    }
fail:
    ss_text_release(&head);
    if (status != SS_OK) {
        ss_free(context, *rows);
        *rows = NULL;
    }
    return status;
}
