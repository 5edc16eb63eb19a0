#include "worker/reply.h"
#include "common/clock.h"
#include "common/digits.h"
#include "shm/doing.h"
#include "worker/access_log.h"
#include "worker/compress.h"
#include "worker/cors.h"
#include "worker/encoding.h"
#include "worker/tally.h"
#include "worker/trace.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* What nginx logs for a consumer that did not wait: it goes over no wire. */
enum { STATUS_GONE = 499 };
enum { HEADERS_MAX = 15 + CORS_FIELDS_MAX };
/* Compressed, a strong entity tag must differ: RFC 9110 8.8.3.3. */
#define GZIP_SUFFIX "-gz\""
enum { GZIP_ETAG_BYTES = CACHE_ETAG_BYTES + sizeof GZIP_SUFFIX };

/* Of most answers, in one piece. */
#define HIT_LINES "Cache-Control: no-cache\r\nX-Cache: HIT\r\n"
#define HIT_TIMING "Server-Timing: cache;desc=HIT\r\n"

struct headers {
    struct http_header at[HEADERS_MAX];
    int count;
};

static void add(struct headers *h, struct slice name, struct slice value)
{
    CHECK(h->count < HEADERS_MAX);
    h->at[h->count++] = (struct http_header){name, value};
}

static void add_lines(struct headers *h, struct slice lines)
{
    add(h, SLICE(""), lines);
}

void reply_etag(struct slice body, struct slice own_head, char etag_out[CACHE_ETAG_BYTES])
{
    uint64_t seed = own_head.len > 0 ? XXH3_64bits(own_head.at, own_head.len) : 0;
    XXH128_hash_t hash = XXH3_128bits_withSeed(body.at, body.len, seed);
    char high[HEX16_BYTES], low[HEX16_BYTES];
    _Static_assert(CACHE_ETAG_BYTES > 2 * HEX16_BYTES, "quotes, twice the digits, a NUL");
    digits_hex(hash.high64, high);
    digits_hex(hash.low64, low);
    char *at = etag_out;
    *at++ = '"';
    at = mempcpy(mempcpy(at, high, HEX16_BYTES - 1), low, HEX16_BYTES - 1);
    memcpy(at, "\"", 2);
}

/* ---- the one end of all requests ---- */

static enum route_hist histogram_of(const struct request *r, int status)
{
    if (status >= 400)
        return ROUTE_HIST_error;
    return r->source == SOURCE_HIT || r->source == SOURCE_STALE ? ROUTE_HIST_hit : ROUTE_HIST_miss;
}

static void judge(const struct request *r, int64_t took_us)
{
    int64_t objective_us = r->route->conf->objective_us;
    if (objective_us > 0)
        stats_route_add(r->service->stats, r->service->slot, r->route->row,
                        took_us > objective_us ? ROUTE_STAT_over_objective : ROUTE_STAT_within_objective, 1);
}

static void count_route(const struct request *r, int status, size_t sent, int64_t took_us)
{
    struct stats *stats = r->service->stats;
    int slot = r->service->slot, row = r->route->row;
    stats_route_add(stats, slot, row, ROUTE_STAT_requests, 1);
    stats_route_add(stats, slot, row, ROUTE_STAT_sent_bytes, (int64_t)sent);
    if (r->source == SOURCE_HIT)
        stats_route_add(stats, slot, row, ROUTE_STAT_hits, 1);
    else if (r->source == SOURCE_STALE)
        stats_route_add(stats, slot, row, ROUTE_STAT_stale, 1);
    else if (r->source == SOURCE_COALESCED)
        stats_route_add(stats, slot, row, ROUTE_STAT_coalesced, 1);
    else if (r->source == SOURCE_REDIS)
        stats_route_add(stats, slot, row, ROUTE_STAT_redis_hits, 1);
    if (status == 304)
        stats_route_add(stats, slot, row, ROUTE_STAT_not_modified, 1);
    else if (status >= 500)
        stats_route_add(stats, slot, row, ROUTE_STAT_errors_5xx, 1);
    else if (status >= 400)
        stats_route_add(stats, slot, row, ROUTE_STAT_errors_4xx, 1);
    stats_route_observe(stats, slot, row, histogram_of(r, status), took_us);
    judge(r, took_us);
    tally_add(r, status);
}

static struct slice source_name(enum source source)
{
    switch (source) {
    case SOURCE_HIT:
        return SLICE("HIT");
    case SOURCE_STALE:
        return SLICE("STALE");
    case SOURCE_COALESCED:
        return SLICE("COALESCED");
    case SOURCE_REDIS:
        return SLICE("REDIS");
    case SOURCE_MISS:
        return SLICE("MISS");
    case SOURCE_NONE:
        break;
    }
    return slice_of(NULL, 0);
}

