/* Text buffer and numbers as people read them. */
#include "report/text.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void ss_text_init(ss_context *context, ss_text *text)
{
    *text = (ss_text){ .context = context };
}

void ss_text_release(ss_text *text)
{
    ss_free(text->context, text->bytes);
    text->bytes = NULL;
}

/* Room for `more` bytes and the zero behind them. */
static bool reserve(ss_text *text, int64_t more)
{
    if (text->status == SS_OK && text->length + more + 1 > text->capacity) {
        int64_t capacity = ss_max64(2 * text->capacity, text->length + more + 1024);
        text->status = ss_reallocate(text->context, capacity, 1, (void **)&text->bytes);
        if (text->status == SS_OK) text->capacity = capacity;
    }
    return text->status == SS_OK;
}

void ss_text_append(ss_text *text, const void *bytes, int64_t length)
{
    if (length <= 0 || !reserve(text, length)) return;
    memcpy(text->bytes + text->length, bytes, (size_t)length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

void ss_text_print(ss_text *text, const char *format, ...)
{
    va_list list, again;
    if (text->status != SS_OK) return;
    va_start(list, format);
    va_copy(again, list);
    int needed = vsnprintf(NULL, 0, format, list);
    va_end(list);
    if (reserve(text, needed)) {
        vsnprintf(text->bytes + text->length, (size_t)(text->capacity - text->length), format, again);
        text->length += needed;
    }
    va_end(again);
}

void ss_text_escape(ss_text *text, const char *words)
{
    for (const char *c = words; *c != '\0';) {
        size_t plain = 0;
        while ((unsigned char)c[plain] >= 0x20 && strchr("&<>\"\x7f", c[plain]) == NULL) plain++;
        ss_text_append(text, c, (int64_t)plain);
        c += plain;
        switch (*c) {
        case '\0': return;
        case '&': ss_text_print(text, "&amp;"); break;
        case '<': ss_text_print(text, "&lt;"); break;
        case '>': ss_text_print(text, "&gt;"); break;
        case '"': ss_text_print(text, "&quot;"); break;
        case '\n':
        case '\t': ss_text_print(text, "%c", *c); break;
        default: ss_text_print(text, "?");
        }
        c++;
    }
}

/* Columns of UTF-8 text: bytes that are no continuation. */
static int columns(const char *bytes, size_t length)
{
    int count = 0;
    for (size_t i = 0; i < length; i++) count += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    return count;
}

/* Bytes up to where a line may break: not before "%" or "+-", not behind "+-", not inside 12 345. */
static size_t unbroken(const char *words)
{
    size_t length = strcspn(words, " ");
    while (words[length] == ' ') {
        const char *next = words + length + 1;
        bool        behind = length >= 2 && strncmp(words + length - 2, "+-", 2) == 0;
        bool        digits =
            length >= 1 && isdigit((unsigned char)words[length - 1]) && isdigit((unsigned char)*next);
        if (!behind && !digits && *next != '%' && strncmp(next, "+-", 2) != 0) break;
        length += 1 + strcspn(next, " ");
    }
    return length;
}

void ss_text_words(ss_text *text, const char *words, int indent, int width, int *column)
{
    for (const char *p = words; *p != '\0';) {
        size_t length = unbroken(p);
        int    wide = columns(p, length);
        bool   glued = p == words && strchr(";:,.)", *p) != NULL; /* goes on where the last words ended */
        if (!glued && *column > indent && *column + 1 + wide > width) {
            ss_text_print(text, "\n%*s", indent, "");
            *column = indent;
        } else if (!glued && *column > indent) {
            ss_text_print(text, " ");
            *column += 1;
        }
        ss_text_print(text, "%.*s", (int)length, p);
        *column += wide;
        p += length;
        while (*p == ' ') p++;
    }
}

char *ss_number_text(double value, int digits, char out[SS_NUMBER_TEXT])
{
    double size = fabs(value);
    if (!isfinite(value))
        snprintf(out, SS_NUMBER_TEXT, "unknown");
    else if (value == 0)
        snprintf(out, SS_NUMBER_TEXT, "0");
    else if (size < 1e-3 || size >= 1e6)
        snprintf(out, SS_NUMBER_TEXT, "%.*g", digits, value);
    else
        snprintf(out, SS_NUMBER_TEXT, "%.*f", (int)fmax(0, digits - 1 - floor(log10(size))), value);
    return out;
}

char *ss_uncertain_text(double value, double error, char out[2 * SS_NUMBER_TEXT])
{
    char first[SS_NUMBER_TEXT], second[SS_NUMBER_TEXT];
    if (!isfinite(value) || !isfinite(error)) {
        snprintf(out, 2 * SS_NUMBER_TEXT, "%s", ss_number_text(value, 4, first));
        return out;
    }
    /* As many digits as the error leaves, two beyond its first at most. */
    double ratio = error > 0 && value != 0 ? log10(fabs(value) / error) : 15;
    int    digits = (int)fmin(fmax(ceil(ratio) + 1, 2), 7);
    snprintf(out, 2 * SS_NUMBER_TEXT, "%s +- %s", ss_number_text(value, digits, first),
             ss_number_text(error, 1, second));
    return out;
}

char *ss_count_text(int64_t count, char out[SS_NUMBER_TEXT])
{
    char plain[24];
    int  length = snprintf(plain, sizeof plain, "%lld", (long long)count), to = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0 && plain[i - 1] != '-') out[to++] = ' ';
        out[to++] = plain[i];
    }
    out[to] = '\0';
    return out;
}

