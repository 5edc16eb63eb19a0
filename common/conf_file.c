#include "common/conf_parse.h"
#include "common/json_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

struct conf_frame {
    struct conf_frame *outer;
    const char *path;
    dev_t device;
    ino_t inode;
};

const char *conf_resolve(struct conf_parser *p, const char *path, const char *file)
{
    const char *slash = strrchr(file, '/');
    if (path[0] == '/' || slash == NULL)
        return arena_str(p->arena, slice_str(path));
    return arena_printf(p->arena, "%.*s%s", (int)(slash + 1 - file), file, path);
}

static bool cannot(struct conf_parser *p, const char *path, struct conf_pos at, const char *why)
{
    if (at.file == NULL)
        return err_set(p->err, "%s: %s", path, why);
    return conf_error(p->err, at, "cannot read %s: %s", path, why);
}

/* O_NONBLOCK: a FIFO must not hang the master; it is refused as no regular file. */
static int open_regular(struct conf_parser *p, const char *path, struct conf_pos at, struct stat *st)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, st) != 0)
        cannot(p, path, at, strerror(errno));
    else if (!S_ISREG(st->st_mode))
        cannot(p, path, at, S_ISDIR(st->st_mode) ? "it is a folder" : "it is not a regular file");
    else if (st->st_size > CONF_FILE_BYTES_MAX)
        cannot(p, path, at, "it is larger than 16 MB");
    else
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Up to size bytes; a file that shrinks meanwhile gives fewer. -1 with errno. */
static ssize_t read_fully(int fd, char *to, size_t size)
{
    size_t got = 0;
    while (got < size) {
        ssize_t n = read(fd, to + got, size - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

/* Where the offset-th byte of text stands. */
static struct conf_pos place_of(struct slice text, size_t offset, const char *path)
{
    struct conf_pos pos = {path, 1, 1};
    for (size_t i = 0; i < offset; i++) {
        if (text.at[i] == '\n')
            pos = (struct conf_pos){path, pos.line + 1, 1};
        else if ((text.at[i] & 0xc0) != 0x80)
            pos.column++;
    }
    return pos;
}

static bool check_bytes(struct conf_parser *p, struct slice text, const char *path)
{
    const char *nul = memchr(text.at, '\0', text.len);
    if (nul != NULL)
        return conf_error(p->err, place_of(text, (size_t)(nul - text.at), path), "a NUL byte stands here");
    ptrdiff_t bad = utf8_check(text);
    if (bad >= 0)
        return conf_error(p->err, place_of(text, (size_t)bad, path), "this byte is not UTF-8");
    return true;
}

static bool read_opened(struct conf_parser *p, int fd, const char *path, struct conf_pos at, size_t size,
                        struct slice *text_out)
{
    char *bytes = arena_bytes(p->arena, size + 1);
    ssize_t got = read_fully(fd, bytes, size);
    if (got < 0)
        return cannot(p, path, at, strerror(errno));
    bytes[got] = '\0';
    *text_out = slice_of(bytes, (size_t)got);
    p->conf->fingerprint = XXH3_64bits_withSeed(bytes, (size_t)got, p->conf->fingerprint);
    return check_bytes(p, *text_out, path);
}

bool conf_read_file(struct conf_parser *p, const char *path, struct conf_pos at, struct slice *text_out)
{
    struct stat st;
    int fd = open_regular(p, path, at, &st);
    if (fd < 0)
        return false;
    bool ok = read_opened(p, fd, path, at, (size_t)st.st_size, text_out);
    close(fd);
    return ok;
}

static bool check_loop(struct conf_parser *p, const struct conf_frame *frame, struct conf_pos at)
{
    for (const struct conf_frame *outer = p->frames; outer != NULL; outer = outer->outer)
        if (outer->device == frame->device && outer->inode == frame->inode)
            return conf_error(p->err, at, "include loop: %s is being read already", outer->path);
    return true;
}

bool conf_parse_file(struct conf_parser *p, const char *path, struct conf_pos at)
{
    struct stat st;
    struct conf_frame frame = {p->frames, path, 0, 0};
    int fd = open_regular(p, path, at, &st);
    if (fd < 0)
        return false;
    frame.device = st.st_dev;
    frame.inode = st.st_ino;
    struct slice text;
    bool ok = check_loop(p, &frame, at) && read_opened(p, fd, path, at, (size_t)st.st_size, &text);
    close(fd);
    if (!ok)
        return false;

    struct conf_lex lex, *outer = p->lex;
    conf_lex_init(&lex, text, path, p->arena);
    p->frames = &frame;
    p->lex = &lex;
    ok = conf_parse_block(p, &p->main, NULL);
    p->frames = frame.outer;
    p->lex = outer;
    return ok;
}

/* The pattern with the including file's folder in front, whose own stars mean themselves. */
static const char *glob_pattern(struct conf_parser *p, const char *pattern, const char *file)
{
    const char *slash = strrchr(file, '/');
    size_t folder = pattern[0] == '/' || slash == NULL ? 0 : (size_t)(slash + 1 - file), n = 0;
    char *out = arena_bytes(p->arena, 2 * folder + strlen(pattern) + 1);
    for (size_t i = 0; i < folder; i++) {
        if (strchr("*?[\\", file[i]) != NULL)
            out[n++] = '\\';
        out[n++] = file[i];
    }
    strcpy(out + n, pattern);
    return out;
}

/* A folder that is not there matches nothing; one that cannot be read is an error. */
static int is_trouble(const char *path, int error)
{
    (void)path;
    return error != ENOENT && error != ENOTDIR;
}

bool conf_set_include(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    (void)row, (void)field;
    const struct conf_arg *arg = &d->args[0];
    if (strpbrk(arg->text, "*?[") == NULL)
        return conf_parse_file(p, conf_resolve(p, arg->text, arg->pos.file), arg->pos);
    glob_t found;
    int rc = glob(glob_pattern(p, arg->text, arg->pos.file), 0, is_trouble, &found);
    bool ok = true;
    if (rc == GLOB_NOSPACE || rc == GLOB_ABORTED)
        ok = conf_error(p->err, arg->pos, "cannot list %s: %s", arg->text, strerror(errno));
    for (size_t i = 0; ok && rc == 0 && i < found.gl_pathc; i++)
        ok = conf_parse_file(p, arena_str(p->arena, slice_str(found.gl_pathv[i])), arg->pos);
    globfree(&found);
    return ok;
}
