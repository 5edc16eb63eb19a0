/* common/conf.h: perfd.conf. A refusal names a place that is there; what is accepted, printed and read again prints the
 * same and gives the routes the same versions.
 *
 * The input is a folder of files: the bytes up to the first 0x1c (the ASCII file separator) are perfd.conf, those up to
 * the next are the second file of `files`, and so on. open(), glob() and globfree() are this program's own, so that the
 * parser sees this folder alone: no include or sql reaches a file of the machine, and no glob walks its disks. */
#include "common/conf.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FOLDER "/etc/perfd/"
#define MAIN_FILE FOLDER "perfd.conf"
#define PRINTED_FILE "/srv/printed.conf" /* another folder: printed paths must be absolute */

struct file {
    const char *path;
    int fd; /* of its memory */
    struct slice text;
    bool exists;
};

enum { INPUT_FILES = 4, PRINTED = INPUT_FILES, FILE_COUNT };

/* In order of their names but for the first, as glob() gives them. */
static struct file files[FILE_COUNT] = {
    {.path = MAIN_FILE},          {.path = FOLDER "conf.d/a.conf"}, {.path = FOLDER "conf.d/b.conf"},
    {.path = FOLDER "query.sql"}, {.path = PRINTED_FILE},
};

static bool loading;

static struct file *find_file(const char *path)
{
    for (struct file *f = files; f < files + ARRAY_LEN(files); f++)
        if (f->exists && strcmp(f->path, path) == 0)
            return f;
    return NULL;
}

/* Opens anew, so that each reader begins at the first byte; the inode stays the file's. */
static int open_memory(const struct file *f)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", f->fd);
    return (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
}

/* While nothing is loading it is everyone's open(). */
int open(const char *path, int flags, ...)
{
    if (loading) {
        const struct file *f = find_file(path);
        errno = ENOENT;
        return f ? open_memory(f) : -1;
    }
    va_list args;
    va_start(args, flags);
    int mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, int) : 0;
    va_end(args);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int glob(const char *pattern, int flags, int (*trouble)(const char *, int), glob_t *out)
{
    (void)trouble;
    CHECK(loading && flags == 0);
    *out = (glob_t){.gl_pathv = xcalloc(ARRAY_LEN(files) + 1, sizeof *out->gl_pathv)};
    for (const struct file *f = files; f < files + ARRAY_LEN(files); f++)
        if (f->exists && fnmatch(pattern, f->path, FNM_PATHNAME | FNM_PERIOD) == 0)
            out->gl_pathv[out->gl_pathc++] = xstrdup(f->path);
    return out->gl_pathc > 0 ? 0 : GLOB_NOMATCH;
}

void globfree(glob_t *found)
{
    for (size_t i = 0; i < found->gl_pathc; i++)
        free(found->gl_pathv[i]);
    free(found->gl_pathv);
}

static void write_file(struct file *f, struct slice text)
{
    f->text = text;
    f->exists = true;
    CHECK(ftruncate(f->fd, 0) == 0);
    CHECK(text.len == 0 || pwrite(f->fd, text.at, text.len, 0) == (ssize_t)text.len);
}

static void write_files(struct slice input)
{
    for (struct file *f = files; f < files + INPUT_FILES; f++) {
        const char *end = input.at ? memchr(input.at, 0x1c, input.len) : NULL;
        f->exists = false;
        if (input.at == NULL)
            continue;
        size_t len = end ? (size_t)(end - input.at) : input.len;
        write_file(f, slice_of(input.at, len));
        input = end ? slice_of(end + 1, input.len - len - 1) : slice_of(NULL, 0);
    }
}

static struct conf *load(const char *path, struct err *err)
{
    loading = true;
    struct conf *conf = conf_load(path, err);
    loading = false;
    return conf;
}

/* Reads ":N". */
static bool read_number(const char **at, long *out)
{
    char *end;
    if (**at != ':' || (*at)[1] < '1' || (*at)[1] > '9')
        return false;
    *out = strtol(*at + 1, &end, 10);
    *at = end;
    return true;
}

static long count_lines(struct slice text)
{
    long lines = 1;
    for (size_t i = 0; i < text.len; i++)
        lines += text.at[i] == '\n';
    return lines;
}

/* The characters of a line and one more, where its end is meant. */
static long count_columns(struct slice text, long line)
{
    long columns = 1;
    for (size_t i = 0; i < text.len && line > 0; i++) {
        if (text.at[i] == '\n')
            line--;
        else if (line == 1)
            columns += (text.at[i] & 0xc0) != 0x80;
    }
    return columns;
}

/* What comes out of a ${...} has no columns of its own: its place may lie behind the line's end. */
static bool expands(struct slice text)
{
    return memmem(text.at, text.len, "${", 2) != NULL;
}

static void check_place(const struct err *err)
{
    long line, column;
    const struct file *f = files;
    const char *at = NULL;
    for (; f < files + ARRAY_LEN(files); f++)
        if (f->exists && strncmp(err->text, f->path, strlen(f->path)) == 0) {
            at = err->text + strlen(f->path);
            break;
        }
    CHECK(at != NULL);
    CHECK(read_number(&at, &line) && read_number(&at, &column));
    CHECK(at[0] == ':' && at[1] == ' ' && at[2] != '\0');
    CHECK(line <= count_lines(f->text));
    if (!expands(f->text))
        CHECK(column <= count_columns(f->text, line));
}

static char *print(const struct conf *conf, size_t *len_out)
{
    char *text;
    FILE *out = open_memstream(&text, len_out);
    CHECK(out != NULL);
    conf_print(conf, out);
    CHECK(fclose(out) == 0);
    return text;
}

static void check_routes(const struct conf *a, const struct conf *b)
{
    CHECK(a->route_count == b->route_count);
    for (int i = 0; i < a->route_count; i++)
        CHECK(a->routes[i].version == b->routes[i].version);
}

static void check_print(const struct conf *conf)
{
    struct err err = {""};
    size_t len, again_len;
    char *text = print(conf, &len);
    write_file(&files[PRINTED], slice_of(text, len));
    struct conf *again = load(PRINTED_FILE, &err);
    if (again == NULL)
        fprintf(stderr, "what was printed is refused: %s\n%s\n", err.text, text);
    CHECK(again != NULL);
    char *again_text = print(again, &again_len);
    if (strcmp(text, again_text) != 0)
        fprintf(stderr, "--- first\n%s\n--- again\n%s\n", text, again_text);
    CHECK(len == again_len && memcmp(text, again_text, len) == 0);
    check_routes(conf, again);
    conf_destroy(&again);
    free(again_text);
    free(text);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    for (struct file *f = files; f < files + ARRAY_LEN(files); f++) {
        f->fd = memfd_create(f->path, MFD_CLOEXEC);
        CHECK(f->fd >= 0);
    }
    CHECK(setenv("WORDS", "a 'b' \"c\" ;{}", 1) == 0 && setenv("EMPTY", "", 1) == 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {""};
    files[PRINTED].exists = false;
    write_files(slice_of((const char *)data, size));
    struct conf *conf = load(MAIN_FILE, &err);
    if (conf != NULL)
        check_print(conf);
    else
        check_place(&err);
    conf_destroy(&conf);
    return 0;
}
