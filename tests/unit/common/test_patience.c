#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/exit_code.h"
#include "common/log.h"
#include "common/patience.h"

/* The linker sends the calls of the code under test here (GNUmakefile). */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

static int failures; /* that are to come; -1: no end of them */
static int attempts, spared;
static bool spare_helps;

static bool fails(void)
{
    attempts++;
    if (failures > 0)
        return failures-- > 0;
    return failures < 0;
}

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return fails() ? NULL : __real_realloc(old, bytes);
}

static void spare(void)
{
    spared++;
    if (spare_helps)
        failures = 0;
}

static void be_patient(int64_t most_us)
{
    patience_set(&(struct patience){most_us, spare, NULL});
}

static int setup(void **state)
{
    (void)state;
    failures = attempts = spared = 0;
    spare_helps = false;
    be_patient(20 * US_PER_MS);
    log_set_level(LOG_CRIT + 1);
    return 0;
}

static void what_is_to_be_had_costs_one_attempt(void **state)
{
    (void)state;
    free(xmalloc(0));
    free(xcalloc(0, 0));
    assert_int_equal(attempts, 2);
    assert_int_equal(spared, 0);
}

static void what_can_be_spared_goes_first_and_saves_the_wait(void **state)
{
    (void)state;
    failures = -1;
    spare_helps = true;
    char *at = xmalloc(100);
    memset(at, 1, 100);
    free(at);
    assert_int_equal(attempts, 2);
    assert_int_equal(spared, 1);
}

static void a_shortage_that_ends_is_waited_for(void **state)
{
    (void)state;
    int64_t began_us = clock_mono_us();
    failures = 4;
    char *at = xstrdup("text");
    assert_int_equal(attempts, 5);
    assert_true(clock_mono_us() - began_us >= 1 + 2 + 4);
    failures = 3;
    at = xrealloc(at, 1000);
    assert_string_equal(at, "text");
    free(at);
    failures = 3;
    int *numbers = xcalloc(100, sizeof *numbers);
    for (int i = 0; i < 100; i++)
        assert_int_equal(numbers[i], 0);
    free(numbers);
}

static void in_the_end_words(const char *words)
{
    _exit(strstr(words, "out of memory: 77 bytes") != NULL ? 40 + EXIT_RESOURCES : 1);
}

/* In a child: the exit status, and how long it took. */
static int status_of_waiting(int64_t most_us, void (*end)(const char *), int64_t *us_out)
{
    int64_t began_us = clock_mono_us();
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        patience_set(&(struct patience){most_us, NULL, end});
        failures = -1;
        free(xmalloc(77));
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    *us_out = clock_mono_us() - began_us;
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void patience_has_an_end(void **state)
{
    (void)state;
    int64_t us;
    assert_int_equal(status_of_waiting(100 * US_PER_MS, NULL, &us), EXIT_RESOURCES);
    assert_true(us >= 100 * US_PER_MS);
    assert_int_equal(status_of_waiting(US_PER_MS, in_the_end_words, &us), 40 + EXIT_RESOURCES);
}

static void or_it_has_none(void **state)
{
    (void)state;
    be_patient(PATIENCE_ENDLESS);
    failures = 30;
    int64_t began_us = clock_mono_us();
    free(xmalloc(1));
    assert_true(clock_mono_us() - began_us >= 500 * US_PER_MS);
    assert_int_equal(failures, 0);
}

static void *take_in_vain(void *arg)
{
    (void)arg;
    failures = 2;
    free(xmalloc(1));
    return NULL;
}

static void another_thread_gives_back_nothing_of_ours(void **state)
{
    (void)state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, take_in_vain, NULL), 0);
    pthread_join(thread, NULL);
    assert_int_equal(spared, 0);
    take_in_vain(NULL);
    assert_int_equal(spared, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_to_be_had_costs_one_attempt, setup),
        cmocka_unit_test_setup(what_can_be_spared_goes_first_and_saves_the_wait, setup),
        cmocka_unit_test_setup(a_shortage_that_ends_is_waited_for, setup),
        cmocka_unit_test_setup(patience_has_an_end, setup),
        cmocka_unit_test_setup(or_it_has_none, setup),
        cmocka_unit_test_setup(another_thread_gives_back_nothing_of_ours, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
