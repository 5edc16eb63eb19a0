#include "worker/stream.h"
#include "shm/doing.h"
#include "worker/compress.h"
#include "worker/format.h"
#include "worker/reply.h"
#include "worker/rows.h"

/* PIECE_BYTES: that are sent at a time. KEPT_BYTES: a longer buffer's memory is given back. */
enum { PIECE_BYTES = 64 << 10, KEPT_BYTES = 1 << 20 };

/* The last one's memory serves the next. */
static struct buf spare;

void stream_recycle(struct buf *body)
{
    if (body->cap > spare.cap && body->cap <= KEPT_BYTES) {
        buf_deinit(&spare);
        spare = *body;
        *body = (struct buf){0};
    }
    buf_deinit(body);
}

static void free_memory(struct stream *s)
{
    compress_pipe_destroy(&s->pipe);
    encode_drop(&s->encoding);
    stream_recycle(&s->body);
}

static void send_bytes(struct stream *s, struct slice bytes)
{
    s->sent_bytes += bytes.len;
    http_stream_add(s->r->http, bytes);
}

static void send_piece(struct stream *s, bool last)
{
    struct slice bytes = buf_slice(&s->body);
    if (s->pipe != NULL && !compress_piece(s->pipe, &s->body, last, &bytes)) {
        s->compressing = true;
        s->last = last;
        return;
    }
    send_bytes(s, bytes);
    s->body.len = 0;
}

static void on_compressed(void *arg, struct slice bytes);

static void begin_sending(struct stream *s)
{
    bool gzip = compress_is_wanted(s->r);
    s->sends = true;
    if (gzip && !s->head_only)
        s->pipe = compress_pipe_create(s->r->service, on_compressed, s);
    reply_stream_begin(s->r, format_head(s->r->format, true), gzip);
}

static enum pool_flow outgrow(struct stream *s)
{
    s->head_only = s->r->http != NULL && s->r->http->method == HTTP_HEAD;
    if (!s->head_only && !pool_begin(s->job))
        return FLOW_ALONE;
    if (!s->begins(s->arg) || s->head_only)
        return FLOW_STOP;
    begin_sending(s);
    return FLOW_MORE;
}

/* The consumer, or the thread that compresses for it, has as much as it can take. */
static bool is_full(const struct stream *s)
{
    return http_stream_is_full(s->r->http) || (s->compressing && s->body.len >= PIECE_BYTES);
}

static enum pool_flow send_on(struct stream *s)
{
    if (s->body.len >= PIECE_BYTES && !s->compressing)
        send_piece(s, false);
    s->waits = is_full(s);
    return s->waits ? FLOW_WAIT : FLOW_MORE;
}

static bool make_plan(struct stream *s, const PGresult *rows)
{
    struct encode_plan *plan = route_plan(s->r->route, rows, &s->wrong);
    if (plan != NULL)
        encode_begin(&s->encoding, plan, s->r->format, &s->body);
    return plan != NULL;
}

static enum pool_flow on_rows(void *arg, PGresult *rows)
{
    struct stream *s = arg;
    if (rows == NULL) {
        encode_drop(&s->encoding);
        s->body.len = 0;
        s->wrong.text[0] = '\0';
        return FLOW_MORE;
    }
    if (s->wrong.text[0] != '\0' || (s->encoding.plan == NULL && !make_plan(s, rows))) {
        PQclear(rows);
        return FLOW_MORE;
    }
    doing_for(DOING_rows, s->r->route->row);
    encode_take(&s->encoding, rows);
    if (s->sends)
        return send_on(s);
    return s->body.len > s->hold_bytes ? outgrow(s) : FLOW_MORE;
}

void stream_init(struct stream *s, struct request *r, size_t hold_bytes, bool (*begins)(void *arg), void *arg)
{
    *s = (struct stream){.r = r, .hold_bytes = hold_bytes, .begins = begins, .arg = arg, .body = spare};
    s->taker = (struct pool_taker){r->route->answer, on_rows, s};
    spare = (struct buf){0};
    s->body.len = 0;
}

void stream_go_on(struct stream *s)
{
    if (!s->waits || is_full(s))
        return;
    s->waits = false;
    pool_resume(s->job);
}

/* s is the request's, and gone with it. */
static void end_now(struct stream *s, bool whole)
{
    struct request *r = s->r;
    size_t sent_bytes = s->sent_bytes;
    free_memory(s);
    reply_stream_end(r, sent_bytes, whole);
}

/* All rows are there. */
static void send_last(struct stream *s)
{
    if (!s->compressing)
        send_piece(s, true);
    if (!s->compressing)
        end_now(s, true);
}

static void on_compressed(void *arg, struct slice bytes)
{
    struct stream *s = arg;
    s->compressing = false;
    send_bytes(s, bytes);
    if (s->last) {
        end_now(s, true);
    } else if (s->ended) {
        send_last(s);
    } else {
        if (s->body.len >= PIECE_BYTES)
            send_piece(s, false);
        stream_go_on(s);
    }
}

static enum stream_end end_sent(struct stream *s, bool whole)
{
    s->waits = false;
    if (!whole) {
        end_now(s, false);
        return STREAM_SENT;
    }
    s->ended = true;
    s->r->http->gone = NULL; /* there is no work to stop any more */
    s->r->http->room = NULL;
    send_last(s);
    return STREAM_SENT;
}

enum stream_end stream_end(struct stream *s, const struct pool_outcome *outcome, struct buf *body_out)
{
    struct request *r = s->r;
    r->wait_us = outcome->wait_us;
    r->run_us = outcome->run_us;
    if (outcome->fail == POOL_SQL)
        memcpy(r->sqlstate, outcome->sqlstate, sizeof r->sqlstate);
    if (outcome->fail == POOL_OK && s->encoding.plan != NULL)
        encode_end(&s->encoding);
    if (s->head_only) {
        begin_sending(s);
        return end_sent(s, true);
    }
    if (s->sends)
        return end_sent(s, outcome->fail == POOL_OK);
    if (outcome->fail == POOL_OK && s->wrong.text[0] == '\0') {
        *body_out = s->body;
        return STREAM_WHOLE;
    }
    free_memory(s);
    rows_refuse(r, outcome, s->wrong.text);
    return STREAM_FAILED;
}

bool stream_cut(struct stream *s)
{
    if (s->sends)
        return end_sent(s, false) == STREAM_SENT;
    free_memory(s);
    return false;
}
