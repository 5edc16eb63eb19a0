#include "common/buf.h"
#include "common/conf_parse.h"

static const char mask[] = "***";
static const char *const secrets[] = {"password", "sslpassword", "sentinel_password"};

static bool is_secret(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
        if (name.len == strlen(secrets[i]) && strncasecmp(name.at, secrets[i], name.len) == 0)
            return true;
    return false;
}

static size_t spaces(const char *at)
{
    return strspn(at, " \t\r\n\f\v");
}

/* A value of a connection string: 'quoted' or up to white space, where a backslash takes the next byte along. */
static size_t value_length(const char *at)
{
    bool quoted = at[0] == '\'';
    size_t n = quoted;
    while (at[n] != '\0' && (quoted ? at[n] != '\'' : spaces(at + n) == 0))
        n += at[n] == '\\' && at[n + 1] != '\0' ? 2 : 1;
    return n + (quoted && at[n] == '\'');
}

/* libpq's `key = value` words. */
static void mask_words(struct buf *out, const char *at)
{
    while (*at != '\0') {
        size_t name = strcspn(at, "= \t\r\n\f\v");
        size_t equal = name + spaces(at + name);
        if (at[equal] != '=') {
            buf_add(out, at, MAX(equal, (size_t)1));
            at += MAX(equal, (size_t)1);
            continue;
        }
        size_t value = equal + 1 + spaces(at + equal + 1);
        size_t len = value_length(at + value);
        buf_add(out, at, value);
        if (is_secret(slice_of(at, name)))
            buf_adds(out, mask);
        else
            buf_add(out, at + value, len);
        at += value + len;
        if (*at != '\0' && spaces(at) == 0)
            buf_addc(out, ' '); /* libpq needs none behind a closing quote, the mask has no quotes */
    }
}

/* `name=value&...` behind the ? of a url. */
static void mask_query(struct buf *out, const char *at)
{
    while (*at != '\0') {
        size_t len = strcspn(at, "&"), name = strcspn(at, "=&");
        if (name < len && is_secret(slice_of(at, name))) {
            buf_add(out, at, name + 1);
            buf_adds(out, mask);
        } else {
            buf_add(out, at, len);
        }
        at += len;
        if (*at == '&')
            buf_addc(out, *at++);
    }
}

/* The @ behind user and password, or NULL. libpq takes the first @ in front of any /, so that a password may hold a ?;
 * a raw / or @ in a password is a mistake, but must not show it. */
static const char *find_sign(const char *at)
{
    size_t query = strcspn(at, "?"), path = strcspn(at, "/");
    const char *sign = memrchr(at, '@', MIN(query, path));
    if (sign == NULL)
        sign = memrchr(at, '@', path);
    return sign ? sign : memrchr(at, '@', query);
}

/* From behind the :// on. */
static void mask_authority(struct buf *out, const char *at)
{
    const char *sign = find_sign(at);
    const char *colon = sign ? memchr(at, ':', (size_t)(sign - at)) : NULL;
    if (colon != NULL) {
        buf_add(out, at, (size_t)(colon + 1 - at));
        buf_adds(out, mask);
        at = sign;
    }
    const char *end = strchrnul(at, '?');
    buf_add(out, at, (size_t)(end - at));
    if (*end == '?') {
        buf_addc(out, '?');
        mask_query(out, end + 1);
    }
}

char *conf_mask_url(struct arena *arena, const char *url)
{
    struct buf out = {0};
    const char *scheme = strstr(url, "://");
    if (scheme != NULL && strcspn(url, "= ") > (size_t)(scheme - url)) {
        buf_add(&out, url, (size_t)(scheme + 3 - url));
        mask_authority(&out, scheme + 3);
    } else {
        mask_words(&out, url);
    }
    char *masked = arena_str(arena, buf_slice(&out));
    buf_deinit(&out);
    return masked;
}
