/* The context: the first error's message stands, threads, interruption, log and progress. */
#include "support/support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(context, first_message_stands, .init = ss_test_begin, .fini = ss_test_end)
{
    cr_assert_str_eq(ss_context_message(ss_test_context), "");
    cr_assert(ss_fail(ss_test_context, SS_ERROR_INPUT, "file '%s'", "a") == SS_ERROR_INPUT);
    cr_assert(ss_fail(ss_test_context, SS_ERROR_RUNTIME, "on the way out") == SS_ERROR_RUNTIME);
    cr_assert_str_eq(ss_context_message(ss_test_context), "file 'a'");
    ss_context_clear_message(ss_test_context);
    ss_fail(ss_test_context, SS_ERROR_RUNTIME, "second");
    cr_assert_str_eq(ss_context_message(ss_test_context), "second");
}

Test(context, a_long_message_is_cut, .init = ss_test_begin, .fini = ss_test_end)
{
    char text[5000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    ss_fail(ss_test_context, SS_ERROR_INPUT, "%s", text);
    size_t length = strlen(ss_context_message(ss_test_context));
    cr_assert(length > 1000 && length < sizeof text);
}

Test(context, exit_statuses)
{
    cr_assert(ss_status_exit(SS_OK) == 0 && ss_status_exit(SS_ERROR_INPUT) == 3);
    cr_assert(ss_status_exit(SS_ERROR_REFUSED) == 6 && ss_status_exit(SS_ERROR_INTERRUPTED) == 75);
    cr_assert_str_eq(ss_status_text(SS_ERROR_MEMORY), "out of memory");
    cr_assert_str_eq(ss_status_text((ss_status)999), ss_status_text(SS_ERROR_INTERNAL));
}

Test(context, threads_and_interruption, .init = ss_test_begin, .fini = ss_test_end)
{
    volatile int flag = 0;
    cr_assert(ss_context_threads(ss_test_context) >= 1);
    ss_test_refuse(ss_context_set_threads(ss_test_context, -1), SS_ERROR_USAGE, "-1");
    ss_test_require(ss_context_set_threads(ss_test_context, 3));
    cr_assert(ss_context_threads(ss_test_context) == 3);
    ss_test_require(ss_context_set_threads(ss_test_context, 0));
    cr_assert(ss_context_threads(ss_test_context) >= 1);
    cr_assert(!ss_context_interrupted(ss_test_context));
    ss_context_set_interrupt(ss_test_context, &flag);
    cr_assert(!ss_context_interrupted(ss_test_context));
    flag = 1;
    cr_assert(ss_context_interrupted(ss_test_context));
}

static void keep_line(void *user, ss_log_level level, const char *line)
{
    snprintf(user, 64, "%d %s", (int)level, line);
}

static void keep_progress(void *user, const char *what, double done, double total, const char *remark)
{
    snprintf(user, 64, "%s %g/%g [%s]", what, done, total, remark);
}

Test(context, log_and_progress, .init = ss_test_begin, .fini = ss_test_end)
{
    char line[64] = "";
    ss_log(ss_test_context, SS_LOG_WARNING, "nobody listens");
    ss_progress(ss_test_context, "nobody", 1, 2, "");
    ss_context_set_log(ss_test_context, keep_line, line);
    ss_log(ss_test_context, SS_LOG_WARNING, "core '%s'", "Prescott");
    cr_assert_str_eq(line, "1 core 'Prescott'");
    ss_context_set_progress(ss_test_context, keep_progress, line);
    ss_progress(ss_test_context, "products", 3, 40, NULL);
    cr_assert_str_eq(line, "products 3/40 []");
}
