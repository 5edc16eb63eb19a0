#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/symbol.h"

__attribute__((noinline)) static int nobody_else_knows(int n)
{
    __asm__ volatile("" : "+r"(n));
    return n + 1;
}

static char no_code[64];

/* Of what stands so many bytes behind at. */
static struct symbol at(const void *what, size_t offset)
{
    return symbol_at((uint64_t)(uintptr_t)what + offset);
}

static bool begins(struct symbol symbol, const char *text)
{
    return strncmp(symbol.s, text, strlen(text)) == 0;
}

static uint64_t offset_of(struct symbol symbol)
{
    return strtoull(strrchr(symbol.s, '+') + 1, NULL, 16);
}

static void a_function_of_ours_has_its_name(void **unused)
{
    (void)unused;
    assert_true(begins(at((const void *)symbol_at, 0), "symbol_at perfd+0x"));
    assert_int_equal(nobody_else_knows(1), 2);
    assert_true(begins(at((const void *)nobody_else_knows, 0), "nobody_else_knows perfd+0x"));
}

static void all_of_it_has(void **unused)
{
    (void)unused;
    assert_true(begins(at((const void *)symbol_at, 20), "symbol_at perfd+0x"));
    assert_false(begins(at((const void *)symbol_at, SIZE_MAX), "symbol_at ")); /* the byte in front of it */
}

static void the_offset_is_that_of_the_place(void **unused)
{
    (void)unused;
    uint64_t base = (uint64_t)(uintptr_t)symbol_at - offset_of(at((const void *)symbol_at, 0));
    assert_int_equal(base % 4096, 0);
    assert_int_equal(offset_of(at((const void *)nobody_else_knows, 3)),
                     (uint64_t)(uintptr_t)nobody_else_knows + 3 - base);
}

static void a_librarys_is_named_with_its_file(void **unused)
{
    (void)unused;
    char name[80] = "", file[40] = "";
    unsigned long long offset = 0;
    assert_int_equal(sscanf(at((const void *)drand48, 0).s, "%79s %39[^+]+%llx", name, file, &offset), 3);
    assert_string_equal(name, "drand48");
    assert_true(strncmp(file, "libc", 4) == 0);
}

static void what_is_no_function_has_no_name(void **unused)
{
    (void)unused;
    assert_true(begins(at(no_code, 0), "perfd+0x"));
    assert_string_equal(symbol_at(16).s, "0x10");
    assert_string_equal(symbol_at(0).s, "0");
    assert_string_equal(symbol_at(UINT64_MAX).s, "0xffffffffffffffff");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_function_of_ours_has_its_name), cmocka_unit_test(all_of_it_has),
        cmocka_unit_test(the_offset_is_that_of_the_place), cmocka_unit_test(a_librarys_is_named_with_its_file),
        cmocka_unit_test(what_is_no_function_has_no_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