static struct slice allow_of(const struct request *r)
{
    return r->place ? slice_str(router_allow(r->place)) : SLICE("GET, HEAD, OPTIONS");
}

static void add_duration(struct buf *text, const char *name, int64_t us)
{
    char digits[DIGITS_BYTES];
    if (us < 0)
        return;
    struct slice ms = digits_of((uint64_t)(us / US_PER_MS), digits);
    buf_adds(text, text->len > 0 ? ", " : "");
    buf_adds(text, name);
    buf_adds(text, ";dur=");
    buf_add(text, ms.at, ms.len);
    struct slice rest = digits_of((uint64_t)(US_PER_MS + us % US_PER_MS), digits); /* 1 and three digits */
    buf_addc(text, '.');
    buf_add(text, rest.at + 1, rest.len - 1);
}

static void add_source(struct buf *text, enum source source)
{
    struct slice name = source_name(source);
    buf_adds(text, "cache;desc=");
    buf_add(text, name.at, name.len);
}

/* https://www.w3.org/TR/server-timing/: milliseconds. A hit has no parts: HIT_TIMING is all. */
static void add_timing(struct headers *h, const struct request *r, int64_t took_us)
{
    if (!r->service->conf->server_timing || r->source == SOURCE_HIT)
        return;
    struct buf text = {0};
    if (r->source != SOURCE_NONE)
        add_source(&text, r->source);
    add_duration(&text, "queue", r->wait_us);
    add_duration(&text, r->outgoing ? "upstream" : "db", r->run_us);
    add_duration(&text, "total", took_us);
    add(h, SLICE("Server-Timing"), arena_copy(r->arena, buf_slice(&text)));
    buf_deinit(&text);
}

static void add_common(struct headers *h, const struct request *r)
{
    add(h, SLICE("X-Request-Id"), r->id);
    if (r->rate != NULL)
        add_lines(h, r->rate->fields);
    if (r->service->conf->cors.set && !r->of_admin)
        h->count += cors_fields(r->service->conf, r->http, allow_of(r), r->arena, h->at + h->count);
}

static void log_request(const struct request *r, int status, size_t sent, bool cut, int64_t took_us)
{
    bool combined = r->service->conf->access_log_format == ACCESS_LOG_COMBINED;
    access_log_write(r->service->access_log,
                     &(struct access_line){.request_id = r->id.at,
                                           .remote = r->http->remote,
                                           .method = http_method_names[r->http->method],
                                           .target = r->http->target,
                                           .minor = r->http->head != NULL ? r->http->head->minor : 1,
                                           .referer = combined ? http_header_in(r->http, "Referer") : SLICE(""),
                                           .user_agent = combined ? http_header_in(r->http, "User-Agent") : SLICE(""),
                                           .trace_id = trace_id(http_header_in(r->http, "traceparent")),
                                           .route = r->route ? r->route->conf->name : NULL,
                                           .cache = source_name(r->source).at,
                                           .sqlstate = r->sqlstate,
                                           .status = http_is_gone(r->http) ? STATUS_GONE : status,
                                           .cut = cut,
                                           .sent_bytes = sent,
                                           .took_us = took_us,
                                           .wait_us = r->wait_us,
                                           .database_us = r->run_us});
}

static void count_request(struct service *s, int status, size_t sent, int64_t took_us)
{
    service_count(s, STAT_requests);
    stats_observe(s->stats, s->slot, HIST_answer, took_us);
    stats_add(s->stats, s->slot, STAT_sent_bytes, (int64_t)sent);
    if (status >= 500)
        service_count(s, STAT_responses_5xx);
    else if (status >= 400)
        service_count(s, STAT_responses_4xx);
}

static struct http_origin origin_of(const struct request *r)
{
    struct http_origin origin = r->origin;
    origin.foreign = r->route != NULL && r->route->conf->from == FROM_UPSTREAM;
    origin.lags |= r->source == SOURCE_HIT || r->source == SOURCE_STALE || r->source == SOURCE_COALESCED;
    return origin;
}

/* What is told of it before its exchange ends. */
static void account(struct request *r, int status, size_t sent, bool cut, int64_t now_us)
{
    struct service *s = r->service;
    int64_t took_us = now_us - r->started_us;
    if (r->of_admin)
        service_count(s, STAT_admin_requests); /* who looks shall not see himself */
    else if (r->http->taker == NULL)
        count_request(s, status, sent, took_us);
    else
        service_count(s, STAT_inner_requests);
    if (r->route != NULL)
        count_route(r, status, sent, took_us);
    if (access_log_is_on(s->access_log))
        log_request(r, status, sent, cut, took_us);
    s->in_flight--;
    r->http->ended_us = now_us;
    r->http->origin = origin_of(r);
}

