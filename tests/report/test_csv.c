/* Tables as CSV and back: every bit of a number, every character of a name; and tables that are none. */
#include "report/report.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const char *const names[] = { "run/checkpoint-1", "a,b", "say \"when\"", "", "both, \"and\" more" };
enum { ROWS = sizeof names / sizeof *names };

static void fill(ss_track_point rows[ROWS])
{
    for (int i = 0; i < ROWS; i++) {
        rows[i] = (ss_track_point){ .step = i == 3 ? -1 : 1000000000000 + i,
                                    .loss = 1.0 / 3.0 * pow(10.0, 40 * i - 80),
                                    .gradient = i == 2 ? (double)NAN : 0x1.fffffffffffffp-3,
                                    .lambda_min = -0x1p-1060,
                                    .label = (ss_label)(i % SS_LABEL_COUNT),
                                    .products = i };
        memcpy(rows[i].name, names[i], strlen(names[i]) + 1);
        memcpy(rows[i].setup, "0123456789abcdef", 17);
    }
}

static bool same_bits(double a, double b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

Test(csv, rows_come_back_as_they_were, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_track_point rows[ROWS], *again = NULL;
    int64_t        count = 0;
    ss_text        text;
    fill(rows);
    ss_text_init(ss_test_context, &text);
    ss_report_csv(&text, ss_track_point_fields, rows, ROWS, sizeof *rows);
    ss_test_require(text.status);
    ss_test_require(ss_report_csv_read(ss_test_context, "t.csv", text.bytes, ss_track_point_fields,
                                       sizeof *again, (void **)&again, &count));
    cr_assert_eq(count, ROWS);
    for (int i = 0; i < ROWS; i++) {
        cr_expect_str_eq(again[i].name, rows[i].name);
        cr_expect(same_bits(again[i].loss, rows[i].loss) && same_bits(again[i].gradient, rows[i].gradient) &&
                      same_bits(again[i].lambda_min, rows[i].lambda_min),
                  "row %d", i);
        cr_expect(again[i].step == rows[i].step && again[i].label == rows[i].label &&
                  again[i].products == rows[i].products);
    }
    ss_free(ss_test_context, again);
    ss_text_release(&text);
}

/* One thing wrong in the second row: `from` becomes `to`; the message names line and column. */
static void refuse(const char *from, const char *to, const char *part)
{
    ss_track_point rows[ROWS];
    void          *again = NULL;
    int64_t        count = 0;
    ss_text        text, wrong;
    fill(rows);
    rows[1].loss = 12345.0;
    ss_text_init(ss_test_context, &text);
    ss_text_init(ss_test_context, &wrong);
    ss_report_csv(&text, ss_track_point_fields, rows, 2, sizeof *rows);
    char *place = strstr(text.bytes, from);
    cr_assert(place != NULL, "'%s' is not in the table", from);
    ss_text_print(&wrong, "%.*s%s%s", (int)(place - text.bytes), text.bytes, to, place + strlen(from));
    ss_test_refuse(ss_report_csv_read(ss_test_context, "t.csv", wrong.bytes, ss_track_point_fields,
                                      sizeof *rows, &again, &count),
                   SS_ERROR_INPUT, part);
    cr_expect(again == NULL);
    ss_text_release(&text);
    ss_text_release(&wrong);
}

Test(csv, other_tables_are_refused, .init = ss_test_begin, .fini = ss_test_end)
{
    refuse("name,step", "name,epoch", "t.csv: line 1");
    refuse("12345,", "12345x,", "line 3: column 'loss'");
    refuse("12345,", "", "line 3");
    refuse("\"a,b\"", "\"a,b", "line 3: column 'name'");
    refuse("1000000000001", "99999999999999999999", "line 3: column 'step'");
    refuse("not_critical", "uncritical", "line 3: column 'label'");
    refuse("0123456789abcdef\n\"a", "0123456789abcdef0\n\"a", "line 2: column 'setup'");
    /* A row cut short, as a program that appends would leave it. */
    refuse(",0123456789abcdef\n\"a,b\"", ",01", "line 2");
}
