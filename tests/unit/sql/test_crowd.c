#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "sql/pool_job.h"

enum { A = 3, B = 40, C = 5 }; /* statements' ids */

struct line {
    struct crowds crowds;
    struct job_line jobs;
};

static int setup(void **state)
{
    struct line *line = xcalloc(1, sizeof *line);
    line->jobs.crowds = &line->crowds;
    *state = line;
    return 0;
}

static int teardown(void **state)
{
    struct line *line = *state;
    crowds_deinit(&line->crowds);
    free(line);
    return 0;
}

static const struct pool_statement statements[] = {[A] = {.id = A}, [B] = {.id = B}, [C] = {.id = C}};

static struct job job_with(int id)
{
    return (struct job){.work = {.statements = &statements[id], .statement_count = 1}};
}

static void the_newest_of_the_largest_crowd_gives_way(void **state)
{
    struct line *line = *state;
    struct job a[3] = {job_with(A), job_with(A), job_with(A)}, b[2] = {job_with(B), job_with(B)}, c = job_with(C);
    job_line_push(&line->jobs, &b[0]);
    for (int i = 0; i < 3; i++)
        job_line_push(&line->jobs, &a[i]);
    assert_ptr_equal(crowds_yield(&line->crowds, &c), &a[2]);
    assert_ptr_equal(crowds_yield(&line->crowds, &b[1]), &a[2]);
    job_line_push(&line->jobs, &b[1]);
    assert_null(crowds_yield(&line->crowds, &b[1])); /* the two would only change places */
    assert_null(crowds_yield(&line->crowds, &a[0]));
    while (job_line_pop(&line->jobs) != NULL) {
    }
}

static void who_leaves_or_runs_again_keeps_the_order(void **state)
{
    struct line *line = *state;
    struct job a[4] = {job_with(A), job_with(A), job_with(A), job_with(A)}, c = job_with(C);
    for (int i = 1; i < 4; i++)
        job_line_push(&line->jobs, &a[i]);
    job_line_push_front(&line->jobs, &a[0]);
    assert_ptr_equal(crowds_yield(&line->crowds, &c), &a[3]);
    job_line_remove(&line->jobs, &a[3]);
    assert_ptr_equal(crowds_yield(&line->crowds, &c), &a[2]);
    job_line_remove(&line->jobs, &a[1]);
    assert_ptr_equal(crowds_yield(&line->crowds, &c), &a[2]);
    job_line_remove(&line->jobs, &a[2]);
    assert_null(crowds_yield(&line->crowds, &c));
    assert_ptr_equal(job_line_pop(&line->jobs), &a[0]);
    assert_null(crowds_yield(&line->crowds, &c));
}

static void one_that_waits_may_become_another_statement(void **state)
{
    struct line *line = *state;
    struct job a[2] = {job_with(A), job_with(A)}, c = job_with(C);
    job_line_push(&line->jobs, &a[0]);
    job_line_push(&line->jobs, &a[1]);
    a[1].work.statements = &statements[B];
    assert_ptr_equal(crowds_yield(&line->crowds, &c), &a[1]);
    job_line_remove(&line->jobs, &a[1]);
    assert_null(crowds_yield(&line->crowds, &c));
    job_line_remove(&line->jobs, &a[0]);
    assert_int_equal(line->crowds.at[A].count, 0);
    assert_null(line->crowds.at[A].newest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_newest_of_the_largest_crowd_gives_way, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_waits_may_become_another_statement, setup, teardown),
        cmocka_unit_test_setup_teardown(who_leaves_or_runs_again_keeps_the_order, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
