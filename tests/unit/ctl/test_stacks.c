#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "master/ctl/flame/stacks.h"

/* As perf 6.1 prints them. */
static const char text[] = "perfd \n"
                           "\tffffffff8120a1b0 do_epoll_wait ([kernel.kallsyms])\n"
                           "\tffffffffc0001000 nf_hook ([nf_tables])\n"
                           "\t          10e0d6 epoll_wait (/usr/lib/x86_64-linux-gnu/libc.so.6)\n"
                           "\t           21a3f event_base_loop (/usr/lib/x86_64-linux-gnu/libevent-2.1.so.7.0.1)\n"
                           "\t            9c1e main (/usr/sbin/perfd)\n"
                           "\n"
                           "perfd \n"
                           "\t          15593d [unknown] (/usr/lib/x86_64-linux-gnu/libpq.so.5.15)\n"
                           "\t    7ffdccfb6750 [unknown] ([unknown])\n"
                           "\t            9c1e main (/usr/sbin/perfd (deleted))\n"
                           "\n"
                           "perfd \n"
                           "\t            9d00 walk (/usr/sbin/perfd)\n"
                           "\t            9d00 walk (/usr/sbin/perfd)\n"
                           "\t            9c1e main (/usr/sbin/perfd)\n"
                           "\n"
                           "perfd \n"
                           "\t            9d00 operator()(int, char) const (.part;0) (/usr/lib/libx.so)\n"
                           "\t            9c1e main (/usr/sbin/perfd)\n"
                           "\n"
                           "perfd \n"
                           "\t            9c1e main (/usr/sbin/perfd)\n"
                           "\n"
                           "perfd \n"
                           "\t    7ffdccfb6750 [unknown] ([unknown])\n"
                           "\n"
                           "perfd \n"
                           "\t            9c1e main (/usr/sbin/perfd)\n"; /* the last one may lack its empty line */

static struct stacks *read_text(const char *from)
{
    struct err err;
    struct stacks *stacks = stacks_create();
    FILE *file = fmemopen((void *)(uintptr_t)from, strlen(from), "r");
    assert_true(stacks_read(stacks, file, &err));
    fclose(file);
    stacks_count(stacks);
    return stacks;
}

static void stacks_are_folded(void **state)
{
    (void)state;
    char *folded;
    size_t len;
    struct stacks *stacks = read_text(text);
    FILE *out = open_memstream(&folded, &len);
    stacks_print_folded(stacks, out);
    fclose(out);
    assert_string_equal(folded, "main 2\n"
                                "main;[libpq.so.5.15] 1\n"
                                "main;event_base_loop;epoll_wait;nf_hook;do_epoll_wait 1\n"
                                "main;operator()(int, char) const (.part:0) 1\n"
                                "main;walk;walk 1\n");
    free(folded);
    assert_int_equal(stacks->root.samples, 7);
    assert_int_equal(stacks->root.own, 1); /* of which no function is known */
    assert_int_equal(stacks->depth, 5);
    stacks_destroy(&stacks);
}

static const struct function *find(const struct stacks *stacks, struct function *const *functions, const char *name)
{
    for (int i = 0; i < stacks->function_count; i++)
        if (strcmp(functions[i]->name, name) == 0)
            return functions[i];
    fail_msg("no function %s", name);
    return NULL;
}

static void a_function_counts_once_a_sample(void **state)
{
    (void)state;
    struct stacks *stacks = read_text(text);
    struct function **functions = stacks_busiest(stacks);
    assert_string_equal(functions[0]->name, "main");
    assert_int_equal(functions[0]->own, 2);
    assert_int_equal(functions[0]->total, 6);
    assert_int_equal(find(stacks, functions, "walk")->own, 1);
    assert_int_equal(find(stacks, functions, "walk")->total, 1);
    free(functions);
    stacks_destroy(&stacks);
}

static void libraries_are_told_apart(void **state)
{
    (void)state;
    struct stacks *stacks = read_text(text);
    int64_t own[4] = {0};
    for (const struct library *l = stacks->libraries; l != NULL; l = l->next)
        own[l->kind] += l->own;
    assert_int_equal(own[LIBRARY_PERFD], 3);
    assert_int_equal(own[LIBRARY_KERNEL], 1); /* a module is the kernel, too */
    assert_int_equal(own[LIBRARY_SHARED], 2);
    assert_int_equal(own[LIBRARY_UNKNOWN], 0);
    stacks_destroy(&stacks);
}

static void what_is_no_stack_is_no_sample(void **state)
{
    (void)state;
    static const char *const texts[] = {"\n\n", "\t 12 main (/usr/sbin/perfd)\n", "\t\n\n \n"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct stacks *stacks = read_text(texts[i]);
        assert_int_equal(stacks->root.samples, 0);
        stacks_destroy(&stacks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stacks_are_folded),
        cmocka_unit_test(a_function_counts_once_a_sample),
        cmocka_unit_test(libraries_are_told_apart),
        cmocka_unit_test(what_is_no_stack_is_no_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
