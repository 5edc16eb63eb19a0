#include "master/ctl/log/reader.h"
#include "common/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum { READ_BYTES = 64 << 10, PAUSE_MS = 100 };

/* Bytes become lines. */
struct splitter {
    struct buf rest;
    bool skips; /* to the end of a line that is too long */
    reader_line *line;
    void *arg;
};

static bool hand(struct splitter *s, struct slice raw)
{
    bool skipped = s->skips;
    s->skips = false;
    if (skipped || raw.len > READER_LINE_MAX)
        return s->line(s->arg, slice_of(NULL, 0));
    return raw.len == 0 || s->line(s->arg, raw);
}

/* What is kept of a line whose end has not come. */
static void keep(struct splitter *s, struct slice bytes)
{
    if (s->skips || s->rest.len + bytes.len > READER_LINE_MAX) {
        s->skips = true;
        s->rest.len = 0;
        return;
    }
    buf_add(&s->rest, bytes.at, bytes.len);
}

static bool split(struct splitter *s, struct slice bytes)
{
    const char *end;
    while ((end = memchr(bytes.at, '\n', bytes.len)) != NULL) {
        struct slice raw = slice_of(bytes.at, (size_t)(end - bytes.at));
        if (s->rest.len > 0) {
            keep(s, raw);
            raw = buf_slice(&s->rest);
        }
        bool more = hand(s, raw);
        s->rest.len = 0;
        if (!more)
            return false;
        bytes = slice_of(end + 1, bytes.len - (size_t)(end + 1 - bytes.at));
    }
    if (bytes.len > 0)
        keep(s, bytes);
    return true;
}

static void finish(struct splitter *s)
{
    if (s->rest.len > 0 || s->skips)
        (void)hand(s, buf_slice(&s->rest));
    buf_deinit(&s->rest);
}

/* ---- a file that is there ---- */

static bool read_all(gzFile file, const char *path, struct splitter *s, struct err *err)
{
    char *bytes = xmalloc(READ_BYTES);
    int n, code;
    bool more = true;
    while (more && (n = gzread(file, bytes, READ_BYTES)) > 0)
        more = split(s, slice_of(bytes, (size_t)n));
    free(bytes);
    const char *why = gzerror(file, &code);
    if (!more || code == Z_OK || code == Z_STREAM_END)
        return true;
    if (code == Z_BUF_ERROR || code == Z_DATA_ERROR) { /* cut short, or damaged: what came before is good */
        s->skips = true;
        return true;
    }
    return err_set(err, "%s: %s", path, code == Z_ERRNO ? strerror(errno) : why);
}

static bool open_file(const char *path, int *fd_out, struct err *err)
{
    *fd_out = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    return *fd_out >= 0 || err_set(err, "%s: %s", path, strerror(errno));
}

bool reader_read(const char *path, reader_line *line, void *arg, struct err *err)
{
    int fd;
    struct splitter s = {.line = line, .arg = arg};
    if (!open_file(path, &fd, err))
        return false;
    gzFile file = gzdopen(fd, "rb");
    CHECK(file != NULL);
    bool ok = read_all(file, path, &s, err);
    finish(&s);
    gzclose(file);
    return ok;
}

/* ---- a file that grows ---- */

static void rest(void)
{
    struct timespec time = {0, PAUSE_MS * 1000000L};
    nanosleep(&time, NULL);
}

/* Another file has its name, or it was cut: it is read from its beginning. */
static bool is_another(int fd, const char *path, off_t read_bytes)
{
    struct stat mine, now;
    if (stat(path, &now) != 0 || fstat(fd, &mine) != 0)
        return false;
    return now.st_ino != mine.st_ino || now.st_dev != mine.st_dev || now.st_size < read_bytes;
}

static bool turn_to(int *fd, const char *path)
{
    int next = open(path, O_RDONLY | O_CLOEXEC);
    if (next < 0)
        return false;
    close(*fd);
    *fd = next;
    return true;
}

static ssize_t read_some(int fd, char *bytes)
{
    ssize_t n = read(fd, bytes, READ_BYTES);
    return n < 0 && errno == EINTR ? 0 : n;
}

static bool follow(int *fd, const char *path, struct splitter *s, void (*pause)(void *), struct err *err)
{
    char *bytes = xmalloc(READ_BYTES);
    ssize_t n;
    off_t at = lseek(*fd, 0, SEEK_END);
    bool more = true, leaves = false;
    while (more && (n = read_some(*fd, bytes)) >= 0) {
        at += n;
        if (n > 0) {
            more = split(s, slice_of(bytes, (size_t)n));
            continue;
        }
        pause(s->arg);
        if (leaves && turn_to(fd, path)) {
            s->rest.len = 0;
            s->skips = false;
            at = 0;
        }
        rest();
        leaves = is_another(*fd, path, at); /* the old one is looked at once more: some may write to it still */
    }
    free(bytes);
    return !more || err_set(err, "%s: %s", path, strerror(errno));
}

bool reader_follow(const char *path, reader_line *line, void (*pause)(void *arg), void *arg, struct err *err)
{
    int fd;
    struct splitter s = {.line = line, .arg = arg};
    if (!open_file(path, &fd, err))
        return false;
    bool ok = follow(&fd, path, &s, pause, err);
    buf_deinit(&s.rest);
    close(fd);
    return ok;
}
