#include "worker/log_writer.h"
#include "common/clock.h"
#include "common/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* PIECE_BYTES: what a pipe takes whole or not at all (POSIX write()). KEPT_BYTES: a longer buffer's memory is given
 * back.
 */
enum { PIECE_BYTES = PIPE_BUF, KEPT_BYTES = 256 << 10, LOOK_MS = 100 };

struct log_writer {
    const char *path;
    pthread_t thread;
    bool threaded; /* else the caller writes */
    /* Of who writes. */
    int fd;      /* -1: a FIFO that nobody reads */
    bool pieces; /* it is no file: one whole line after the other */
    bool torn;   /* the last line was cut off */
    /* A full pipe is waited for, by all lines in a row, when something else is to be done; 0: nothing is. */
    int64_t until_us;
    struct buf writing;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t wanted;
    struct buf waiting;
    int waiting_lines, writing_lines;
    bool reopens, ends;
    bool done, left; /* the thread has ended; nobody waits for it any more */
    struct log_writer_losses losses;
};

/* ---- the file ---- */

static bool is_stderr(const struct log_writer *w)
{
    return strcmp(w->path, "stderr") == 0;
}

/* Not to wait for a FIFO's reader. -1 with errno. */
static int open_log(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0640);
}

static bool is_fifo(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISFIFO(st.st_mode);
}

static void take_file(struct log_writer *w, int fd)
{
    struct stat st;
    w->fd = fd;
    w->pieces = fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode);
    w->torn = false;
}

static void close_file(struct log_writer *w)
{
    if (w->fd > STDERR_FILENO)
        close(w->fd);
    w->fd = -1;
}

static bool open_first(struct log_writer *w, struct err *err)
{
    int fd = is_stderr(w) ? STDERR_FILENO : open_log(w->path);
    if (fd < 0 && (errno != ENXIO || !is_fifo(w->path)))
        return err_set(err, "access log %s: %s", w->path, strerror(errno));
    take_file(w, fd);
    return true;
}

/* ---- who writes ---- */

static void lose(struct log_writer *w, struct slice lines, int why)
{
    uint64_t count = 0;
    for (const char *at = lines.at, *end = lines.at + lines.len; at < end; count++) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        CHECK(line_end != NULL);
        at = line_end + 1;
    }
    pthread_mutex_lock(&w->lock);
    w->losses.lines += count;
    w->losses.why = why;
    w->writing_lines = 0;
    pthread_mutex_unlock(&w->lock);
}

/* Something else is to be done. */
static bool is_called_off(struct log_writer *w)
{
    pthread_mutex_lock(&w->lock);
    bool yes = w->ends || w->reopens;
    pthread_mutex_unlock(&w->lock);
    return yes;
}

/* What it had to write is counted as lost. */
static bool is_left(struct log_writer *w)
{
    pthread_mutex_lock(&w->lock);
    bool yes = w->left;
    pthread_mutex_unlock(&w->lock);
    return yes;
}

/* For a pipe that is full to have room. False: it had none, and there is no time to wait for it. */
static bool await_room(struct log_writer *w)
{
    for (;;) {
        struct pollfd pipe = {.fd = w->fd, .events = POLLOUT};
        if (poll(&pipe, 1, w->threaded ? LOOK_MS : 0) > 0)
            return !is_left(w);
        if (!w->threaded)
            return false;
        if (w->until_us == 0 && is_called_off(w))
            w->until_us = clock_mono_us() + LOG_WRITER_END_MS * US_PER_MS / 2;
        if (w->until_us != 0 && clock_mono_us() >= w->until_us)
            return false;
    }
}

/* Zero, or errno; *done counts what was written either way. */
static int write_bytes(struct log_writer *w, struct slice bytes, size_t *done)
{
    while (*done < bytes.len) {
        ssize_t n = write(w->fd, bytes.at + *done, bytes.len - *done);
        if (n > 0)
            *done += (size_t)n;
        else if (n == 0 || (errno != EINTR && errno != EAGAIN))
            return n == 0 ? EIO : errno;
        else if (errno == EAGAIN && !await_room(w))
            return EAGAIN;
    }
    return 0;
}

/* As many lines as a pipe takes at once; at least one. */
static size_t piece_of(struct slice lines)
{
    if (lines.len <= PIECE_BYTES)
        return lines.len;
    const char *end = memrchr(lines.at, '\n', PIECE_BYTES);
    if (end == NULL)
        end = memchr(lines.at, '\n', lines.len);
    CHECK(end != NULL);
    return (size_t)(end + 1 - lines.at);
}

/* What was cut off must not lead into the line behind it. */
static int mend(struct log_writer *w)
{
    size_t done = 0;
    int why = w->torn ? write_bytes(w, SLICE("\n"), &done) : 0;
    w->torn &= why != 0;
    return why;
}

static size_t whole_lines(struct slice written)
{
    const char *end = memrchr(written.at, '\n', written.len);
    return end != NULL ? (size_t)(end + 1 - written.at) : 0;
}

static void write_lines(struct log_writer *w, struct slice lines)
{
    if (w->fd < 0)
        take_file(w, open_log(w->path));
    int why = w->fd < 0 ? errno : mend(w);
    while (why == 0 && lines.len > 0) {
        struct slice piece = slice_of(lines.at, w->pieces ? piece_of(lines) : lines.len);
        size_t done = 0;
        why = write_bytes(w, piece, &done);
        w->torn = done > 0 && lines.at[done - 1] != '\n';
        done = whole_lines(slice_of(lines.at, done));
        lines = slice_of(lines.at + done, lines.len - done);
    }
    if (why != 0)
        lose(w, lines, why);
    if (why == EPIPE && !is_stderr(w)) /* stderr has no name to be opened by again */
        close_file(w);
}

