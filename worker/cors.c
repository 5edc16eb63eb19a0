#include "worker/cors.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/digits.h"

#include <strings.h>

/* What stands for the star is a name below the rest, however many labels it has. */
static bool fits(const char *pattern, struct slice origin)
{
    const char *star = strchr(pattern, '*');
    if (star == NULL)
        return slice_is(origin, pattern);
    size_t before = (size_t)(star - pattern), after = strlen(star + 1);
    return origin.len > before + after && memcmp(origin.at, pattern, before) == 0 &&
           memcmp(origin.at + origin.len - after, star + 1, after) == 0 &&
           memchr(origin.at + before, '/', origin.len - before) == NULL;
}

static bool is_allowed(const struct conf_strings *origins, struct slice origin)
{
    for (int i = 0; i < origins->count; i++)
        if (fits(origins->at[i], origin))
            return true;
    return false;
}

static struct slice joined(const struct conf_strings *list, struct arena *arena)
{
    struct buf text = {0};
    for (int i = 0; i < list->count; i++) {
        buf_adds(&text, i > 0 ? ", " : "");
        buf_adds(&text, list->at[i]);
    }
    struct slice copy = arena_copy(arena, buf_slice(&text));
    buf_deinit(&text);
    return copy;
}

static void add(struct http_header *out, int *count, struct slice name, struct slice value)
{
    out[(*count)++] = (struct http_header){name, value};
}

static void add_preflight(const struct conf *conf, const struct http_request *request, struct slice allow,
                          struct arena *arena, struct http_header *out, int *count)
{
    struct slice asked = http_header_in(request, "Access-Control-Request-Headers");
    add(out, count, SLICE("Access-Control-Allow-Methods"), allow);
    if (conf->cors.headers.count > 0)
        add(out, count, SLICE("Access-Control-Allow-Headers"), joined(&conf->cors.headers, arena));
    else if (asked.len > 0)
        add(out, count, SLICE("Access-Control-Allow-Headers"), arena_copy(arena, asked));
    add(out, count, SLICE("Access-Control-Max-Age"),
        digits_of((uint64_t)(conf->cors.max_age_us / US_PER_S), arena_bytes(arena, DIGITS_BYTES)));
}

int cors_fields(const struct conf *conf, const struct http_request *request, struct slice allow, struct arena *arena,
                struct http_header out[CORS_FIELDS_MAX])
{
    int count = 0;
    struct slice origin = http_header_in(request, "Origin");
    if (!conf->cors.set)
        return 0;
    bool everybody = strcmp(conf->cors.origins.at[0], "*") == 0;
    if (!everybody)
        add(out, &count, SLICE("Vary"),
            SLICE("Origin")); /* also for who sends none: caches between would mix them up */
    if (origin.len == 0 || (!everybody && !is_allowed(&conf->cors.origins, origin)))
        return count;
    add(out, &count, SLICE("Access-Control-Allow-Origin"), everybody ? SLICE("*") : arena_copy(arena, origin));
    if (conf->cors.credentials)
        add(out, &count, SLICE("Access-Control-Allow-Credentials"), SLICE("true"));
    if (conf->cors.expose.count > 0)
        add(out, &count, SLICE("Access-Control-Expose-Headers"), joined(&conf->cors.expose, arena));
    if (request->method == HTTP_OPTIONS && http_header_in(request, "Access-Control-Request-Method").at != NULL)
        add_preflight(conf, request, allow, arena, out, &count);
    return count;
}
