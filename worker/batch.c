#include "worker/batch.h"
#include "common/json_write.h"
#include "shm/doing.h"
#include "worker/batch_items.h"
#include "worker/field_lines.h"
#include "worker/inner.h"
#include "worker/offload.h"
#include "worker/reply.h"
#include "worker/route.h"

#include <stdlib.h>

/* A longer answer is sent from where it was made. */
enum { LEND_BYTES = 16 << 10 };

struct batch {
    struct request *r;
    struct inner_run *run;
    struct slice body; /* the run's, as are the items: they may outlive the request */
    struct batch_item *items;
    bool good;          /* the body says what they are; else r->problem */
    struct buf *texts;  /* [count]: of answers whose turn has not come */
    int count, written; /* of them, in order */
    struct buf out;
};

/* ---- an answer ---- */

static struct slice trimmed(struct slice s)
{
    while (s.len > 0 && strchr(" \t\r\n", s.at[s.len - 1]) != NULL)
        s.len--;
    return s;
}

/* "headers":{...}, where there are any. */
static void write_fields(struct buf *out, const struct inner_answer *answer)
{
    bool typed = answer->body.len > 0 && !answer->is_json && answer->type.len > 0;
    if (answer->fields.len == 0 && !typed)
        return;
    json_write_key(out, "headers");
    buf_addc(out, '{');
    struct slice lines = answer->fields;
    for (struct http_field field; field_lines_next(&lines, &field);) {
        buf_adds(out, out->at[out->len - 1] == '{' ? "" : ",");
        json_write_string(out, field.name);
        buf_addc(out, ':');
        json_write_string(out, field.value);
    }
    if (typed) {
        json_write_key(out, "Content-Type");
        json_write_string(out, answer->type);
    }
    buf_addc(out, '}');
}

static void write_answer(struct buf *out, struct slice id, const struct inner_answer *answer)
{
    struct slice body = answer->is_json ? trimmed(answer->body) : answer->body;
    buf_reserve(out, body.len + id.len + 64);
    buf_adds(out, "{\"id\":");
    buf_add(out, id.at, id.len);
    buf_adds(out, ",\"status\":");
    json_write_int(out, answer->status);
    write_fields(out, answer);
    buf_adds(out, ",\"body\":");
    if (body.len == 0)
        buf_adds(out, "null");
    else if (answer->is_json)
        buf_add(out, body.at, body.len);
    else
        json_write_string(out, body);
    buf_addc(out, '}');
}

/* ---- all of them ---- */

static void write_text(struct batch *b, struct slice text)
{
    buf_adds(&b->out, b->written++ > 0 ? "," : "[");
    buf_add(&b->out, text.at, text.len);
}

static void on_answered(void *arg, int index, const struct inner_answer *answer)
{
    struct batch *b = arg;
    if (index > b->written) {
        write_answer(&b->texts[index], b->items[index].id, answer);
        return;
    }
    buf_adds(&b->out, b->written++ > 0 ? "," : "[");
    write_answer(&b->out, b->items[index].id, answer);
    while (b->written < b->count && b->texts[b->written].len > 0) {
        struct buf *text = &b->texts[b->written];
        write_text(b, buf_slice(text));
        buf_deinit(text);
    }
}

static void give_back(void *arg)
{
    free(arg);
}

static bool is_wanted(void *arg)
{
    (void)arg;
    return false;
}

static void on_done(void *arg)
{
    struct batch *b = arg;
    buf_adds(&b->out, b->count > 0 ? "]\n" : "[]\n");
    struct answer answer = {.status = b->r->route->conf->status,
                            .body = buf_slice(&b->out),
                            .head = SLICE(REPLY_JSON_HEAD),
                            .age_us = -1,
                            .once = true};
    struct buf out = b->out;
    if (out.len > LEND_BYTES) {
        answer.release = give_back;
        answer.is_wanted = is_wanted;
        answer.arg = out.at;
    }
    reply_answer(b->r, &answer); /* b is the request's */
    if (answer.release == NULL)
        buf_deinit(&out);
}

static void on_gone(void *arg)
{
    struct batch *b = arg;
    inner_forget(&b->run);
    for (int i = 0; i < b->count; i++)
        buf_deinit(&b->texts[i]);
    buf_deinit(&b->out);
    reply_refuse(b->r, 503, "gone", NULL);
}

/* ---- beginning ---- */

static const struct inner_ask *make_asks(const struct batch *b, struct arena *arena)
{
    const struct conf *conf = b->r->service->conf;
    struct inner_ask *asks = arena_alloc(arena, (size_t)MAX(b->count, 1) * sizeof *asks);
    for (int i = 0; i < b->count; i++) {
        const struct batch_item *item = &b->items[i];
        asks[i] = (struct inner_ask){item->method, item->path, item->body, arena_printf(arena, "%d", i), {0}};
        if (item->path.len > (size_t)conf->max_uri_bytes)
            asks[i].refusal = (struct http_refusal){414, "uri_too_long", NULL};
    }
    return asks;
}

static void run(struct batch *b)
{
    const struct conf_route *conf = b->r->route->conf;
    struct arena *arena = inner_arena(b->run);
    b->texts = arena_alloc(b->r->arena, (size_t)MAX(b->count, 1) * sizeof *b->texts);
    b->r->http->gone = on_gone;
    b->r->http->handler_arg = b;
    inner_start(b->run, &(struct inner_work){.asks = make_asks(b, arena),
                                             .count = b->count,
                                             .concurrency = conf->concurrency,
                                             .max_bytes = (size_t)conf->max_answer_bytes,
                                             .answered = on_answered,
                                             .done = on_done,
                                             .arg = b});
}

/* ---- what is asked ---- */

/* Of a large body a thread does it: nobody else touches the run and r->problem meanwhile. */
static void read_items(void *arg)
{
    struct batch *b = arg;
    b->good = batch_items_read(b->body, b->r->route->conf->max_items, inner_arena(b->run), &b->items, &b->count,
                               &b->r->problem);
}

static void on_items(void *arg)
{
    struct batch *b = arg;
    struct inner_run *inner = b->run;
    doing_for(DOING_query, b->r->route->row);
    if (b->good && !http_is_gone(b->r->http)) {
        run(b);
        return;
    }
    if (b->good)
        reply_refuse(b->r, 503, "gone", NULL);
    else
        reply_problem(b->r); /* which points into the run's arena */
    inner_forget(&inner);
}

/* By a worker that ends: nobody answers any more. */
static void on_dropped(void *arg)
{
    struct batch *b = arg;
    inner_forget(&b->run);
    request_release(b->r);
}

void batch_start(struct request *r)
{
    static const struct offload_work work = {read_items, on_items, on_dropped};
    if (r->depth > 0) {
        reply_refuse(r, 400, "nested_batch", "a batch is no item of a batch");
        return;
    }
    struct batch *b = arena_alloc(r->arena, sizeof *b);
    b->r = r;
    b->run = inner_create(r, false);
    b->body = arena_copy(inner_arena(b->run), r->http->body);
    if (b->body.len > REQUEST_READ_AT_ONCE_BYTES && offload_start(r->service->offload, OFFLOAD_JSON, &work, b) != NULL)
        return;
    doing_for(DOING_params, r->route->row);
    read_items(b);
    on_items(b);
}
