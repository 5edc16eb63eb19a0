#include "worker/freshness.h"
#include "common/clock.h"
#include "worker/field_lines.h"
#include "worker/http_date.h"

/* RFC 9111 4.2.2: a tenth of the time since it was changed last. */
enum { HEURISTIC_SHARE = 10 };
/* Ends are early by up to this share. */
enum { SPREAD_SHARE = 20 };

/* What the functions below look at. */
struct view {
    const struct freshness_answer *answer;
    const struct freshness_rules *rules;
    struct arena *arena;
    struct cache_control cc;
    int64_t date_us; /* wall clock: when the upstream made it */
};

/* RFC 9110 15.1: these may be kept although the upstream does not say for how long. */
static bool is_cacheable_by_default(int status)
{
    static const int statuses[] = {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501};
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        if (statuses[i] == status)
            return true;
    return false;
}

/* A part is of one range, 304 of what somebody holds: neither is an answer of its own. */
static bool is_whole(int status)
{
    return status >= 200 && status != 206 && status != 304;
}

static struct slice find(const struct view *v, const char *name)
{
    return field_lines_find(v->answer->fields, name);
}

static bool has(const struct view *v, const char *name)
{
    return find(v, name).at != NULL;
}

static bool date_in(const struct view *v, const char *name, int64_t *us_out)
{
    int64_t s;
    struct slice text = find(v, name);
    if (text.at == NULL || !http_date_parse(text, v->answer->wall_us / US_PER_S, &s))
        return false;
    *us_out = s * US_PER_S;
    return true;
}

/* ---- age: RFC 9111 4.2.3 ---- */

static int64_t age_value_us(const struct view *v)
{
    struct slice list = find(v, "Age");
    const char *comma = list.len > 0 ? memchr(list.at, ',', list.len) : NULL;
    if (comma != NULL) /* of several the first counts (5.1) */
        list.len = (size_t)(comma - list.at);
    return MAX(cache_control_seconds(list), INT64_C(0)) * US_PER_S;
}

static int64_t age_us(const struct view *v)
{
    int64_t apparent_us = MAX(v->answer->wall_us - v->date_us, INT64_C(0)) / US_PER_S * US_PER_S;
    return MAX(apparent_us, age_value_us(v) + v->answer->delay_us);
}

/* ---- how long it is fresh: RFC 9111 4.2.1 and 4.2.2 ---- */

static bool is_explicit(const struct view *v)
{
    return v->cc.s_maxage_s >= 0 || v->cc.max_age_s >= 0 || has(v, "Expires");
}

static int64_t heuristic_us(const struct view *v)
{
    int64_t modified_us;
    if (!(is_cacheable_by_default(v->answer->status) || v->cc.is_public) || !date_in(v, "Last-Modified", &modified_us))
        return 0;
    return MIN(MAX(v->date_us - modified_us, INT64_C(0)) / HEURISTIC_SHARE, v->rules->heuristic_us);
}

static int64_t lifetime_us(const struct view *v)
{
    int64_t expires_us;
    if (v->cc.s_maxage_s >= 0)
        return v->cc.s_maxage_s * US_PER_S;
    if (v->cc.max_age_s >= 0)
        return v->cc.max_age_s * US_PER_S;
    if (has(v, "Expires")) /* what is no date, such as 0, is over (5.3) */
        return date_in(v, "Expires", &expires_us) ? MAX(expires_us - v->date_us, INT64_C(0)) : 0;
    return heuristic_us(v);
}

/* Counted from when it came, where the route says. 0: it does not. */
static int64_t own_us(const struct view *v)
{
    if (!is_cacheable_by_default(v->answer->status))
        return 0;
    return v->answer->status < 400 ? v->rules->ttl_us : v->rules->negative_us;
}

/* no-cache says that it is never fresh, and may not be used as if it were. A route's own time is instead of that. */
static bool is_asked_about_each_time(const struct view *v)
{
    return v->cc.no_cache && own_us(v) == 0;
}

static int64_t fresh_us(const struct view *v)
{
    int64_t own = own_us(v), left_us = own > 0 ? own : lifetime_us(v) - age_us(v);
    return is_asked_about_each_time(v) ? MIN(left_us, INT64_C(0)) : left_us;
}

/* ---- whether it may be stored: RFC 9111 3 ---- */

static bool varies_by_all(const struct view *v)
{
    struct slice list = field_lines_list(v->answer->fields, "Vary", v->arena);
    return list.len > 0 && memchr(list.at, '*', list.len) != NULL;
}

static bool is_shareable(const struct view *v)
{
    return v->cc.is_public || v->cc.s_maxage_s >= 0 || v->cc.must_revalidate;
}

static bool has_validator(const struct view *v)
{
    return has(v, "ETag") || has(v, "Last-Modified");
}

static bool is_forbidden(const struct view *v)
{
    const struct cache_control *cc = &v->cc;
    bool understood = cc->must_understand && is_cacheable_by_default(v->answer->status);
    return !is_whole(v->answer->status) || (cc->no_store && !understood) || cc->is_private || varies_by_all(v) ||
           (has(v, "Set-Cookie") && !cc->is_public) || (v->answer->with_credentials && !is_shareable(v));
}

static bool is_storable(const struct view *v)
{
    bool may_be = is_explicit(v) || v->cc.is_public || is_cacheable_by_default(v->answer->status);
    return !is_forbidden(v) && may_be;
}

/* ---- what is stale: RFC 9111 4.2.4 ---- */

static bool may_be_stale(const struct view *v)
{
    const struct cache_control *cc = &v->cc;
    return !is_asked_about_each_time(v) && !cc->must_revalidate && !cc->proxy_revalidate && cc->s_maxage_s < 0;
}

static int64_t window_us(int64_t own_us, int64_t said_s)
{
    return own_us > 0 ? own_us : MAX(said_s, INT64_C(0)) * US_PER_S;
}

struct freshness freshness_of(const struct freshness_answer *answer, const struct freshness_rules *rules,
                              struct arena *arena)
{
    struct view v = {.answer = answer, .rules = rules, .arena = arena, .date_us = answer->wall_us};
    v.cc = cache_control_parse(field_lines_list(answer->fields, "Cache-Control", arena));
    (void)(date_in(&v, "Date", &v.date_us));
    struct freshness f = {.storable = is_storable(&v),
                          .forbidden = is_forbidden(&v),
                          .shareable = is_shareable(&v),
                          .has_validator = has_validator(&v),
                          .age_us = age_us(&v),
                          .fresh_us = fresh_us(&v)};
    if (may_be_stale(&v)) {
        f.stale_us = window_us(rules->stale_us, v.cc.stale_while_revalidate_s);
        f.stale_if_error_us = window_us(rules->stale_if_error_us, v.cc.stale_if_error_s);
    }
    /* Of no use to anybody. */
    if (f.fresh_us + MAX(f.stale_us, f.stale_if_error_us) <= 0 && !f.has_validator)
        f.storable = false;
    return f;
}

int64_t freshness_spread_us(int64_t fresh_us, double uniform)
{
    return fresh_us <= 0 ? fresh_us : fresh_us - (int64_t)((double)(fresh_us / SPREAD_SHARE) * uniform);
}
