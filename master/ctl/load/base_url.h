/* Where the requests go: http://host[:port][/prefix]. */
#ifndef CTL_LOAD_BASE_URL_H
#define CTL_LOAD_BASE_URL_H

#include "common/arena.h"
#include "common/err.h"

#include <sys/socket.h>

struct base_url {
    const char *text;
    const char *host, *port; /* host without the brackets of IPv6 */
    struct slice authority;  /* as the Host field has it */
    struct slice prefix;     /* "" or "/v1": without a / at its end */
};

/* text outlives it. */
bool base_url_parse(const char *text, struct arena *arena, struct base_url *out, struct err *err) MUST_USE;
/* Waits for the resolver. Of several addresses that it gives the first that takes a connection: a server on 127.0.0.1
 * is not found at ::1, which `localhost` may be, too. Where none does, the first. */
bool base_url_resolve(const struct base_url *url, struct sockaddr_storage *address_out, socklen_t *len_out,
                      struct err *err) MUST_USE;

#endif
