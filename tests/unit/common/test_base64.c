#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base64.h"

static void encodes_to(struct slice bytes, enum base64_form form, const char *text)
{
    struct buf out = {0}, back = {0};
    base64_encode(&out, bytes, form);
    assert_true(slice_is(buf_slice(&out), text));
    assert_true(base64_decode(&back, slice_str(text), form));
    assert_true(slice_eq(buf_slice(&back), bytes));
    buf_deinit(&out);
    buf_deinit(&back);
}

/* RFC 4648, section 10. */
static void the_rfcs_vectors(void **state)
{
    (void)state;
    static const char *const padded[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    static const char *const plain[] = {"", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"};
    for (size_t len = 0; len <= 6; len++) {
        encodes_to(slice_of("foobar", len), BASE64_PADDED, padded[len]);
        encodes_to(slice_of("foobar", len), BASE64_URL, plain[len]);
    }
    encodes_to(SLICE("\xfb\xff\xfe\0"), BASE64_PADDED, "+//+AA==");
    encodes_to(SLICE("\xfb\xff\xfe\0"), BASE64_URL, "-__-AA");
}

static bool reads(const char *text, enum base64_form form)
{
    struct buf out = {0};
    bool ok = base64_decode(&out, slice_str(text), form);
    buf_deinit(&out);
    return ok;
}

static void what_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"Zg", "Zg=", "Z===", "Zm9v=", "Zm 9", "Zm-_", "Zm9v\n", "=Zg="};
    static const char *const bad_url[] = {"Z", "Zg==", "Zm9vY", "+/", "Zm 9", "Zh", "Zm9", "Zm9vYh"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(reads(bad[i], BASE64_PADDED));
    for (size_t i = 0; i < ARRAY_LEN(bad_url); i++)
        assert_false(reads(bad_url[i], BASE64_URL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rfcs_vectors),
        cmocka_unit_test(what_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
