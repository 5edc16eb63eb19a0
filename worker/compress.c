#include "worker/compress.h"
#include "common/gzip.h"
#include "shm/doing.h"
#include "worker/encoding.h"
#include "worker/offload.h"

#include <stdlib.h>

/* Up to here it takes less than 60 us, eight times what a thread's coming and going costs (tests/bench/thresholds). */
enum { AT_ONCE_BYTES = 16 << 10 };
/* Compressors are 270 KB each and cost 20 us to make; a few are kept. */
enum { SPARE_MAX = 4 };

static struct gzip *spare[SPARE_MAX];
static int spare_count;
static size_t copied_bytes; /* of bodies that threads have, or will have */

static struct gzip *take_gzip(void)
{
    return spare_count > 0 ? spare[--spare_count] : gzip_create(GZIP_LEVEL_ONCE);
}

/* One that has come to a body's end. */
static void give_gzip(struct gzip *gzip)
{
    if (spare_count < SPARE_MAX)
        spare[spare_count++] = gzip;
    else
        gzip_destroy(&gzip);
}

/* What comes from elsewhere is whatever it is, and may be compressed already. */
bool compress_is_on(const struct request *r)
{
    return r->service->conf->compress && r->route != NULL && r->route->conf->compress &&
           r->route->conf->from != FROM_UPSTREAM;
}

bool compress_is_wanted(const struct request *r)
{
    return compress_is_on(r) && encoding_takes_gzip(http_list_in(r->http, "Accept-Encoding", r->arena));
}

/* ---- whole bodies ---- */

struct compressing {
    struct gzip *gzip;
    struct slice body, result;
    char *room; /* of the thread: its pages are not the loop's to fault in */
    compress_done *done;
    void *arg;
    char bytes[]; /* the body's */
};

static void compressing_free(struct compressing *c)
{
    copied_bytes -= c->body.len;
    give_gzip(c->gzip);
    free(c->room);
    free(c);
}

static void run(void *arg)
{
    struct compressing *c = arg;
    c->room = xmalloc(c->body.len);
    c->result = gzip_whole(c->gzip, c->body, c->room);
}

static void on_done(void *arg)
{
    struct compressing *c = arg;
    doing(DOING_answer);
    c->done(c->arg, c->body, c->result);
    compressing_free(c);
}

static void on_drop(void *arg)
{
    compressing_free(arg);
}

static struct slice compress_now(struct slice body)
{
    static struct buf room;
    struct gzip *gzip = take_gzip();
    doing_word before = doing_swap(DOING_gzip);
    room.len = 0;
    buf_reserve(&room, body.len);
    struct slice result = gzip_whole(gzip, body, room.at);
    doing_swap(before);
    give_gzip(gzip);
    return result;
}

bool compress_body(struct service *s, struct slice body, struct slice *gzip_out, compress_done *done, void *arg)
{
    static const struct offload_work work = {run, on_done, on_drop};
    *gzip_out = slice_of(NULL, 0);
    if (body.len <= AT_ONCE_BYTES || s->offload == NULL) {
        *gzip_out = compress_now(body);
        return true;
    }
    if (copied_bytes + body.len > (size_t)s->conf->stream_memory_bytes)
        return true;
    copied_bytes += body.len;
    struct compressing *c = xmalloc(sizeof *c + body.len);
    *c = (struct compressing){take_gzip(), slice_of(c->bytes, body.len), slice_of(NULL, 0), NULL, done, arg};
    memcpy(c->bytes, body.at, body.len);
    if (offload_start(s->offload, OFFLOAD_GZIP, &work, c) != NULL)
        return false;
    on_drop(c);
    return true;
}

/* ---- in pieces ---- */

struct compress_pipe {
    struct service *service;
    struct gzip *gzip;
    struct buf in, out;
    bool ends;
    bool under_way;          /* a body has begun in gzip, and has not ended */
    struct offload_job *job; /* NULL: none is under way */
    void (*made)(void *arg, struct slice bytes);
    void *arg;
};

struct compress_pipe *compress_pipe_create(struct service *s, void (*made)(void *arg, struct slice bytes), void *arg)
{
    struct compress_pipe *pipe = xcalloc(1, sizeof *pipe);
    pipe->service = s;
    pipe->gzip = take_gzip();
    pipe->made = made;
    pipe->arg = arg;
    return pipe;
}

static void pipe_run(void *arg)
{
    struct compress_pipe *pipe = arg;
    gzip_add(pipe->gzip, buf_slice(&pipe->in), pipe->ends, &pipe->out);
    pipe->under_way = !pipe->ends;
}

static void pipe_free(void *arg)
{
    struct compress_pipe *pipe = arg;
    if (pipe->under_way)
        gzip_destroy(&pipe->gzip);
    else
        give_gzip(pipe->gzip);
    buf_deinit(&pipe->in);
    buf_deinit(&pipe->out);
    free(pipe);
}

static void pipe_done(void *arg)
{
    struct compress_pipe *pipe = arg;
    doing(DOING_send);
    pipe->job = NULL;
    pipe->made(pipe->arg, buf_slice(&pipe->out));
}

/* One that a thread has is freed when the thread has left it. */
void compress_pipe_destroy(struct compress_pipe **pipe)
{
    struct compress_pipe *p = *pipe;
    *pipe = NULL;
    if (p == NULL)
        return;
    if (p->job != NULL)
        offload_forget(p->service->offload, &p->job);
    else
        pipe_free(p);
}

bool compress_piece(struct compress_pipe *pipe, struct buf *piece, bool ends, struct slice *out)
{
    static const struct offload_work work = {pipe_run, pipe_done, pipe_free};
    const struct buf empty = pipe->in;
    pipe->in = *piece;
    *piece = empty;
    piece->len = pipe->out.len = 0;
    pipe->ends = ends;
    if (pipe->in.len > AT_ONCE_BYTES)
        pipe->job = offload_start(pipe->service->offload, OFFLOAD_GZIP, &work, pipe);
    if (pipe->job != NULL)
        return false;
    doing_word before = doing_swap(DOING_gzip);
    pipe_run(pipe);
    doing_swap(before);
    *out = buf_slice(&pipe->out);
    return true;
}
