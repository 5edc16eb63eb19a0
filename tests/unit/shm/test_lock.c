#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "shm/lock.h"

static int setup(void **state)
{
    pthread_mutex_t *lock = mmap(NULL, sizeof *lock, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (lock == MAP_FAILED)
        return 1;
    lock_init(lock);
    *state = lock;
    return 0;
}

static int teardown(void **state)
{
    return munmap(*state, sizeof(pthread_mutex_t));
}

/* A process that takes the lock and stops inside. */
static pid_t stopped_holder(pthread_mutex_t *lock)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        bool taken = lock_take(lock) == LOCK_TAKEN;
        raise(SIGSTOP);
        if (taken)
            lock_give(lock);
        _exit(taken ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    return child;
}

static void a_stopped_holder_costs_two_milliseconds(void **state)
{
    pthread_mutex_t *lock = *state;
    int status;
    pid_t holder = stopped_holder(lock);
    int64_t start_us = clock_mono_us();
    enum lock_result result = lock_take(lock);
    int64_t took_us = clock_mono_us() - start_us;
    kill(holder, SIGCONT);
    assert_int_equal(result, LOCK_LATE);
    assert_in_range(took_us, 1900, 100 * US_PER_MS); /* the machine may be busy; a wait without end is not that */
    assert_int_equal(waitpid(holder, &status, 0), holder);
    assert_int_equal(status, 0);
    assert_int_equal(lock_take(lock), LOCK_TAKEN);
    lock_give(lock);
}

static void a_killed_holder_leaves_an_inheritance_once(void **state)
{
    pthread_mutex_t *lock = *state;
    int status;
    pid_t holder = stopped_holder(lock);
    kill(holder, SIGKILL);
    assert_int_equal(waitpid(holder, &status, 0), holder);
    assert_int_equal(lock_take(lock), LOCK_INHERITED);
    lock_give(lock);
    assert_int_equal(lock_take(lock), LOCK_TAKEN);
    lock_give(lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_stopped_holder_costs_two_milliseconds, setup, teardown),
        cmocka_unit_test_setup_teardown(a_killed_holder_leaves_an_inheritance_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