static void open_again(struct log_writer *w)
{
    int fd = open_log(w->path), why = errno;
    w->until_us = 0;
    if (fd < 0 && (why != ENXIO || !is_fifo(w->path))) {
        pthread_mutex_lock(&w->lock);
        w->losses.reopen = why;
        pthread_mutex_unlock(&w->lock);
        return;
    }
    close_file(w);
    take_file(w, fd);
}

/* What is to be done next: lines in w->writing, a reopening behind them. False: nothing any more. */
static bool take(struct log_writer *w, bool *reopens_out)
{
    pthread_mutex_lock(&w->lock);
    while (w->threaded && w->waiting.len == 0 && !w->reopens && !w->ends)
        pthread_cond_wait(&w->wanted, &w->lock);
    struct buf empty = w->writing;
    w->writing = w->waiting;
    w->waiting = empty;
    w->writing_lines = w->waiting_lines;
    w->waiting_lines = 0;
    *reopens_out = w->reopens;
    w->reopens = false;
    bool left = w->left;
    pthread_mutex_unlock(&w->lock);
    return !left && (w->writing.len > 0 || *reopens_out);
}

static void work(struct log_writer *w)
{
    bool reopens;
    while (take(w, &reopens)) {
        write_lines(w, buf_slice(&w->writing));
        w->writing.len = 0;
        if (w->writing.cap > KEPT_BYTES)
            buf_deinit(&w->writing);
        if (reopens)
            open_again(w);
    }
}

static void dispose(struct log_writer *w)
{
    close_file(w);
    buf_deinit(&w->waiting);
    buf_deinit(&w->writing);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->wanted);
    free(w);
}

static void *run(void *arg)
{
    struct log_writer *w = arg;
    work(w);
    pthread_mutex_lock(&w->lock);
    w->done = true;
    bool left = w->left;
    pthread_mutex_unlock(&w->lock);
    if (left)
        dispose(w);
    return NULL;
}

/* ---- who puts ---- */

struct log_writer *log_writer_create(const char *path, struct err *err)
{
    struct log_writer *w = xcalloc(1, sizeof *w);
    w->path = path;
    if (!open_first(w, err)) {
        free(w);
        return NULL;
    }
    CHECK(pthread_mutex_init(&w->lock, NULL) == 0 && pthread_cond_init(&w->wanted, NULL) == 0);
    w->threaded = true; /* the thread looks at it */
    if (!thread_start(&w->thread, "perfd-log", run, w))
        w->threaded = false;
    return w;
}

static void hand_over(struct log_writer *w)
{
    if (w->threaded)
        pthread_cond_signal(&w->wanted);
    else
        work(w);
}

void log_writer_put(struct log_writer *w, struct buf *lines, int count)
{
    if (lines->len == 0)
        return;
    pthread_mutex_lock(&w->lock);
    bool fits = w->waiting.len + lines->len <= LOG_WRITER_ROOM_BYTES;
    if (!fits) {
        w->losses.lines += (uint64_t)count;
        w->losses.why = 0;
    } else if (w->waiting.len == 0) {
        struct buf empty = w->waiting;
        w->waiting = *lines;
        *lines = empty;
    } else {
        buf_add(&w->waiting, lines->at, lines->len);
    }
    w->waiting_lines += fits ? count : 0;
    pthread_mutex_unlock(&w->lock);
    lines->len = 0;
    hand_over(w);
}

void log_writer_reopen(struct log_writer *w)
{
    if (is_stderr(w))
        return;
    pthread_mutex_lock(&w->lock);
    w->reopens = true;
    pthread_mutex_unlock(&w->lock);
    hand_over(w);
}

void log_writer_losses(struct log_writer *w, struct log_writer_losses *out)
{
    pthread_mutex_lock(&w->lock);
    *out = w->losses;
    w->losses = (struct log_writer_losses){0};
    pthread_mutex_unlock(&w->lock);
}

static bool joins_in_time(struct log_writer *w)
{
    struct timespec until;
    pthread_mutex_lock(&w->lock);
    w->ends = true;
    pthread_cond_signal(&w->wanted);
    pthread_mutex_unlock(&w->lock);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LOG_WRITER_END_MS / 1000;
    return pthread_timedjoin_np(w->thread, NULL, &until) == 0;
}

/* False: it does not end, because what it writes to takes nothing. Then the writer is the thread's, which disposes of
 * it should it end after all. */
static bool end_thread(struct log_writer *w, struct log_writer_losses *losses)
{
    pthread_t thread = w->thread;
    if (joins_in_time(w))
        return true;
    pthread_mutex_lock(&w->lock);
    w->left = !w->done;
    bool left = w->left;
    *losses = w->losses;
    losses->lines += (uint64_t)(w->waiting_lines + w->writing_lines);
    pthread_mutex_unlock(&w->lock);
    if (left)
        pthread_detach(thread);
    else
        pthread_join(thread, NULL);
    return !left;
}

void log_writer_destroy(struct log_writer **writer, struct log_writer_losses *losses_out)
{
    struct log_writer *w = *writer;
    *writer = NULL;
    if (w->threaded && !end_thread(w, losses_out))
        return;
    *losses_out = w->losses;
    dispose(w);
}
