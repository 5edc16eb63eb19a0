#include "worker/upstream_uri.h"
#include "common/buf.h"
#include "shm/tags.h"

#include <ctype.h>

static struct slice behind(struct slice s, size_t bytes)
{
    return slice_of(s.at + bytes, s.len - bytes);
}

static size_t span_to(struct slice s, const char *any)
{
    size_t len = 0;
    while (len < s.len && strchr(any, s.at[len]) == NULL)
        len++;
    return len;
}

/* scheme://host:port in lower case, without the port that is the scheme's own. */
static void add_origin(struct buf *out, struct slice origin)
{
    const char *port = slice_begins(origin, SLICE("https:")) ? ":443" : ":80";
    size_t len = strlen(port);
    if (origin.len > len && memcmp(origin.at + origin.len - len, port, len) == 0)
        origin.len -= len;
    for (size_t i = 0; i < origin.len; i++)
        buf_addc(out, (char)tolower((unsigned char)origin.at[i]));
}

static bool same_origin(const struct conf_upstream *conf, struct slice origin)
{
    struct buf one = {0}, other = {0};
    add_origin(&one, slice_str(conf->origin));
    add_origin(&other, origin);
    bool same = slice_eq(buf_slice(&one), buf_slice(&other));
    buf_deinit(&one);
    buf_deinit(&other);
    return same;
}

/* path_and_query: from the root of the host on. */
static uint32_t slot_of(const struct conf_upstream *conf, struct slice path_and_query)
{
    struct buf tag = {0};
    add_origin(&tag, slice_str(conf->origin));
    buf_add(&tag, path_and_query.at, path_and_query.len);
    uint32_t slot = tags_slot(buf_slice(&tag));
    buf_deinit(&tag);
    return slot;
}

static void add_target(struct buf *out, const struct conf_upstream *conf, struct slice target)
{
    buf_adds(out, conf->base);
    buf_add(out, target.at, target.len);
}

uint32_t upstream_uri_slot(const struct conf_upstream *conf, struct slice target)
{
    struct buf whole = {0};
    add_target(&whole, conf, target);
    uint32_t slot = slot_of(conf, buf_slice(&whole));
    buf_deinit(&whole);
    return slot;
}

static void drop_last_segment(struct buf *path)
{
    while (path->len > 0 && path->at[--path->len] != '/')
        ;
}

/* RFC 3986 5.2.4, of a path that begins with a slash. */
static void add_without_dots(struct buf *out, struct slice path)
{
    while (path.len > 0) {
        size_t len = 1 + span_to(behind(path, 1), "/");
        struct slice segment = slice_of(path.at + 1, len - 1);
        path = behind(path, len);
        bool dot = slice_is(segment, "."), dots = slice_is(segment, "..");
        if (dots)
            drop_last_segment(out);
        if (!dot && !dots) {
            buf_addc(out, '/');
            buf_add(out, segment.at, segment.len);
        } else if (path.len == 0) {
            buf_addc(out, '/');
        }
    }
}

/* base: the path and query that the reference stands behind. It has neither scheme nor authority. */
static uint32_t slot_beside(const struct conf_upstream *conf, struct slice base, struct slice reference)
{
    struct buf path = {0}, whole = {0};
    size_t path_len = span_to(reference, "?");
    if (path_len == 0) {
        buf_add(&path, base.at, span_to(base, reference.len > 0 ? "?" : ""));
    } else if (reference.at[0] != '/') {
        buf_add(&path, base.at, span_to(base, "?"));
        drop_last_segment(&path);
        buf_addc(&path, '/');
    }
    buf_add(&path, reference.at, path_len);
    add_without_dots(&whole, buf_slice(&path));
    buf_add(&whole, reference.at + path_len, reference.len - path_len);
    uint32_t slot = slot_of(conf, buf_slice(&whole));
    buf_deinit(&path);
    buf_deinit(&whole);
    return slot;
}

/* The bytes of "scheme://authority"; 0: there is none of http. */
static size_t origin_bytes(struct slice reference)
{
    size_t scheme = slice_begins(reference, SLICE("http://")) ? 7 : slice_begins(reference, SLICE("https://")) ? 8 : 0;
    return scheme > 0 ? scheme + span_to(behind(reference, scheme), "/?") : 0;
}

static bool has_scheme(struct slice reference)
{
    size_t len = span_to(reference, ":/?");
    return len < reference.len && reference.at[len] == ':';
}

bool upstream_uri_slot_of(const struct conf_upstream *conf, struct slice target, struct slice reference,
                          uint32_t *slot_out)
{
    struct buf base = {0}, absolute = {0};
    reference.len = span_to(reference, "#");
    if (slice_begins(reference, SLICE("//"))) {
        buf_add(&absolute, conf->origin, strcspn(conf->origin, ":") + 1);
        buf_add(&absolute, reference.at, reference.len);
        reference = buf_slice(&absolute);
    }
    size_t origin = origin_bytes(reference);
    bool ours = origin > 0 ? same_origin(conf, slice_of(reference.at, origin)) : !has_scheme(reference);
    if (ours) {
        struct slice rest = behind(reference, origin);
        add_target(&base, conf, target);
        bool root = origin > 0 && (rest.len == 0 || rest.at[0] == '?'); /* http://host is http://host/ */
        *slot_out = slot_beside(conf, root ? SLICE("/") : buf_slice(&base), rest);
    }
    buf_deinit(&base);
    buf_deinit(&absolute);
    return ours;
}
