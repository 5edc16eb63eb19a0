#include "worker/tls_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PEM_BYTES_MAX = 1 << 20 };
enum { CHAIN, KEY, FILES };

struct pem {
    char *at;
    size_t len;
};

struct tls_files {
    int count;
    struct pem (*pems)[FILES];
};

/* Not by stdio, whose buffer would keep a copy. */
static bool read_all(int fd, struct pem *out)
{
    ssize_t n;
    out->at = xcalloc(1, PEM_BYTES_MAX);
    while ((n = read(fd, out->at + out->len, PEM_BYTES_MAX - out->len)) > 0)
        out->len += (size_t)n;
    if (out->len == PEM_BYTES_MAX)
        errno = EFBIG;
    return n == 0 && out->len < PEM_BYTES_MAX;
}

static bool read_pem(const struct conf_certificate *c, const char *file, struct pem *out, struct err *err)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && read_all(fd, out);
    if (!ok)
        err_set(err, "%s:%d:%d: %s: %s", c->pos.file, c->pos.line, c->pos.column, file, strerror(errno));
    if (fd >= 0)
        close(fd);
    return ok;
}

struct tls_files *tls_files_read(const struct conf *conf, struct err *err)
{
    struct tls_files *files = xcalloc(1, sizeof *files);
    files->count = conf->tls.certificate_count;
    files->pems = xcalloc((size_t)MAX(files->count, 1), sizeof *files->pems);
    for (int i = 0; i < files->count; i++) {
        const struct conf_certificate *c = &conf->tls.certificates[i];
        if (!read_pem(c, c->file, &files->pems[i][CHAIN], err) ||
            !read_pem(c, c->key_file, &files->pems[i][KEY], err)) {
            tls_files_destroy(&files);
            return NULL;
        }
    }
    return files;
}

void tls_files_destroy(struct tls_files **doomed)
{
    struct tls_files *files = *doomed;
    *doomed = NULL;
    if (files == NULL)
        return;
    for (int i = 0; i < files->count; i++)
        for (int f = 0; f < FILES; f++) {
            if (files->pems[i][f].at != NULL)
                explicit_bzero(files->pems[i][f].at, files->pems[i][f].len);
            free(files->pems[i][f].at);
        }
    free(files->pems);
    free(files);
}

struct slice tls_files_chain(const struct tls_files *files, int index)
{
    return slice_of(files->pems[index][CHAIN].at, files->pems[index][CHAIN].len);
}

struct slice tls_files_key(const struct tls_files *files, int index)
{
    return slice_of(files->pems[index][KEY].at, files->pems[index][KEY].len);
}
