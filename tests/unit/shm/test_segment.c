#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/control.h"
#include "shm/segment.h"

enum { PAGE = 4096, COUNT = 3 };

/* What the first page says, as another process would read it. */
struct page {
    uint64_t magic, abi, bytes, count;
    struct {
        char name[16];
        uint64_t offset, bytes;
    } sections[];
};

static struct segment_section sections[COUNT];
static struct page *segment;
static int segment_fd;

static int set_up(void **state)
{
    const struct segment_section wanted[COUNT] = {
        {"rows", 100 * 24, 24, NULL}, {"words", 2 * PAGE, 8, NULL}, {"text", 1, 1, NULL}};
    struct err err;
    (void)state;
    memcpy(sections, wanted, sizeof sections);
    segment = segment_create("perfd-test", sections, COUNT, &segment_fd, &err);
    return segment == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    segment_destroy(segment);
    return close(segment_fd);
}

/* ---- what is in it ---- */

static void sections_lie_side_by_side_in_whole_pages_of_zeros(void **state)
{
    (void)state;
    const char *next = (const char *)segment + PAGE;
    for (int i = 0; i < COUNT; i++) {
        const char *at = sections[i].at;
        assert_int_equal((uintptr_t)at % PAGE, 0);
        assert_true(at >= next);
        for (size_t k = 0; k < sections[i].bytes; k++)
            assert_int_equal(at[k], 0);
        next = at + sections[i].bytes;
    }
    assert_true(next <= (const char *)segment + segment_bytes(sections, COUNT));
    assert_int_equal(segment_bytes(sections, COUNT), 5 * PAGE);
}

static void the_first_page_tells_what_is_where(void **state)
{
    (void)state;
    assert_int_not_equal(segment->magic, 0);
    assert_int_not_equal(segment->abi, 0);
    assert_int_equal(segment->bytes, segment_bytes(sections, COUNT));
    assert_int_equal(segment->count, COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_string_equal(segment->sections[i].name, sections[i].name);
        assert_ptr_equal((char *)segment + segment->sections[i].offset, sections[i].at);
        assert_int_equal(segment->sections[i].bytes, sections[i].bytes);
    }
}

static void what_a_child_writes_its_parent_reads(void **state)
{
    (void)state;
    char *words = sections[1].at;
    int status;
    pid_t child = fork();
    if (child == 0) {
        words[0] = 'x';
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(words[0], 'x');
}

/* The lines of smaps from the mapping's name to its flags. */
static bool is_mapped(const char *name, const char *flag)
{
    char line[512];
    bool inside = false, has = false;
    FILE *smaps = fopen("/proc/self/smaps", "re");
    assert_non_null(smaps);
    while (!has && fgets(line, sizeof line, smaps) != NULL) {
        inside = inside || strstr(line, name) != NULL;
        if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            has = strstr(line, flag) != NULL;
            break;
        }
    }
    fclose(smaps);
    return has;
}

static void its_name_is_seen_and_no_core_dump_has_it(void **state)
{
    (void)state;
    assert_true(is_mapped("memfd:perfd-test", " dd"));
    assert_false(is_mapped("memfd:perfd-nothing", " "));
}

/* ---- whether it fits ---- */

static void a_segment_fits_what_it_was_made_for(void **state)
{
    (void)state;
    assert_true(segment_fits(segment, sections, COUNT));
}

static void another_magic_abi_size_or_count_does_not_fit(void **state)
{
    (void)state;
    uint64_t *const fields[] = {&segment->magic, &segment->abi, &segment->bytes, &segment->count};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        *fields[i] += 1;
        assert_false(segment_fits(segment, sections, COUNT));
        *fields[i] -= 1;
        assert_true(segment_fits(segment, sections, COUNT));
    }
}

static void another_layout_does_not_fit(void **state)
{
    (void)state;
    struct segment_section larger[COUNT], wider[COUNT], renamed[COUNT], swapped[COUNT];
    memcpy(larger, sections, sizeof larger);
    memcpy(wider, sections, sizeof wider);
    memcpy(renamed, sections, sizeof renamed);
    memcpy(swapped, sections, sizeof swapped);
    larger[0].bytes += 24; /* in the same number of pages */
    wider[1].item_bytes = 16;
    renamed[2].name = "texts";
    swapped[0] = sections[1];
    swapped[1] = sections[0];
    assert_false(segment_fits(segment, larger, COUNT));
    assert_false(segment_fits(segment, wider, COUNT));
    assert_false(segment_fits(segment, renamed, COUNT));
    assert_false(segment_fits(segment, swapped, COUNT));
    assert_false(segment_fits(segment, sections, COUNT - 1));
}

static void who_attaches_it_sees_the_same_memory(void **state)
{
    (void)state;
    struct segment_section again[COUNT];
    struct err err;
    memcpy(again, sections, sizeof again);
    void *view = segment_attach(segment_fd, again, COUNT, &err);
    assert_non_null(view);
    for (int i = 0; i < COUNT; i++) {
        ((char *)sections[i].at)[0] = (char)('a' + i);
        assert_ptr_not_equal(again[i].at, sections[i].at);
        assert_int_equal(((char *)again[i].at)[0], 'a' + i);
    }
    segment_destroy(view);
}

static void another_layout_is_not_attached(void **state)
{
    (void)state;
    struct segment_section other[COUNT];
    struct err err = {""};
    memcpy(other, sections, sizeof other);
    other[1].item_bytes = 16;
    assert_null(segment_attach(segment_fd, other, COUNT, &err));
    assert_string_equal(err.text, "its layout is another");
    other[1].bytes += PAGE;
    assert_null(segment_attach(segment_fd, other, COUNT, &err));
    assert_string_equal(err.text, "its size is another");
}

/* ---- making it ---- */

static void what_cannot_be_made_is_named(void **state)
{
    (void)state;
    struct segment_section large = {"large", 8 << 20, 1, NULL};
    struct rlimit before, small = {1 << 20, 0};
    struct err err = {""};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    void *made = segment_create("perfd-large", &large, 1, NULL, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_null(made);
    assert_non_null(strstr(err.text, "perfd-large"));
    assert_non_null(strstr(err.text, "8392704 bytes"));
}

static void a_control_segment_has_its_parts_and_goes_once(void **state)
{
    (void)state;
    struct control control;
    struct err err;
    assert_true(control_create(&control, &err));
    assert_true(control.tags != NULL && control.board != NULL && control.flights != NULL);
    assert_int_equal(tags_now(control.tags), 0);
    assert_int_equal(board_state(control.board, BOARD_ROWS - 1), PROC_FREE);
    control_destroy(&control);
    assert_null(control.tags);
    control_destroy(&control);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sections_lie_side_by_side_in_whole_pages_of_zeros, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_first_page_tells_what_is_where, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_child_writes_its_parent_reads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(its_name_is_seen_and_no_core_dump_has_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_segment_fits_what_it_was_made_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_magic_abi_size_or_count_does_not_fit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_layout_does_not_fit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_attaches_it_sees_the_same_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_layout_is_not_attached, set_up, tear_down),
        cmocka_unit_test(what_cannot_be_made_is_named),
        cmocka_unit_test(a_control_segment_has_its_parts_and_goes_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
