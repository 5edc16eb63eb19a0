/* Where Redis is: redis://[user][:password]@host[:port][/db] or unix:///path/to/socket[?db=N]. */
#ifndef WORKER_REDIS_URL_H
#define WORKER_REDIS_URL_H

#include "common/err.h"

struct redis_url {
    char path[108]; /* of a unix socket; "" otherwise */
    char host[256];
    int port;
    int db;
    char user[128], password[256]; /* "" when there is none */
};

/* Percent-encoding is undone. The error never quotes the password. */
bool redis_url_parse(const char *text, struct redis_url *out, struct err *err) MUST_USE;

#endif
