/* URIs of an upstream as tags: what is kept of one is dropped by a write to it, or by one whose answer names it in
 * Location or Content-Location (RFC 9111 4.4). */
#ifndef WORKER_UPSTREAM_URI_H
#define WORKER_UPSTREAM_URI_H

#include "common/conf.h"

/* target: as the upstream is asked for it, without the url's base. */
uint32_t upstream_uri_slot(const struct conf_upstream *conf, struct slice target);
/* The same of a URI reference in the answer to target (RFC 3986 5.2). False: it is of another origin, or none. */
bool upstream_uri_slot_of(const struct conf_upstream *conf, struct slice target, struct slice reference,
                          uint32_t *slot_out) MUST_USE;

#endif
