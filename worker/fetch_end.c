#include "common/clock.h"
#include "worker/fetch_state.h"
#include "worker/reply.h"

/* Time-outs are rounded to milliseconds. */
#define ROUNDED_US (2 * US_PER_MS)

bool fetch_ran_out(const struct fetch *f)
{
    return f->r->problem.status == 504 && clock_mono_us() >= f->r->deadline_us - ROUNDED_US;
}

void fetch_finish_flight(struct fetch *f, enum flight_end end, int status)
{
    const struct service *s = f->r->service;
    if (f->ticket.role == FLIGHT_OWNER)
        flight_finish(s->shared->flights, &f->ticket, s->proc, end, status, s->shared->wake_fd);
    f->ticket.role = FLIGHT_UNSHARED;
}

static void end_refresh(struct fetch *f)
{
    f->r->service->in_flight--;
    request_release(f->r);
}

void fetch_answer(struct fetch *f, enum source source, struct cache_entry *entry, bool lent, int64_t now_us)
{
    if (!f->refreshes) {
        lookup_answer(&f->lookup, source, entry, lent, now_us);
        return;
    }
    if (lent)
        cache_release(entry);
    end_refresh(f);
}

bool fetch_answer_spare(struct fetch *f)
{
    struct cache_entry entry;
    int64_t now_us = clock_mono_us();
    if (f->lookup.rules.stale_if_error_us == 0 || lookup_find(&f->lookup, now_us, &entry) == CACHE_MISS)
        return false;
    if (entry.negative || entry.uncacheable) {
        cache_release(&entry);
        return false;
    }
    if (!f->refreshes)
        service_count(f->r->service, STAT_cache_stale);
    fetch_answer(f, SOURCE_STALE, &entry, true, now_us);
    return true;
}

void fetch_answer_failure(struct fetch *f, enum source source)
{
    struct request *r = f->r;
    if (f->refreshes) {
        end_refresh(f);
    } else if (r->problem.status < 500 || !fetch_answer_spare(f)) {
        r->source = source;
        reply_problem(r);
    }
}

void fetch_fail(struct fetch *f, enum source source, int status, const char *code, const char *detail)
{
    f->r->problem.status = status;
    f->r->problem.code = code;
    f->r->problem.detail = detail;
    fetch_answer_failure(f, source);
}

bool fetch_answer_cached(struct fetch *f, enum source source, uint64_t least_born_seq)
{
    struct cache_entry entry;
    int64_t now_us = clock_mono_us();
    enum cache_state state = lookup_find(&f->lookup, now_us, &entry);
    if (state == CACHE_MISS)
        return false;
    if (state != CACHE_FRESH || entry.uncacheable || entry.born_seq < least_born_seq ||
        entry.fresh_until_us <= f->known_until_us) {
        cache_release(&entry);
        return false;
    }
    if (!f->refreshes)
        service_count(f->r->service, STAT_cache_coalesced);
    fetch_answer(f, source, &entry, true, now_us);
    return true;
}
