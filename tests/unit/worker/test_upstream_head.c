#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "worker/upstream_head.h"

static struct upstream_head head;

static int setup(void **state)
{
    (void)state;
    upstream_head_reset(&head);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    upstream_head_deinit(&head);
    return 0;
}

static void add(const char *line)
{
    assert_true(upstream_head_add(&head, slice_str(line)));
}

static void has(int i, const char *name, const char *value)
{
    const struct http_header *field = &upstream_head_fields(&head)[i];
    assert_string_equal(field->name.at, name); /* with its NUL */
    assert_string_equal(field->value.at, value);
    assert_int_equal(field->value.len, strlen(value));
}

static void fields_are_taken_without_the_white_space_around_them(void **state)
{
    (void)state;
    add("HTTP/1.1 201 Made\r\n");
    add("X-One:  a b\t\r\n");
    add("x-two:\r\n");
    add("\r\n");
    assert_int_equal(head.status, 201);
    assert_int_equal(head.count, 2);
    has(0, "X-One", "a b");
    has(1, "x-two", "");
}

static void the_last_head_counts_and_trailers_do_not(void **state)
{
    (void)state;
    add("HTTP/1.1 100 Continue\r\n");
    add("X-Early: yes\r\n");
    add("\r\n");
    assert_int_equal(head.status, 0);
    add("HTTP/1.1 103 Early Hints\r\n");
    add("Link: a\r\n");
    add("\r\n");
    add("HTTP/1.1 200 OK\r\n");
    add("X-One: 1\r\n");
    add("\r\n");
    add("X-Trailer: 2\r\n");
    add("HTTP/1.1 500 No\r\n");
    assert_int_equal(head.status, 200);
    assert_int_equal(head.count, 1);
    has(0, "X-One", "1");
}

/* What a head of ours must not get from others. */
static void what_is_no_clean_field_is_left_out(void **state)
{
    (void)state;
    add("HTTP/1.1 200 OK\r\n");
    assert_true(upstream_head_add(&head, SLICE("X-Nul: a\0b\r\n")));
    add("X-Return: a\rSet-Cookie: b\r\n");
    add("X-Bell: \a\r\n");
    add("X Space: a\r\n");
    add(": nameless\r\n");
    add("no colon\r\n");
    add(" folded: a\r\n");
    add("X-Good: \xc3\xa4\r\n");
    assert_int_equal(head.count, 1);
    has(0, "X-Good", "\xc3\xa4");
}

static void too_much_of_it_is_refused(void **state)
{
    (void)state;
    char line[5000];
    add("HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < UPSTREAM_FIELDS_MAX; i++)
        add("A: b\r\n");
    assert_false(upstream_head_add(&head, SLICE("A: b\r\n")));
    upstream_head_reset(&head);
    memset(line, 'x', sizeof line - 1);
    memcpy(line, "A: ", 3);
    line[sizeof line - 1] = '\0';
    int added = 0;
    while (upstream_head_add(&head, slice_str(line)))
        added++;
    assert_in_range(added, 10, 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fields_are_taken_without_the_white_space_around_them, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_head_counts_and_trailers_do_not, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_clean_field_is_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(too_much_of_it_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
