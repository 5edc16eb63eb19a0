#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "worker/log_writer.h"

/* A folder with one path in it that is to be written. */
struct place {
    char folder[64], path[80], moved[90];
    struct log_writer *writer;
    struct log_writer_losses losses; /* the sum, once it is asked for */
};

static int setup(void **state)
{
    struct place *p = xcalloc(1, sizeof *p);
    signal(SIGPIPE, SIG_IGN);
    snprintf(p->folder, sizeof p->folder, "/tmp/test_log_writer.XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->path, sizeof p->path, "%s/log", p->folder);
    snprintf(p->moved, sizeof p->moved, "%s.1", p->path);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    unlink(p->path);
    unlink(p->moved);
    rmdir(p->folder);
    free(p);
    return 0;
}

static void begin(struct place *p)
{
    struct err err = {""};
    p->writer = log_writer_create(p->path, &err);
    assert_string_equal(err.text, "");
    assert_non_null(p->writer);
}

static void end(struct place *p)
{
    struct log_writer_losses last;
    log_writer_destroy(&p->writer, &last);
    assert_null(p->writer);
    p->losses.lines += last.lines;
}

static void put(struct place *p, const char *line, int count)
{
    struct buf lines = {0};
    for (int i = 0; i < count; i++)
        buf_adds(&lines, line);
    log_writer_put(p->writer, &lines, count);
    assert_int_equal(lines.len, 0);
    buf_deinit(&lines);
}

/* Asks until there are so many, or five seconds have passed. */
static void await_losses(struct place *p, uint64_t lines)
{
    for (int64_t until_us = clock_mono_us() + 5 * US_PER_S; clock_mono_us() < until_us; usleep(1000)) {
        struct log_writer_losses some;
        log_writer_losses(p->writer, &some);
        p->losses.lines += some.lines;
        if (some.lines > 0)
            p->losses.why = some.why;
        p->losses.reopen |= some.reopen;
        if (p->losses.lines >= lines && (lines > 0 || p->losses.reopen != 0))
            return;
    }
}

static bool holds(const char *path, const char *text)
{
    char bytes[4096] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, bytes, sizeof bytes - 1) : -1;
    if (fd >= 0)
        close(fd);
    return n >= 0 && strcmp(bytes, text) == 0;
}

static void all_lines_are_there_in_order(void **state)
{
    struct place *p = *state;
    begin(p);
    put(p, "one\n", 2);
    put(p, "two\n", 1);
    end(p);
    begin(p); /* it goes on behind what is there */
    put(p, "three\n", 1);
    end(p);
    assert_true(holds(p->path, "one\none\ntwo\nthree\n"));
    assert_int_equal(p->losses.lines, 0);
}

static void a_file_is_opened_anew_behind_what_was_put(void **state)
{
    struct place *p = *state;
    begin(p);
    put(p, "old\n", 1);
    assert_int_equal(rename(p->path, p->moved), 0);
    log_writer_reopen(p->writer);
    for (int64_t until_us = clock_mono_us() + 5 * US_PER_S; access(p->path, F_OK) != 0 && clock_mono_us() < until_us;)
        usleep(1000);
    put(p, "new\n", 1);
    end(p);
    assert_true(holds(p->moved, "old\n") && holds(p->path, "new\n"));
}

static void one_that_cannot_be_opened_anew_is_written_on(void **state)
{
    struct place *p = *state;
    begin(p);
    assert_int_equal(rename(p->path, p->moved), 0);
    assert_int_equal(mkdir(p->path, 0700), 0);
    log_writer_reopen(p->writer);
    await_losses(p, 0);
    assert_int_equal(p->losses.reopen, EISDIR);
    put(p, "still\n", 1);
    end(p);
    assert_true(holds(p->moved, "still\n"));
    rmdir(p->path);
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
    struct place *p = *state;
    struct err err;
    snprintf(p->path, sizeof p->path, "%s/none/log", p->folder);
    assert_null(log_writer_create(p->path, &err));
    assert_non_null(strstr(err.text, p->path));
}

static void lines_that_nobody_reads_are_lost_and_counted(void **state)
{
    struct place *p = *state;
    assert_int_equal(mkfifo(p->path, 0600), 0);
    begin(p);
    put(p, "unheard\n", 3);
    await_losses(p, 3);
    assert_int_equal(p->losses.lines, 3);
    assert_int_equal(p->losses.why, ENXIO);
    int reader = open(p->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    put(p, "heard\n", 1);
    end(p);
    char bytes[32] = "";
    assert_int_equal(read(reader, bytes, sizeof bytes - 1), 6);
    assert_string_equal(bytes, "heard\n");
    close(reader);
}

/* A reader that stands still: whoever puts goes on, and loses no more than what there is no room for. */
static void a_full_pipe_holds_up_nobody(void **state)
{
    enum { PUTS = 200, LINES = 1000 };
    struct place *p = *state;
    char line[101];
    memset(line, 'x', sizeof line - 1);
    line[99] = '\n';
    line[100] = '\0';
    assert_int_equal(mkfifo(p->path, 0600), 0);
    int reader = open(p->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    begin(p);
    int64_t began_us = clock_mono_us();
    for (int i = 0; i < PUTS; i++)
        put(p, line, LINES); /* 20 MB in all */
    assert_true(clock_mono_us() - began_us < LOG_WRITER_END_MS * US_PER_MS);
    end(p);
    assert_true(clock_mono_us() - began_us < 5 * LOG_WRITER_END_MS * US_PER_MS);
    char bytes[100];
    uint64_t got = 0;
    for (ssize_t n; (n = read(reader, bytes, sizeof bytes)) > 0; got++) {
        assert_int_equal(n, 100);
        assert_memory_equal(bytes, line, 100);
    }
    close(reader);
    assert_true(got > 100);
    assert_int_equal(got + p->losses.lines, PUTS * LINES);
}

static void a_reader_that_leaves_loses_lines_until_another_comes(void **state)
{
    struct place *p = *state;
    assert_int_equal(mkfifo(p->path, 0600), 0);
    int reader = open(p->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    begin(p);
    close(reader);
    put(p, "unheard\n", 1);
    await_losses(p, 1);
    assert_int_equal(p->losses.why, EPIPE);
    reader = open(p->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    put(p, "heard\n", 1);
    end(p);
    char bytes[32] = "";
    assert_int_equal(read(reader, bytes, sizeof bytes - 1), 6);
    close(reader);
}

/* It has no name: no file is made of its. */
static void stderr_that_nobody_reads_stays_stderr(void **state)
{
    struct place *p = *state;
    char before[4096];
    int ends[2], own = dup(STDERR_FILENO);
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(p->folder), 0);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    close(ends[0]);
    snprintf(p->path, sizeof p->path, "stderr");
    begin(p);
    for (uint64_t lost = 1; lost <= 2; lost++) {
        put(p, "unheard\n", 1);
        await_losses(p, lost);
    }
    end(p);
    dup2(own, STDERR_FILENO);
    close(own);
    close(ends[1]);
    bool made = access("stderr", F_OK) == 0;
    assert_int_equal(chdir(before), 0);
    assert_false(made);
    assert_int_equal(p->losses.lines, 2);
    assert_int_equal(p->losses.why, EPIPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_lines_are_there_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_is_opened_anew_behind_what_was_put, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_cannot_be_opened_anew_is_written_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_is_not_there_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_that_nobody_reads_are_lost_and_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_pipe_holds_up_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(stderr_that_nobody_reads_stays_stderr, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reader_that_leaves_loses_lines_until_another_comes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
