#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/memory.h"

static char root[64];

static void put(const char *name, const char *text)
{
    char path[512], command[600];
    snprintf(path, sizeof path, "%s%s", root, name);
    snprintf(command, sizeof command, "mkdir -p \"$(dirname %s)\"", path);
    assert_int_equal(system(command), 0);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int setup(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/perfd-memory.XXXXXX");
    if (mkdtemp(root) == NULL)
        return 1;
    put("/proc/meminfo", "MemTotal: 8000 kB\nMemAvailable:    4096 kB\n");
    put("/proc/self/cgroup", "0::/a/b\n");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}

static int64_t available(void)
{
    struct memory_limit limit;
    assert_true(memory_available(root, &limit));
    return limit.bytes;
}

static void without_groups_it_is_what_the_machine_has(void **state)
{
    (void)state;
    put("/sys/fs/cgroup/a/b/memory.max", "max\n");
    put("/sys/fs/cgroup/a/b/memory.current", "1000\n");
    assert_int_equal(available(), 4096 * 1024);
}

static void the_tightest_group_above_counts(void **state)
{
    (void)state;
    struct memory_limit limit;
    put("/sys/fs/cgroup/a/b/memory.max", "3000000\n");
    put("/sys/fs/cgroup/a/b/memory.current", "1000000\n");
    put("/sys/fs/cgroup/a/memory.max", "2500000\n");
    put("/sys/fs/cgroup/a/memory.current", "1000000\n");
    assert_true(memory_available(root, &limit));
    assert_int_equal(limit.bytes, 1500000);
    assert_string_equal(limit.source, "/sys/fs/cgroup/a/memory.max");
}

static void cached_files_are_no_use(void **state)
{
    (void)state;
    put("/sys/fs/cgroup/a/b/memory.max", "3000000\n");
    put("/sys/fs/cgroup/a/b/memory.current", "2900000\n");
    put("/sys/fs/cgroup/a/b/memory.stat", "anon 900000\nfile 2000000\ninactive_file 1500000\n");
    assert_int_equal(available(), 1600000);
}

static void the_old_groups_are_read_too(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "7:cpu:/x\n4:memory:/x\n");
    put("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/x/memory.usage_in_bytes", "5\n");
    assert_int_equal(available(), 4096 * 1024);
    put("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "2000000\n");
    assert_int_equal(available(), 1999995);
}

static void over_the_limit_is_nothing(void **state)
{
    (void)state;
    put("/sys/fs/cgroup/a/b/memory.max", "5\n");
    put("/sys/fs/cgroup/a/b/memory.current", "9\n");
    assert_int_equal(available(), 0);
}

static int64_t total(void)
{
    struct memory_limit limit;
    assert_true(memory_total(root, &limit));
    return limit.bytes;
}

static void the_smallest_limit_counts_whoever_has_it(void **state)
{
    (void)state;
    assert_int_equal(total(), 8000 * 1024);
    put("/sys/fs/cgroup/a/b/memory.max", "max\n");
    put("/sys/fs/cgroup/a/b/memory.high", "7000000\n");
    put("/sys/fs/cgroup/a/b/memory.current", "1\n");
    assert_int_equal(total(), 7000000);
    put("/sys/fs/cgroup/a/memory.max", "6000000\n");
    put("/sys/fs/cgroup/a/memory.current", "1\n");
    assert_int_equal(total(), 6000000);
}

static struct memory_use use(void)
{
    struct memory_use u;
    assert_true(memory_use(root, &u));
    return u;
}

static void it_is_used_where_it_is_tightest(void **state)
{
    (void)state;
    put("/sys/fs/cgroup/a/b/memory.max", "4000000\n");
    put("/sys/fs/cgroup/a/b/memory.current", "1000000\n");
    put("/sys/fs/cgroup/a/b/memory.stat", "inactive_file 900000\n");
    assert_int_equal(use().limit.bytes, 8000 * 1024);
    assert_int_equal(use().used_bytes, (8000 - 4096) * 1024);
    assert_string_equal(use().limit.source, "MemTotal");
    put("/sys/fs/cgroup/a/memory.high", "2000000\n");
    put("/sys/fs/cgroup/a/memory.current", "1900000\n");
    assert_int_equal(use().limit.bytes, 2000000);
    assert_int_equal(use().used_bytes, 1900000);
    assert_string_equal(use().limit.source, "/sys/fs/cgroup/a/memory.high");
}

static void stalls_are_the_worse_of_the_machines_and_the_groups(void **state)
{
    (void)state;
    assert_true(use().some_percent == 0 && use().full_percent == 0);
    put("/proc/pressure/memory", "some avg10=12.50 avg60=90.00 avg300=0.00 total=5\n"
                                 "full avg10=1.25 avg60=80.00 avg300=0.00 total=5\n");
    assert_true(use().some_percent == 12.5 && use().full_percent == 1.25);
    put("/sys/fs/cgroup/a/b/memory.pressure", "some avg10=8.00 avg60=0.00\nfull avg10=7.00 avg60=0.00\n");
    assert_true(use().some_percent == 12.5 && use().full_percent == 7);
}

/* One process alone has touched the shared part, which is when other figures count it as its own. */
static void what_is_shared_is_nobodys_own(void **state)
{
    (void)state;
    enum { SHARED = 8 << 20, OWN = 4 << 20 };
    int64_t before, after;
    assert_true(memory_private_bytes(getpid(), &before));
    char *shared = mmap(NULL, SHARED, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *own = mmap(NULL, OWN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED && own != MAP_FAILED);
    memset(shared, 1, SHARED);
    memset(own, 1, OWN);
    assert_true(memory_private_bytes(getpid(), &after));
    assert_in_range(after - before, OWN - (OWN >> 3), OWN + (OWN >> 3));
    munmap(shared, SHARED);
    munmap(own, OWN);
    assert_false(memory_private_bytes(0, &after));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_groups_it_is_what_the_machine_has, setup, teardown),
        cmocka_unit_test_setup_teardown(the_tightest_group_above_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(cached_files_are_no_use, setup, teardown),
        cmocka_unit_test_setup_teardown(the_old_groups_are_read_too, setup, teardown),
        cmocka_unit_test_setup_teardown(over_the_limit_is_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(the_smallest_limit_counts_whoever_has_it, setup, teardown),
        cmocka_unit_test_setup_teardown(it_is_used_where_it_is_tightest, setup, teardown),
        cmocka_unit_test_setup_teardown(stalls_are_the_worse_of_the_machines_and_the_groups, setup, teardown),
        cmocka_unit_test(what_is_shared_is_nobodys_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