static void request_finish(struct request *r, int status, struct headers *h, const struct http_body *body)
{
    int64_t now_us = clock_mono_us();
    doing_for(DOING_answer, r->route != NULL ? r->route->row : 0);
    if (r->http->taker == NULL) {
        add_common(h, r);
        add_timing(h, r, now_us - r->started_us);
    }
    account(r, status, r->http->method == HTTP_HEAD ? 0 : body->bytes.len, false, now_us);
    http_reply(r->http, status, h->at, h->count, body);
    r->http = NULL;
    request_release(r);
}

/* ---- answers ---- */

/* RFC 9110 13.1.2: a list of entity tags or `*`, compared weakly. */
static bool none_match(struct slice list, const char *etag)
{
    size_t len = strlen(etag);
    if (slice_is(list, "*"))
        return true;
    for (const char *at = list.at, *end = list.at + list.len; at != NULL && at < end; at++) {
        if (*at != '"')
            continue;
        const char *close = memchr(at + 1, '"', (size_t)(end - at - 1));
        if (close == NULL)
            return false;
        if ((size_t)(close + 1 - at) == len && memcmp(at, etag, len) == 0)
            return true;
        at = close;
    }
    return false;
}

static void gzip_etag(const char *etag, char gzip_out[GZIP_ETAG_BYTES])
{
    memcpy(mempcpy(gzip_out, etag, strlen(etag) - 1), GZIP_SUFFIX, sizeof GZIP_SUFFIX);
}

/* Adds the tag of what is sent. True: the consumer has it already; whichever coding it holds, its copy is as good as
 * the other, and its own tag tells it which one is meant. */
static bool add_etag(struct headers *h, struct request *r, const char *etag, bool gzip)
{
    struct slice held = http_list_in(r->http, "If-None-Match", r->arena);
    if (!gzip && held.len == 0) {
        add(h, SLICE("ETag"), slice_str(etag));
        return false;
    }
    char *gzipped = arena_bytes(r->arena, GZIP_ETAG_BYTES);
    gzip_etag(etag, gzipped);
    const char *sent = gzip ? gzipped : etag, *other = gzip ? etag : gzipped;
    bool has_sent = held.len > 0 && none_match(held, sent), has_other = held.len > 0 && none_match(held, other);
    add(h, SLICE("ETag"), slice_str(has_other && !has_sent ? other : sent));
    return has_sent || has_other;
}

static struct slice cache_control_of(const struct request *r)
{
    if (r->method != METHOD_GET)
        return SLICE("no-store");
    return r->personal ? SLICE("private, no-cache") : SLICE("no-cache");
}

/* Consumers keep what they got but ask each time whether it still holds, so that they read their own writes. */
static void add_cache_fields(struct headers *h, const struct request *r, const struct answer *answer)
{
    if (r->source == SOURCE_HIT) {
        add_lines(h, r->service->conf->server_timing ? SLICE(HIT_LINES HIT_TIMING) : SLICE(HIT_LINES));
    } else {
        add(h, SLICE("Cache-Control"), cache_control_of(r));
        if (r->source != SOURCE_NONE)
            add(h, SLICE("X-Cache"), source_name(r->source));
    }
    if (answer->varies)
        add(h, SLICE("Vary"), SLICE("Accept-Encoding"));
    if (answer->vary.len > 0)
        add(h, SLICE("Vary"), answer->vary);
    if (answer->age_us >= 0)
        add(h, SLICE("Age"), digits_of((uint64_t)(answer->age_us / US_PER_S), arena_bytes(r->arena, DIGITS_BYTES)));
}

/* RFC 9110 13.2.1: whether the consumer has it already is of interest where it would succeed. */
static void send_answer(struct request *r, const struct answer *answer)
{
    struct headers h;
    int status = answer->status;
    h.count = 0;
    bool gzip = answer->gzip.len > 0 && encoding_takes_gzip(http_list_in(r->http, "Accept-Encoding", r->arena));
    struct http_body body = {gzip ? answer->gzip : answer->body, answer->release, answer->is_wanted, answer->arg};
    if (r->method == METHOD_GET && answer->etag != NULL && status < 300 && add_etag(&h, r, answer->etag, gzip)) {
        status = 304;
        body.bytes = slice_of("", 0);
    }
    if (status != 304)
        add_lines(&h, answer->head);
    if (status != 304 && gzip)
        add(&h, SLICE("Content-Encoding"), SLICE("gzip"));
    add_cache_fields(&h, r, answer);
    request_finish(r, status, &h, &body);
}

