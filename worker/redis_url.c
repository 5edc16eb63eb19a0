#include "worker/redis_url.h"
#include "common/slice.h"

#include <ctype.h>
#include <stdlib.h>

static int hex(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* False: too long for out. */
static bool decode(struct slice in, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        bool encoded = in.at[i] == '%' && i + 2 < in.len && isxdigit((unsigned char)in.at[i + 1]) &&
                       isxdigit((unsigned char)in.at[i + 2]);
        if (n + 1 >= size)
            return false;
        out[n++] = encoded ? (char)(hex(in.at[i + 1]) << 4 | hex(in.at[i + 2])) : in.at[i];
        i += encoded ? 2 : 0;
    }
    out[n] = '\0';
    return true;
}

static bool number(struct slice s, int most, int *out)
{
    long n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (!isdigit((unsigned char)s.at[i]) || n > most)
            return false;
        n = n * 10 + (s.at[i] - '0');
    }
    *out = (int)n;
    return s.len > 0 && n <= most;
}

static struct slice until(const char **at, const char *stops)
{
    size_t len = strcspn(*at, stops);
    struct slice part = slice_of(*at, len);
    *at += len;
    return part;
}

static bool parse_unix(const char *at, struct redis_url *out, struct err *err)
{
    if (!decode(until(&at, "?"), out->path, sizeof out->path) || out->path[0] != '/')
        return err_set(err, "the path of the Redis socket must be absolute and below 108 bytes");
    if (*at == '?' && (strncmp(at, "?db=", 4) != 0 || !number(slice_str(at + 4), 65535, &out->db)))
        return err_set(err, "after the path of the Redis socket only ?db=N may stand");
    return true;
}

static bool parse_credentials(struct slice s, struct redis_url *out, struct err *err)
{
    const char *colon = memchr(s.at, ':', s.len);
    size_t user = colon ? (size_t)(colon - s.at) : s.len;
    if (!decode(slice_of(s.at, user), out->user, sizeof out->user) ||
        (colon && !decode(slice_of(colon + 1, s.len - user - 1), out->password, sizeof out->password)))
        return err_set(err, "the user or password of the Redis url is too long");
    return true;
}

static bool parse_host(const char *at, struct redis_url *out, struct err *err)
{
    bool bracketed = *at == '[';
    struct slice host = bracketed ? (at++, until(&at, "]")) : until(&at, ":/");
    if (bracketed && *at == ']')
        at++;
    if (!decode(host, out->host, sizeof out->host) || out->host[0] == '\0')
        return err_set(err, "the Redis url names no host");
    if (*at == ':' && (at++, !number(until(&at, "/"), 65535, &out->port)))
        return err_set(err, "the port of the Redis url is not a number from 1 to 65535");
    if (*at == '/' && at[1] != '\0' && !number(slice_str(at + 1), 65535, &out->db))
        return err_set(err, "the database of the Redis url is not a number");
    return true;
}

bool redis_url_parse(const char *text, struct redis_url *out, struct err *err)
{
    *out = (struct redis_url){.port = 6379};
    if (strncmp(text, "unix://", 7) == 0)
        return parse_unix(text + 7, out, err);
    if (strncmp(text, "redis+unix://", 13) == 0)
        return parse_unix(text + 13, out, err);
    if (strncmp(text, "redis://", 8) != 0)
        return err_set(err, "a Redis url begins with redis:// or unix://");
    const char *at = text + 8;
    const char *end = at + strcspn(at, "/");
    const char *sign = memrchr(at, '@', (size_t)(end - at));
    if (sign != NULL && !parse_credentials(slice_of(at, (size_t)(sign - at)), out, err))
        return false;
    return parse_host(sign ? sign + 1 : at, out, err);
}
