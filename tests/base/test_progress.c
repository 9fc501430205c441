/* The progress printer: what it prints, how often, and how wide. The clock is the test's own. */
#include "base/progress.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <string.h>

static double seconds;

static double test_clock(void)
{
    return seconds;
}

static char *begin(ss_progress_printer *printer, bool terminal)
{
    static char text[4096];
    FILE       *stream = tmpfile();
    cr_assert(stream != NULL);
    ss_progress_printer_init(printer, stream);
    cr_assert(!printer->terminal);
    printer->terminal = terminal;
    printer->now = test_clock;
    return text;
}

/* Everything printed so far. */
static const char *printed(ss_progress_printer *printer, char *text)
{
    rewind(printer->stream);
    text[fread(text, 1, 4095, printer->stream)] = '\0';
    return text;
}

Test(progress, plain_lines_every_ten_seconds)
{
    ss_progress_printer printer;
    char               *text = begin(&printer, false);
    for (int i = 0; i <= 40; i++) {
        seconds = 0.6 * i;
        ss_progress_print(&printer, "products", i, 40, i > 30 ? "lambda -1.5" : "");
    }
    cr_assert_str_eq(printed(&printer, text), "products 17 of 40, 42 %, 10 s, 14 s left\n"
                                              "products 34 of 40, 85 %, 20 s, 4 s left, lambda -1.5\n");
    fclose(printer.stream);
}

Test(progress, unknown_total_and_long_times)
{
    ss_progress_printer printer;
    char               *text = begin(&printer, false);
    seconds = 5;
    ss_progress_print(&printer, "samples", 0, 0, "");
    seconds = 5 + 3723;
    ss_progress_print(&printer, "samples", 12345678, 0, "");
    cr_assert_str_eq(printed(&printer, text), "samples 12345678, 1:02:03\n");
    fclose(printer.stream);
}

Test(progress, bar_fits_the_terminal_and_is_taken_away)
{
    ss_progress_printer printer;
    char               *text = begin(&printer, true);
    printer.columns = 50;
    seconds = 1;
    ss_progress_print(&printer, "products", 0, 4, "");
    seconds = 1.05; /* too early to draw again */
    ss_progress_print(&printer, "products", 1, 4, "");
    seconds = 3;
    ss_progress_print(&printer, "products", 2, 4, "a remark too long for the line");
    ss_progress_clear(&printer);
    ss_progress_clear(&printer);
    cr_assert_str_eq(printed(&printer, text), "\r\033[K[------------------------] products 0 of 4, 0 %, "
                                              "\r\033[K[############------------] products 2 of 4, 50 %,"
                                              "\r\033[K");
    fclose(printer.stream);
}
