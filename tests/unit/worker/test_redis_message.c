#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "worker/redis_message.h"

static const uint64_t sender = UINT64_C(0xfedcba9876543210);

static struct redis_message read_back(const char *text)
{
    struct redis_message message;
    assert_true(redis_message_read(slice_str(text), &message));
    return message;
}

static bool is_read(const char *text)
{
    struct redis_message message;
    return redis_message_read(slice_str(text), &message);
}

static void what_is_said_is_understood(void **state)
{
    (void)state;
    static const uint32_t slots[] = {0, 17, 1048575};
    struct buf text = {0};
    uint32_t slot;
    redis_message_drop(&text, sender, slots, 3);
    assert_string_equal(text.at, "1 fedcba9876543210 drop 0 17 1048575");
    struct redis_message message = read_back(text.at);
    assert_int_equal(message.kind, MESSAGE_DROP);
    assert_true(message.sender == sender);
    for (int i = 0; i < 3; i++)
        assert_true(redis_message_next(&message.slots, &slot) && slot == slots[i]);
    assert_false(redis_message_next(&message.slots, &slot));
    text.len = 0;
    redis_message_beat(&text, sender, 42);
    message = read_back(text.at);
    assert_true(message.kind == MESSAGE_BEAT && message.number == 42 && message.sender == sender);
    text.len = 0;
    redis_message_all(&text, sender);
    assert_int_equal(read_back(text.at).kind, MESSAGE_ALL);
    buf_deinit(&text);
}

static void what_a_perfd_cannot_read_of_another_drops_everything(void **state)
{
    (void)state;
    static const char *const texts[] = {"2 whatever comes later",
                                        "1 fedcba9876543210 drop",
                                        "1 fedcba9876543210 drop 1 x",
                                        "1 fedcba9876543210 drop 1  2",
                                        "1 fedcba9876543210 drop 4294967296",
                                        "1 fedcba9876543210 beat",
                                        "1 fedcba9876543210 sing"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_int_equal(read_back(texts[i]).kind, MESSAGE_ALL);
    assert_int_equal(read_back(texts[0]).sender, 0);
}

static void what_no_perfd_says_is_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        " ",
                                        "hello",
                                        "1",
                                        "1 ",
                                        "1 fedcba987654321 all",
                                        "1 0000000000000000 all",
                                        "1 FEDCBA9876543210 all",
                                        "-1 fedcba9876543210 all",
                                        "1.0 x"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (is_read(texts[i]))
            fail_msg("\"%s\" is read", texts[i]);
}

static void any_bytes_are_read_within_their_bounds(void **state)
{
    (void)state;
    static const char alphabet[] = "1 0123456789abcdef dropbeatall  \0\xff";
    srandom(1);
    for (int round = 0; round < 100000; round++) {
        size_t len = (size_t)random() % 48;
        char *text = malloc(len + 1); /* of its size, for AddressSanitizer */
        struct redis_message message;
        uint32_t slot;
        size_t slots = 0;
        assert_non_null(text);
        for (size_t i = 0; i < len; i++)
            text[i] = alphabet[(size_t)random() % (sizeof alphabet - 1)];
        if (round % 2 && len > 24)
            memcpy(text, "1 fedcba9876543210 drop ", 24);
        if (redis_message_read(slice_of(text, len), &message))
            while (redis_message_next(&message.slots, &slot))
                slots++;
        assert_true(slots <= len);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_said_is_understood),
        cmocka_unit_test(what_a_perfd_cannot_read_of_another_drops_everything),
        cmocka_unit_test(what_no_perfd_says_is_nothing),
        cmocka_unit_test(any_bytes_are_read_within_their_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
