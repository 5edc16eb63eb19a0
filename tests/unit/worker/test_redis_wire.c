#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <malloc.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/redis_wire.h"

enum { WORD = 10000, WORDS = 3000, AHEAD = 30, MEMORY_MOST = 4 << 20 };
#define FRAME_HEAD "*1\r\n$10000\r\n"

static struct event_base *base;
static struct redis_wire *wire;
static int far_end;
static size_t received;

static int set_up(void **state)
{
    static const struct redis_wire_events events;
    int fds[2];
    (void)state;
    base = event_base_new();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0)
        return -1;
    far_end = fds[1];
    wire = redis_wire_create(base, fds[0], 1024, &events, NULL);
    received = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    redis_wire_destroy(&wire);
    close(far_end);
    event_base_free(base);
    return 0;
}

static char expected_at(size_t position)
{
    enum { HEAD = sizeof FRAME_HEAD - 1, FRAME = HEAD + WORD + 2 };
    size_t at = position % FRAME;
    return at < HEAD          ? FRAME_HEAD[at]
           : at < HEAD + WORD ? (char)('a' + position / FRAME % 26)
                              : "\r\n"[at - HEAD - WORD];
}

static void receive(size_t most)
{
    static char bytes[WORD * 2];
    ssize_t count = recv(far_end, bytes, MIN(most, sizeof bytes), 0);
    for (ssize_t i = 0; i < count; i++, received++)
        assert_int_equal(bytes[i], expected_at(received));
}

static void say(int number)
{
    static char word[WORD];
    memset(word, 'a' + number % 26, sizeof word);
    redis_wire_send(wire, 1, (const char *[]){word}, (const size_t[]){sizeof word});
}

static size_t memory(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* A server that takes as much as there is to send, but is always a little behind. */
static void what_was_sent_takes_no_memory(void **state)
{
    (void)state;
    size_t before = memory();
    int said = 0;
    while (said < WORDS) {
        say(said++);
        event_base_loop(base, EVLOOP_NONBLOCK);
        if (said > AHEAD)
            receive(sizeof FRAME_HEAD - 1 + WORD + 2);
        assert_true(said < AHEAD || redis_wire_unsent_bytes(wire) > 0);
    }
    assert_true(memory() < before + MEMORY_MOST);
    while (redis_wire_unsent_bytes(wire) > 0) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        receive(WORD);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_sent_takes_no_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
