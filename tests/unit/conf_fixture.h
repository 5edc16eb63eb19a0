/* perfd.conf out of a test's text: cmocka_unit_test_setup_teardown(test, setup, teardown). Behind <cmocka.h>. */
#ifndef TESTS_UNIT_CONF_FIXTURE_H
#define TESTS_UNIT_CONF_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/conf.h"

/* The tests run in the repository's root, as make does. */
static char path[64];

static int setup(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "./.test_conf.%d", (int)getpid());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static void write_file(const char *text, size_t len)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, len, out), len);
    assert_int_equal(fclose(out), 0);
}

static inline struct conf *load(const char *text)
{
    struct err err;
    write_file(text, strlen(text));
    struct conf *conf = conf_load(path, &err);
    if (conf == NULL)
        fail_msg("%s\n%s", err.text, text);
    return conf;
}

static inline void is_refused(const char *text, const char *at, const char *words)
{
    struct err err;
    char where[96];
    write_file(text, strlen(text));
    struct conf *conf = conf_load(path, &err);
    if (conf != NULL)
        fail_msg("accepted: %s", text);
    snprintf(where, sizeof where, "%s:%s: ", path, at);
    if (strncmp(err.text, where, strlen(where)) != 0 || strstr(err.text, words) == NULL)
        fail_msg("%s\nis not %s... %s", err.text, where, words);
}

static inline char *print(const struct conf *conf)
{
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    conf_print(conf, out);
    fclose(out);
    return text;
}

#endif