/* The consumer has it already, by either tag. */
static bool is_held(struct request *r, const struct answer *answer)
{
    struct headers ignored = {.count = 0};
    return r->method == METHOD_GET && answer->etag != NULL && add_etag(&ignored, r, answer->etag, true);
}

/* An answer whose body is being compressed. */
struct waiting {
    struct request *r;
    struct answer answer;
};

static void on_compressed(void *arg, struct slice body, struct slice gzip)
{
    struct waiting *w = arg;
    w->answer.body = body;
    w->answer.gzip = gzip;
    if (gzip.len > 0)
        service_count(w->r->service, STAT_compressed_answers);
    send_answer(w->r, &w->answer);
}

/* A body that was borrowed is given back: a copy of it is sent. */
static void give_back(const struct answer *lent, struct answer *copy)
{
    if (lent->release != NULL)
        lent->release(lent->arg);
    copy->release = NULL;
}

/* What the answer points to, the body apart, is copied: its owner goes on. */
static void compress_answer(struct request *r, const struct answer *answer)
{
    struct slice gzip;
    struct waiting *w = arena_alloc(r->arena, sizeof *w);
    *w = (struct waiting){r, *answer};
    if (!compress_body(r->service, answer->body, &gzip, on_compressed, w)) {
        give_back(answer, &w->answer);
        w->answer.head = arena_copy(r->arena, answer->head);
        w->answer.etag = answer->etag != NULL ? arena_str(r->arena, slice_str(answer->etag)) : NULL;
        r->http->gone = NULL; /* what it was to stop is over */
        return;
    }
    if (gzip.len > 0)
        give_back(answer, &w->answer);
    on_compressed(w, answer->body, gzip);
}

void reply_answer(struct request *r, const struct answer *answer)
{
    struct answer mine = *answer;
    bool could = answer->once && answer->body.len >= CACHE_GZIP_LEAST_BYTES && compress_is_on(r);
    mine.varies |= could;
    if (could && answer->gzip.len == 0 && compress_is_wanted(r) && !is_held(r, answer))
        compress_answer(r, &mine);
    else
        send_answer(r, &mine);
}

void reply_stream_begin(struct request *r, struct slice head, bool gzip)
{
    struct headers h;
    h.count = 0;
    add_lines(&h, head);
    if (gzip)
        add_lines(&h, SLICE("Content-Encoding: gzip\r\n"));
    add_cache_fields(&h, r, &(struct answer){.age_us = -1, .varies = compress_is_on(r)});
    add_common(&h, r);
    service_count(r->service, STAT_streams);
    if (gzip)
        service_count(r->service, STAT_compressed_answers);
    http_stream_begin(r->http, r->route->conf->status, h.at, h.count);
}

void reply_stream_end(struct request *r, size_t sent_bytes, bool whole)
{
    if (!whole)
        service_count(r->service, STAT_streams_cut);
    account(r, r->route->conf->status, r->http->method == HTTP_HEAD ? 0 : sent_bytes, !whole, clock_mono_us());
    http_stream_end(r->http, whole);
    r->http = NULL;
    request_release(r);
}

void reply_options(struct request *r)
{
    struct headers h = {0};
    add(&h, SLICE("Allow"), allow_of(r));
    request_finish(r, 204, &h, &(struct http_body){0});
}

void reply_problem(struct request *r)
{
    struct headers h = {0};
    struct buf body = {0};
    char digits[DIGITS_BYTES];
    problem_write(&r->problem, r->id.at, &body);
    r->http->problem = &r->problem;
    add(&h, SLICE("Content-Type"), SLICE("application/problem+json"));
    add(&h, SLICE("Cache-Control"), SLICE("no-store"));
    if (r->source == SOURCE_HIT && r->service->conf->server_timing)
        add_lines(&h, SLICE(HIT_TIMING));
    if (r->problem.status == 405)
        add(&h, SLICE("Allow"), allow_of(r));
    if (r->problem.status == 429 && r->rate != NULL)
        add(&h, SLICE("Retry-After"), digits_of((uint64_t)r->rate->retry_after_s, digits));
    else if (r->problem.status == 429 || r->problem.status == 503)
        add(&h, SLICE("Retry-After"), SLICE("1"));
    request_finish(r, r->problem.status, &h, &(struct http_body){.bytes = buf_slice(&body)});
    buf_deinit(&body);
}

void reply_refuse(struct request *r, int status, const char *code, const char *detail)
{
    r->problem.status = status;
    r->problem.code = code;
    r->problem.detail = detail;
    reply_problem(r);
}
