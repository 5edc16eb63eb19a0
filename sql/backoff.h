/* How long to leave a server alone that did not take a connection. */
#ifndef SQL_BACKOFF_H
#define SQL_BACKOFF_H

#include "common/base.h"

/* After one more failure: 100 ms, doubled up to a second. before_us: what it was; 0 at the first failure. */
int64_t backoff_next_us(int64_t before_us);
/* +-10 %, so that processes started together neither connect nor expire together. */
int64_t backoff_jitter_us(int64_t us);

#endif
