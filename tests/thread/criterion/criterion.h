/* A small stand-in for Criterion: in the thread sanitizer's build, where Criterion's own process machinery
 * (memory arenas at fixed addresses) cannot run, and on machines without Criterion (SS_TEST_RUNNER=plain).
 * Same names, same "Synthesis" line; every case runs in a forked child. Only what our suites use is here: a
 * suite that needs more does not compile, it never passes by accident. */
#ifndef SS_TESTS_THREAD_CRITERION_H
#define SS_TESTS_THREAD_CRITERION_H

/* Test(suite, name) leaves "..." empty, which a rule of C11 forbids, and cr_assert(condition) makes an empty
 * format. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#else
#pragma GCC            system_header /* gcc's preprocessor knows no other way */
#pragma GCC diagnostic ignored "-Wformat-zero-length"
#endif

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct ss_plain_case {
    const char *suite;       /* first argument of Test */
    const char *name;        /* second */
    void (*run)(void);       /* the body */
    void (*init)(void);      /* before it; NULL = nothing */
    void (*fini)(void);      /* after it; NULL = nothing */
    double      timeout;     /* seconds; ignored, CTest has its own */
    bool        disabled;    /* not run */
    const char *description; /* ignored */
    int         signal;      /* expected signal; 0 = none */
    int         exit_code;   /* expected exit status; 0 = ordinary end */
} ss_plain_case;

void ss_plain_add(const ss_plain_case *added);
void ss_plain_fail(const char *file, int line, const char *condition, bool stop);
void ss_plain_skip(void) __attribute__((noreturn));

#define Test(suite_, name_, ...)                                                                             \
    static void                              suite_##_##name_##_body(void);                                  \
    __attribute__((constructor)) static void suite_##_##name_##_add(void)                                    \
    {                                                                                                        \
        static ss_plain_case added = {                                                                       \
            .suite = #suite_, .name = #name_, .run = suite_##_##name_##_body, __VA_ARGS__                    \
        };                                                                                                   \
        ss_plain_add(&added);                                                                                \
    }                                                                                                        \
    static void suite_##_##name_##_body(void)

#define SS_PLAIN_CHECK(stop, text, condition, ...)                                                           \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "" __VA_ARGS__);                                                                 \
            ss_plain_fail(__FILE__, __LINE__, text, stop);                                                   \
        }                                                                                                    \
    } while (0)

#define cr_assert(condition, ...)     SS_PLAIN_CHECK(true, #condition, condition, __VA_ARGS__)
#define cr_expect(condition, ...)     SS_PLAIN_CHECK(false, #condition, condition, __VA_ARGS__)
#define cr_assert_not(condition, ...) SS_PLAIN_CHECK(true, #condition, !(condition), __VA_ARGS__)
#define cr_assert_eq(a, b, ...)       SS_PLAIN_CHECK(true, #a " == " #b, (a) == (b), __VA_ARGS__)
#define cr_assert_neq(a, b, ...)      SS_PLAIN_CHECK(true, #a " != " #b, (a) != (b), __VA_ARGS__)
#define cr_assert_lt(a, b, ...)       SS_PLAIN_CHECK(true, #a " < " #b, (a) < (b), __VA_ARGS__)
#define cr_assert_leq(a, b, ...)      SS_PLAIN_CHECK(true, #a " <= " #b, (a) <= (b), __VA_ARGS__)
#define cr_assert_gt(a, b, ...)       SS_PLAIN_CHECK(true, #a " > " #b, (a) > (b), __VA_ARGS__)
#define cr_assert_geq(a, b, ...)      SS_PLAIN_CHECK(true, #a " >= " #b, (a) >= (b), __VA_ARGS__)
#define cr_assert_null(a, ...)        SS_PLAIN_CHECK(true, #a " is NULL", (a) == NULL, __VA_ARGS__)
#define cr_assert_not_null(a, ...)    SS_PLAIN_CHECK(true, #a " is not NULL", (a) != NULL, __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)   SS_PLAIN_CHECK(true, #a " equals " #b, strcmp((a), (b)) == 0, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...)                                                                         \
    SS_PLAIN_CHECK(true, #a " differs from " #b, strcmp((a), (b)) != 0, __VA_ARGS__)
#define cr_assert_float_eq(a, b, within, ...)                                                                \
    SS_PLAIN_CHECK(true, #a " near " #b, fabs((double)((a) - (b))) <= (double)(within), __VA_ARGS__)
#define cr_expect_eq(a, b, ...)  SS_PLAIN_CHECK(false, #a " == " #b, (a) == (b), __VA_ARGS__)
#define cr_expect_neq(a, b, ...) SS_PLAIN_CHECK(false, #a " != " #b, (a) != (b), __VA_ARGS__)
#define cr_expect_lt(a, b, ...)  SS_PLAIN_CHECK(false, #a " < " #b, (a) < (b), __VA_ARGS__)
#define cr_expect_gt(a, b, ...)  SS_PLAIN_CHECK(false, #a " > " #b, (a) > (b), __VA_ARGS__)
#define cr_expect_leq(a, b, ...) SS_PLAIN_CHECK(false, #a " <= " #b, (a) <= (b), __VA_ARGS__)
#define cr_expect_geq(a, b, ...) SS_PLAIN_CHECK(false, #a " >= " #b, (a) >= (b), __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...)                                                                          \
    SS_PLAIN_CHECK(false, #a " equals " #b, strcmp((a), (b)) == 0, __VA_ARGS__)
#define cr_expect_float_eq(a, b, within, ...)                                                                \
    SS_PLAIN_CHECK(false, #a " near " #b, fabs((double)((a) - (b))) <= (double)(within), __VA_ARGS__)
#define cr_expect_null(a, ...) SS_PLAIN_CHECK(false, #a " is NULL", (a) == NULL, __VA_ARGS__)
#define cr_assert_arr_eq(a, b, bytes, ...)                                                                   \
    SS_PLAIN_CHECK(true, #a " equals " #b, memcmp((a), (b), (bytes)) == 0, __VA_ARGS__)
#define cr_expect_arr_eq(a, b, bytes, ...)                                                                   \
    SS_PLAIN_CHECK(false, #a " equals " #b, memcmp((a), (b), (bytes)) == 0, __VA_ARGS__)
#define cr_fail(...)        SS_PLAIN_CHECK(false, "fail", false, __VA_ARGS__)
#define cr_assert_fail(...) SS_PLAIN_CHECK(true, "fail", false, __VA_ARGS__)
#define cr_fatal(...)       SS_PLAIN_CHECK(true, "fail", false, __VA_ARGS__)
#define cr_log_info(...)    (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr))
#define cr_log_warn(...)    cr_log_info(__VA_ARGS__)
#define cr_log_error(...)   cr_log_info(__VA_ARGS__)
#define cr_skip_test(...)                                                                                    \
    do {                                                                                                     \
        fprintf(stderr, "" __VA_ARGS__);                                                                     \
        ss_plain_skip();                                                                                     \
    } while (0)
#define cr_skip(...) cr_skip_test(__VA_ARGS__)

#endif
