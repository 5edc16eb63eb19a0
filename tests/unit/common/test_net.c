#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/digits.h"
#include "common/net.h"

static bool has(const char *net_text, const char *address)
{
    struct net net;
    assert_true(net_parse(net_text, &net));
    return net_has(&net, 1, address);
}

static void an_address_is_in_its_network(void **state)
{
    (void)state;
    assert_true(has("10.0.0.0/8", "10.255.0.1") && !has("10.0.0.0/8", "11.0.0.1"));
    assert_true(has("192.168.4.0/22", "192.168.7.255") && !has("192.168.4.0/22", "192.168.8.0"));
    assert_true(has("127.0.0.1", "127.0.0.1") && !has("127.0.0.1", "127.0.0.2"));
    assert_true(has("2001:db8::/33", "2001:db8:7fff::1") && !has("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(has("0.0.0.0/0", "1.2.3.4") && !has("0.0.0.0/0", "::1") && has("::/0", "1.2.3.4"));
    assert_true(has("10.0.0.0/8", "::ffff:10.1.1.1"));
    assert_false(has("0.0.0.0/0", "") || has("0.0.0.0/0", "1.2.3") || net_has(NULL, 0, "1.2.3.4"));
}

static void assert_one_consumer(const char *a, const char *b, bool one)
{
    uint8_t left[NET_ADDRESS_BYTES], right[NET_ADDRESS_BYTES];
    assert_true(net_consumer(a, left) && net_consumer(b, right));
    assert_int_equal(memcmp(left, right, sizeof left) == 0, one);
}

static void a_consumer_is_a_v4_address_or_64_bits_of_v6(void **state)
{
    (void)state;
    uint8_t out[NET_ADDRESS_BYTES];
    assert_one_consumer("10.0.0.1", "10.0.0.1", true);
    assert_one_consumer("10.0.0.1", "10.0.0.2", false);
    assert_one_consumer("10.0.0.1", "::ffff:10.0.0.1", true);
    assert_one_consumer("::ffff:10.0.0.1", "::ffff:10.0.0.2", false);
    assert_one_consumer("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true);
    assert_one_consumer("2001:db8:1:2::1", "2001:db8:1:3::1", false);
    assert_false(net_consumer("", out) || net_consumer("unix:", out) || net_consumer("10.0.0", out));
}

static void what_is_no_network_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",           "10",          "10.0.0.0/",   "10.0.0.0/33",
                                      "10.0.0.1/8", "10.0.0.0/+8", "10.0.0.0/8x", "::/129",
                                      "::1/64",     "localhost",   "10.0.0.0/-1", "/8"};
    struct net net;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(net_parse(bad[i], &net));
}

static void numbers_become_digits(void **state)
{
    (void)state;
    char text[DIGITS_BYTES], hex[HEX16_BYTES];
    assert_true(slice_is(digits_of(0, text), "0") && slice_is(digits_of(1200, text), "1200"));
    assert_true(slice_is(digits_of(UINT64_MAX, text), "18446744073709551615"));
    assert_true(slice_is(digits_hex(UINT64_C(0x0123456789abcdef), hex), "0123456789abcdef"));
    assert_true(slice_is(digits_hex(UINT64_C(0xfedcba9876543210), hex), "fedcba9876543210"));
    assert_true(slice_is(digits_hex(0, hex), "0000000000000000"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_in_its_network),
        cmocka_unit_test(a_consumer_is_a_v4_address_or_64_bits_of_v6),
        cmocka_unit_test(what_is_no_network_is_refused),
        cmocka_unit_test(numbers_become_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
