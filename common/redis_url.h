/* Where Redis is:
 *
 *   redis://[[user]:password@]host[:port][,host[:port]...][/db]       of several the writable master is used
 *   redis+sentinel://[[user]:password@]host[:port][,...]/name[/db]    Sentinels, which are asked for the master called
 *       [?sentinel_user=USER&sentinel_password=PASSWORD]              name; user and password are Redis's own
 *   unix://[[user]:password@]/path/to/socket[?db=N]                   also redis+unix:// */
#ifndef COMMON_REDIS_URL_H
#define COMMON_REDIS_URL_H

#include "common/err.h"

enum { REDIS_HOSTS_MAX = 8, REDIS_NAME_BYTES = 256 };

struct redis_host {
    char name[REDIS_NAME_BYTES];
    int port;
};

struct redis_login {
    char user[128], password[256]; /* "" when there is none */
};

struct redis_url {
    char path[108]; /* of a unix socket; "" otherwise */
    struct redis_host hosts[REDIS_HOSTS_MAX];
    int host_count;
    char service[128]; /* "": the hosts are Redis; else they are Sentinels, and this is the master's name */
    int db;
    struct redis_login login, sentinel_login;
};

/* Percent-encoding is undone. The error never quotes the password. */
bool redis_url_parse(const char *text, struct redis_url *out, struct err *err) MUST_USE;

#endif
