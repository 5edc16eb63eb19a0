#include "common/redis_url.h"
#include "common/digits.h"
#include "common/slice.h"

#include <ctype.h>
#include <stdlib.h>

enum { REDIS_PORT = 6379, SENTINEL_PORT = 26379, NUMBER_MAX = 65535 };

/* False: too long for out. */
static bool decode(struct slice in, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        bool encoded = in.at[i] == '%' && i + 2 < in.len && isxdigit((unsigned char)in.at[i + 1]) &&
                       isxdigit((unsigned char)in.at[i + 2]);
        if (n + 1 >= size)
            return false;
        out[n++] = encoded ? (char)(digits_hex_value(in.at[i + 1]) << 4 | digits_hex_value(in.at[i + 2])) : in.at[i];
        i += encoded ? 2 : 0;
    }
    out[n] = '\0';
    return true;
}

static bool number(struct slice s, int *out)
{
    long n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (!isdigit((unsigned char)s.at[i]) || n > NUMBER_MAX)
            return false;
        n = n * 10 + (s.at[i] - '0');
    }
    *out = (int)n;
    return s.len > 0 && n <= NUMBER_MAX;
}

static struct slice until(const char **at, const char *stops)
{
    size_t len = strcspn(*at, stops);
    struct slice part = slice_of(*at, len);
    *at += len;
    return part;
}

/* user:password@ in front of the first /; a password may hold an @. */
static bool parse_login(const char **at, struct redis_login *out, struct err *err)
{
    const char *sign = memrchr(*at, '@', strcspn(*at, "/"));
    if (sign == NULL)
        return true;
    struct slice s = slice_of(*at, (size_t)(sign - *at));
    const char *colon = memchr(s.at, ':', s.len);
    size_t user = colon ? (size_t)(colon - s.at) : s.len;
    *at = sign + 1;
    if (!decode(slice_of(s.at, user), out->user, sizeof out->user) ||
        (colon && !decode(slice_of(colon + 1, s.len - user - 1), out->password, sizeof out->password)))
        return err_set(err, "the user or password of Redis's url is too long");
    return true;
}

static bool parse_unix(const char *at, struct redis_url *out, struct err *err)
{
    if (!parse_login(&at, &out->login, err))
        return false;
    if (!decode(until(&at, "?"), out->path, sizeof out->path) || out->path[0] != '/')
        return err_set(err,
                       "the path of Redis's socket begins with /, as in unix:///run/redis.sock, and has at most 107 "
                       "bytes");
    if (*at == '?' && (strncmp(at, "?db=", 4) != 0 || !number(slice_str(at + 4), &out->db)))
        return err_set(err, "behind the path of Redis's socket only ?db=N may stand");
    return true;
}

static bool parse_host(const char **at, struct redis_host *out, struct err *err)
{
    bool bracketed = **at == '[';
    struct slice host = bracketed ? (++*at, until(at, "]")) : until(at, ":,/");
    if (bracketed && *(*at)++ != ']')
        return --*at, err_set(err, "the v6 address of Redis's url has no ]");
    if (!decode(host, out->name, sizeof out->name) || out->name[0] == '\0')
        return err_set(err, "Redis's url names no host");
    if (**at == ':' && (++*at, !number(until(at, ",/"), &out->port) || out->port == 0))
        return err_set(err, "the port of Redis's url is 1 to 65535");
    if (**at != '\0' && strchr(",/", **at) == NULL)
        return err_set(err, "behind a host of Redis's url stands :port, a comma or /");
    return true;
}

static bool parse_hosts(const char **at, int port, struct redis_url *out, struct err *err)
{
    do {
        if (out->host_count == REDIS_HOSTS_MAX)
            return err_set(err, "Redis's url names more than %d hosts", REDIS_HOSTS_MAX);
        *at += out->host_count > 0; /* the comma */
        struct redis_host *host = &out->hosts[out->host_count++];
        host->port = port;
        if (!parse_host(at, host, err))
            return false;
    } while (**at == ',');
    return true;
}

static bool parse_db(struct slice text, struct redis_url *out, struct err *err)
{
    return text.len == 0 || number(text, &out->db) || err_set(err, "the database of Redis's url is a number");
}

static bool parse_tcp(const char *at, struct redis_url *out, struct err *err)
{
    if (!parse_login(&at, &out->login, err) || !parse_hosts(&at, REDIS_PORT, out, err))
        return false;
    return parse_db(slice_str(*at == '/' ? at + 1 : at), out, err);
}

static bool parse_sentinel_option(struct slice option, struct redis_login *out)
{
    const char *equal = memchr(option.at, '=', option.len);
    struct slice name = slice_of(option.at, equal ? (size_t)(equal - option.at) : option.len);
    struct slice value = slice_of(equal ? equal + 1 : option.at, equal ? option.len - name.len - 1 : 0);
    if (slice_is(name, "sentinel_user"))
        return decode(value, out->user, sizeof out->user);
    return slice_is(name, "sentinel_password") && decode(value, out->password, sizeof out->password);
}

static bool parse_sentinel(const char *at, struct redis_url *out, struct err *err)
{
    if (!parse_login(&at, &out->login, err) || !parse_hosts(&at, SENTINEL_PORT, out, err))
        return false;
    struct slice name = *at == '/' ? (at++, until(&at, "/?")) : SLICE("");
    if (name.len == 0 || !decode(name, out->service, sizeof out->service))
        return err_set(err,
                       "behind the Sentinels stands the name of their master: redis+sentinel://host:26379/mymaster");
    if (*at == '/' && (at++, !parse_db(until(&at, "?"), out, err)))
        return false;
    while (*at == '?' || *at == '&') {
        at++;
        if (!parse_sentinel_option(until(&at, "&"), &out->sentinel_login))
            return err_set(err, "behind ? stand sentinel_user and sentinel_password alone");
    }
    return true;
}

bool redis_url_parse(const char *text, struct redis_url *out, struct err *err)
{
    static const struct {
        const char *scheme;
        bool (*parse)(const char *at, struct redis_url *out, struct err *err);
    } schemes[] = {{"redis://", parse_tcp},
                   {"redis+sentinel://", parse_sentinel},
                   {"unix://", parse_unix},
                   {"redis+unix://", parse_unix}};
    *out = (struct redis_url){0};
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (strncmp(text, schemes[i].scheme, strlen(schemes[i].scheme)) == 0)
            return schemes[i].parse(text + strlen(schemes[i].scheme), out, err);
    if (strncmp(text, "rediss://", 9) == 0)
        return err_set(err,
                       "there is no TLS to Redis (rediss://): use redis:// on a network of your own, a unix socket, or "
                       "a tunnel");
    return err_set(err, "Redis's url begins with redis://, redis+sentinel:// or unix://");
}
