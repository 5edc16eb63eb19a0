/* Who a request comes from when proxies stand between. */
#ifndef WORKER_FORWARDED_H
#define WORKER_FORWARDED_H

#include "common/conf.h"
#include "worker/http_head.h"

enum { ADDRESS_BYTES = 46 };
/* Of a connection over a unix socket. */
#define LOCAL_ADDRESS "unix:"

/* A proxy of the operator's. */
bool forwarded_trusts(const struct conf_nets *trusted, const char *remote);
/* remote is who connected. While it is a proxy that the operator trusts, the one that it names in X-Forwarded-For takes
 * its place, from the last on; what is no address ends that. */
void forwarded_for(const struct conf_nets *trusted, const struct http_head *head, char remote[ADDRESS_BYTES]);

#endif
