#include "worker/stream.h"
#include "shm/doing.h"
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
    encode_drop(&s->encoding);
    stream_recycle(&s->body);
}

static void send_piece(struct stream *s)
{
    s->sent_bytes += s->body.len;
    http_stream_add(s->r->http, buf_slice(&s->body));
    s->body.len = 0;
}

static void begin_sending(struct stream *s)
{
    s->sends = true;
    reply_stream_begin(s->r, format_head(s->r->format, true));
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

static enum pool_flow send_on(struct stream *s)
{
    if (s->body.len >= PIECE_BYTES)
        send_piece(s);
    s->waits = http_stream_is_full(s->r->http);
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
    if (s->waits)
        pool_resume(s->job);
    s->waits = false;
}

/* s is the request's, and gone with it. */
static enum stream_end end_sent(struct stream *s, bool whole)
{
    struct request *r = s->r;
    if (whole)
        send_piece(s);
    size_t sent_bytes = s->sent_bytes;
    free_memory(s);
    reply_stream_end(r, sent_bytes, whole);
    return STREAM_SENT;
}

enum stream_end stream_end(struct stream *s, const struct pool_outcome *outcome, struct buf *body_out)
{
    struct request *r = s->r;
    r->wait_us = outcome->wait_us;
    r->run_us = outcome->run_us;
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
