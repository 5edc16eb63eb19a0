#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/log.h"
#include "master/memory_system.h"
#include "shm/cache.h"

enum { MB = 1 << 20, CACHE_BYTES = 32 * MB, LONG = 1000, STEPS = 16, WAIT = 30 };

static char folder[64], run_dir[96], meminfo[128];
static struct conf conf;
static struct shared shared;
static struct memory_system memory;

static int setup(void **unused)
{
    (void)unused;
    struct err err;
    char proc[96];
    snprintf(folder, sizeof folder, "/tmp/perfd-memory.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(run_dir, sizeof run_dir, "%s/run", folder);
    snprintf(proc, sizeof proc, "%s/proc", folder);
    snprintf(meminfo, sizeof meminfo, "%s/meminfo", proc);
    conf = (struct conf){.run_dir = run_dir, .workers = 2, .memory = {.alert_percent = 85, .shed_percent = 90}};
    conf.cache.size_bytes = CACHE_BYTES;
    conf.cache.entries = 1000;
    log_set_level(LOG_CRIT);
    if (!shared_create(&shared, &conf, &err))
        return 1;
    memory_system_init(&memory, &shared);
    return mkdir(proc, 0700) != 0 || setenv("PERFD_SYSTEM_ROOT", folder, 1) != 0;
}

static int teardown(void **unused)
{
    (void)unused;
    char command[100];
    shared_destroy(&shared);
    unsetenv("PERFD_SYSTEM_ROOT");
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* The machine has 100 MB, and so many of them are in use. */
static void use(int used_mb)
{
    FILE *file = fopen(meminfo, "w");
    assert_non_null(file);
    fprintf(file, "MemTotal: %d kB\nMemAvailable: %d kB\n", 100 * 1024, (100 - used_mb) * 1024);
    fclose(file);
}

static int64_t wanted(void)
{
    struct cache_given given;
    cache_given(shared.cache, &given);
    return given.wanted_bytes;
}

/* So many samples; what the cache is asked for then. */
static int64_t wanted_after(int samples, int used_mb)
{
    use(used_mb);
    for (int i = 0; i < samples; i++)
        memory_system_sample(&memory, &conf, &shared);
    return wanted();
}

static void nothing_is_asked_for_below_shed(void **unused)
{
    (void)unused;
    assert_int_equal(wanted_after(LONG, 89), 0);
    assert_int_equal(pressure_level(shared.pressure), MEMORY_ALERT);
}

static void the_cache_gives_what_leads_back_below(void **unused)
{
    (void)unused;
    assert_in_range(wanted_after(1, 95), 10 * MB, 11 * MB);
    assert_int_equal(pressure_level(shared.pressure), MEMORY_SHRINK);
    int64_t before = wanted();
    assert_int_equal(wanted_after(1, 86), before);
}

static void it_grows_again_only_after_a_while_with_room(void **unused)
{
    (void)unused;
    wanted_after(LONG, 50); /* what was before does not count */
    int64_t before = wanted_after(2, 95);
    assert_int_equal(wanted_after(MEMORY_CALM_SAMPLES + WAIT - 2, 50), before);
    assert_true(wanted_after(4, 50) < before);
    assert_int_equal(wanted_after(STEPS, 50), 0);
}

static void nor_while_there_is_little(void **unused)
{
    (void)unused;
    int64_t before = wanted_after(2, 95);
    assert_int_equal(wanted_after(LONG, 79), before);
    assert_int_equal(pressure_level(shared.pressure), MEMORY_CALM);
}

static void the_next_master_goes_on_where_the_last_one_was(void **unused)
{
    (void)unused;
    wanted_after(LONG, 95);
    assert_int_equal(pressure_level(shared.pressure), MEMORY_SHED);
    memory_system_init(&memory, &shared);
    wanted_after(LONG, 87);
    assert_int_equal(pressure_level(shared.pressure), MEMORY_SHED);
    wanted_after(MEMORY_CALM_SAMPLES, 50);
    assert_int_equal(pressure_level(shared.pressure), MEMORY_CALM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_asked_for_below_shed, setup, teardown),
        cmocka_unit_test_setup_teardown(the_cache_gives_what_leads_back_below, setup, teardown),
        cmocka_unit_test_setup_teardown(it_grows_again_only_after_a_while_with_room, setup, teardown),
        cmocka_unit_test_setup_teardown(nor_while_there_is_little, setup, teardown),
        cmocka_unit_test_setup_teardown(the_next_master_goes_on_where_the_last_one_was, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
