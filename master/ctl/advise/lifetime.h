/* How long answers should be kept, by what became of those that were kept: 95 % of those that are asked for again shall
 * still be there. Requests for a key are taken to come at random, at a steady rate (a Poisson process). */
#ifndef MASTER_CTL_ADVISE_LIFETIME_H
#define MASTER_CTL_ADVISE_LIFETIME_H

#include "common/base.h"

/* A life ends after the ttl with one miss, however often it hits meanwhile; hits per miss grow with it. */
int64_t lifetime_ttl_us(int64_t ttl_us, int64_t hits, int64_t expired);
/* The gap between two requests is longer than the tti in idle of hits + idle cases; of exponential gaps that tells the
 * rate. Never more than ttl_us, beyond which a tti has no effect; 0: there is no ttl. */
int64_t lifetime_tti_us(int64_t tti_us, int64_t hits, int64_t idle, int64_t ttl_us);

#endif
