#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/log.h"
#include "shm/events.h"

static struct event found[EVENTS];
static int log_fd;

static int setup(void **state)
{
    *state = mmap(NULL, events_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    log_fd = memfd_create("log", MFD_CLOEXEC);
    log_set_fd(log_fd);
    return *state == MAP_FAILED || log_fd < 0;
}

static int teardown(void **state)
{
    log_set_fd(2);
    close(log_fd);
    return munmap(*state, events_bytes());
}

static void an_event_is_read_as_it_was_told(void **state)
{
    struct ring *events = *state;
    assert_int_equal(events_read(events, found), 0);
    event_note(events, EVENT_MASTER, EVENT_worker_died, 3, 4711, "worker %d died", 3);
    event_note(events, 0, EVENT_reload_done, EVENT_NO_SLOT, 0, "in force");
    assert_int_equal(events_read(events, found), 2);
    assert_int_equal(found[0].number, 2);
    assert_int_equal(found[0].slot, EVENT_NO_SLOT);
    assert_int_equal(found[1].kind, EVENT_worker_died);
    assert_int_equal(found[1].slot, 3);
    assert_int_equal(found[1].pid, 4711);
    assert_true(found[1].at_us > INT64_C(1700000000000000));
    assert_string_equal(found[1].text, "worker 3 died");
}

static void it_is_a_line_of_the_log_too(void **state)
{
    char log[1024] = "";
    event_note(*state, EVENT_MASTER, EVENT_worker_died, 3, 4711, "worker 3 died");
    assert_true(pread(log_fd, log, sizeof log - 1, 0) > 0);
    assert_non_null(strstr(log, " error "));
    assert_non_null(strstr(log, ": worker 3 died\n"));
}

static void the_last_ones_stay_and_a_long_text_is_cut(void **state)
{
    struct ring *events = *state;
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_set_level(LOG_CRIT);
    for (int i = 0; i < EVENTS + 5; i++)
        event_note(events, i % BOARD_ROWS, EVENT_started, i, 0, "%s", text);
    log_set_level(LOG_INFO);
    assert_int_equal(events_read(events, found), EVENTS);
    for (int i = 0; i < EVENTS; i++)
        assert_int_equal(found[i].slot, EVENTS + 4 - i);
    assert_int_equal(strlen(found[0].text), EVENT_TEXT_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_event_is_read_as_it_was_told, setup, teardown),
        cmocka_unit_test_setup_teardown(it_is_a_line_of_the_log_too, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_ones_stay_and_a_long_text_is_cut, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
