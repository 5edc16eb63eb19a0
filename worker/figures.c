#include "worker/figures.h"
#include "common/clock.h"
#include "common/gzip.h"
#include "common/log.h"
#include "shm/doing.h"
#include "shm/openmetrics.h"
#include "shm/stats_json.h"
#include "worker/encoding.h"
#include "worker/offload.h"
#include "worker/reply.h"
#include "worker/weighted.h"

#include <stdio.h>
#include <stdlib.h>

/* No page of another origin has any use for them. */
#define OWN_HEAD "X-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\n"
#define VARY_HEAD "Vary: Accept\r\n"

typedef void write_figures(struct buf *out, struct stats_view *view, int64_t now_us);

struct figures {
    struct request *r; /* the loop's */
    struct slice head;
    write_figures *write;
    char *path;
    bool wants_gzip;
    struct buf body;
    struct slice gzip; /* in room; empty: none */
    char *room;
    struct err err; /* with a text: the file cannot be read */
};

/* ---- in a thread ---- */

static void write_metrics(struct buf *out, struct stats_view *view, int64_t now_us)
{
    struct snapshot *s = snapshot_take(view, now_us);
    openmetrics_write(out, s);
    snapshot_destroy(&s);
}

static void write_prometheus(struct buf *out, struct stats_view *view, int64_t now_us)
{
    struct snapshot *s = snapshot_take(view, now_us);
    openmetrics_write_prometheus(out, s);
    snapshot_destroy(&s);
}

static void write_stats(struct buf *out, struct stats_view *view, int64_t now_us)
{
    struct snapshot *s = snapshot_take(view, now_us);
    stats_json_write(out, s, view);
    snapshot_destroy(&s);
}

static void write_history(struct buf *out, struct stats_view *view, int64_t now_us)
{
    (void)now_us;
    stats_json_write_history(out, view);
}

static void compress(struct figures *f)
{
    struct gzip *gzip = gzip_create(GZIP_LEVEL_ONCE);
    f->room = xmalloc(f->body.len);
    f->gzip = gzip_whole(gzip, buf_slice(&f->body), f->room);
    gzip_destroy(&gzip);
}

static void run(void *arg)
{
    struct figures *f = arg;
    struct stats_view *view = stats_view_open(f->path, &f->err);
    if (view == NULL)
        return;
    f->write(&f->body, view, clock_wall_us());
    stats_view_close(&view);
    if (f->wants_gzip)
        compress(f);
}

/* ---- in the loop ---- */

static void figures_free(struct figures *f)
{
    buf_deinit(&f->body);
    free(f->room);
    free(f->path);
    free(f);
}

static void on_done(void *arg)
{
    static struct log_limit limit;
    struct figures *f = arg;
    doing(DOING_answer);
    const struct answer answer = {.status = 200,
                                  .body = buf_slice(&f->body),
                                  .gzip = f->gzip,
                                  .head = f->head,
                                  .age_us = -1,
                                  .varies = f->r->service->conf->compress};
    if (f->err.text[0] == '\0') {
        reply_answer(f->r, &answer);
    } else {
        if (log_limit_pass(&limit, 10 * US_PER_S, clock_mono_us()))
            log_warn("statistics are not to be had: %s", f->err.text);
        reply_refuse(f->r, 503, "statistics_unreadable", "its operator finds the reason in the error log");
    }
    figures_free(f);
}

/* By a worker that ends: nobody answers any more. */
static void on_drop(void *arg)
{
    struct figures *f = arg;
    request_release(f->r);
    figures_free(f);
}

/* Where the operator wants no threads, the loop does what they would. */
static void start(struct request *r, write_figures *write, struct slice head)
{
    static const struct offload_work work = {run, on_done, on_drop};
    const struct service *s = r->service;
    struct figures *f = xcalloc(1, sizeof *f);
    f->r = r;
    f->head = head;
    f->write = write;
    f->wants_gzip = s->conf->compress && encoding_takes_gzip(http_list_in(r->http, "Accept-Encoding", r->arena));
    CHECK(asprintf(&f->path, "%s/perfd.stats", s->conf->run_dir) > 0);
    if (s->offload != NULL && offload_start(s->offload, OFFLOAD_STATS, &work, f) != NULL)
        return;
    if (s->offload == NULL) {
        run(f);
        on_done(f);
        return;
    }
    figures_free(f);
    reply_refuse(r, 503, "busy", "too much else waits for a thread");
}

/* ---- what is asked for ---- */

/* The weight of a type in Accept; the closest of its names counts. */
static int weight_of(struct slice accept, const char *type, const char *family)
{
    int closeness = -1, weight = 0;
    const char *const names[] = {"*/*", family, type};
    for (struct weighted one; weighted_next(&accept, &one);)
        for (int i = 0; i < (int)ARRAY_LEN(names); i++)
            if (weighted_is(one.name, names[i]) && i >= closeness) {
                closeness = i;
                weight = one.weight;
            }
    return weight;
}

void figures_metrics(struct request *r)
{
    struct slice accept = http_list_in(r->http, "Accept", r->arena);
    int open = weight_of(accept, "application/openmetrics-text", "application/*");
    int plain = weight_of(accept, "text/plain", "text/*");
    if (plain > open)
        start(r, write_prometheus, SLICE("Content-Type: " PROMETHEUS_TYPE "\r\n" VARY_HEAD OWN_HEAD));
    else
        start(r, write_metrics, SLICE("Content-Type: " OPENMETRICS_TYPE "\r\n" VARY_HEAD OWN_HEAD));
}

void figures_stats(struct request *r)
{
    start(r, write_stats, SLICE(REPLY_JSON_HEAD OWN_HEAD));
}

void figures_history(struct request *r)
{
    start(r, write_history, SLICE(REPLY_JSON_HEAD OWN_HEAD));
}
