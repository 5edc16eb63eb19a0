#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "master/proc_file.h"

static pid_t stopped;

static int setup(void **unused)
{
    (void)unused;
    int status;
    stopped = fork();
    if (stopped == 0) {
        raise(SIGSTOP);
        _exit(0);
    }
    return waitpid(stopped, &status, WUNTRACED) == stopped && WIFSTOPPED(status) ? 0 : 1;
}

static int teardown(void **unused)
{
    (void)unused;
    if (stopped > 0) {
        kill(stopped, SIGKILL);
        waitpid(stopped, NULL, 0);
    }
    return 0;
}

static void a_line_of_the_status_is_found_by_its_name(void **unused)
{
    (void)unused;
    assert_string_equal(proc_status(stopped, "State").s, "T (stopped)");
    assert_string_equal(proc_status(stopped, "TracerPid").s, "0");
    assert_int_equal(atoi(proc_status(stopped, "PPid").s), getpid());
}

static void part_of_a_name_is_none(void **unused)
{
    (void)unused;
    assert_string_equal(proc_status(stopped, "Stat").s, "");
    assert_string_equal(proc_status(stopped, "tate").s, "");
}

static void who_stands_in_the_kernel_stands_somewhere(void **unused)
{
    (void)unused;
    struct proc_text stack = proc_stack(stopped);
    if (stack.s[0] == '\0')
        skip(); /* a kernel that tells nobody */
    assert_int_equal(stack.s[0], ' ');
    assert_null(strchr(stack.s, '\n'));
    assert_null(strchr(stack.s, '+'));
}

static void who_is_gone_has_nothing(void **unused)
{
    (void)unused;
    pid_t gone = stopped;
    teardown(NULL);
    stopped = 0;
    assert_string_equal(proc_status(gone, "State").s, "");
    assert_string_equal(proc_stack(gone).s, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_of_the_status_is_found_by_its_name, setup, teardown),
        cmocka_unit_test_setup_teardown(part_of_a_name_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(who_stands_in_the_kernel_stands_somewhere, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_gone_has_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
