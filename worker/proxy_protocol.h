/* What a proxy tells of a connection before its first request: the PROXY protocol, versions 1 and 2, of
 * https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt */
#ifndef WORKER_PROXY_PROTOCOL_H
#define WORKER_PROXY_PROTOCOL_H

#include "worker/forwarded.h"

/* remote_out stays as it is where the proxy speaks for itself (LOCAL, UNKNOWN). */
enum http_read proxy_protocol_read(struct slice bytes, char remote_out[ADDRESS_BYTES], size_t *used);

#endif
