/* Which of the consumer's header fields keep the answers of an upstream apart. A set of fields is a mask: bit i is the
 * i-th that the upstream's `forward` names; no others reach the upstream, so none can make a difference.
 *
 * Fields that choose a form (Accept-Language and the like) do where the answer's Vary names them (RFC 9111 4.1); those
 * that perfd does not know always do, as they may tell who asks. Authorization and Cookie do tell: their values are
 * never part of a key. Whoever sends them shares only what is marked as everybody's. */
#ifndef WORKER_VARIANT_H
#define WORKER_VARIANT_H

#include "common/conf.h"

enum { VARIANT_FIELDS_MAX = 32 };

uint32_t variant_always(const struct conf_strings *forward);
uint32_t variant_credentials(const struct conf_strings *forward);
uint32_t variant_named(const struct conf_strings *forward, struct slice vary); /* of Vary, all lines */
/* values: of the fields, as many; at NULL: not sent. */
/* Those of the mask that were sent. */
uint32_t variant_sent(const struct slice *values, uint32_t mask);
/* The key with the values of the mask's fields; key itself where there are none. */
struct slice variant_key(struct slice key, const struct slice *values, uint32_t mask, struct arena *arena);

#endif