char *ss_percent_text(double share, char out[SS_NUMBER_TEXT])
{
    double percent = 100 * share, size = fabs(percent);
    if (!isfinite(percent))
        snprintf(out, SS_NUMBER_TEXT, "unknown %%");
    else if (size == 0)
        snprintf(out, SS_NUMBER_TEXT, "0 %%");
    else if (size < 0.01)
        snprintf(out, SS_NUMBER_TEXT, "< 0.01 %%");
    else if (size < 0.1)
        snprintf(out, SS_NUMBER_TEXT, "%.2f %%", percent);
    else if (size < 1)
        snprintf(out, SS_NUMBER_TEXT, "%.1f %%", percent);
    else
        snprintf(out, SS_NUMBER_TEXT, "%.*f %%", size < 10 && fabs(size - round(size)) > 0.05 ? 1 : 0,
                 percent);
    return out;
}

char *ss_duration_text(double seconds, char out[SS_NUMBER_TEXT])
{
    if (!isfinite(seconds))
        snprintf(out, SS_NUMBER_TEXT, "unknown time");
    else if (seconds < 1e-3)
        snprintf(out, SS_NUMBER_TEXT, "%.0f us", seconds * 1e6);
    else if (seconds < 1)
        snprintf(out, SS_NUMBER_TEXT, "%.0f ms", seconds * 1e3);
    else if (seconds < 10)
        snprintf(out, SS_NUMBER_TEXT, "%.1f s", seconds);
    else if (seconds < 120)
        snprintf(out, SS_NUMBER_TEXT, "%.0f s", seconds);
    else if (seconds < 7200)
        snprintf(out, SS_NUMBER_TEXT, "%.0f min %02.0f s", floor(seconds / 60), fmod(seconds, 60));
    else
        snprintf(out, SS_NUMBER_TEXT, "%.0f h %02.0f min", floor(seconds / 3600),
                 floor(fmod(seconds, 3600) / 60));
    return out;
}

char *ss_bytes_text(int64_t bytes, char out[SS_NUMBER_TEXT])
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
    double                   value = (double)bytes / 1024;
    int                      unit = 0;
    if (bytes < 1024) {
        snprintf(out, SS_NUMBER_TEXT, "%lld B", (long long)bytes);
        return out;
    }
    while (value >= 1024 && unit < 3) value /= 1024, unit++;
    snprintf(out, SS_NUMBER_TEXT, "%.*f %s", value < 10 ? 1 : 0, value, units[unit]);
    return out;
}
