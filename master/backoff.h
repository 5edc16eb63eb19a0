/* When a slot whose worker died is started again: at once the first time, then after 0.1 s, and after twice the time
 * each time, to 30 s, 25 % less or more, so that those that die together do not come back together. A minute of health,
 * or a reload, forgets it. */
#ifndef MASTER_BACKOFF_H
#define MASTER_BACKOFF_H

#include "common/base.h"

/* While no worker serves, a slot waits no longer than this: somebody has to find out that all is well again. */
#define BACKOFF_ALONE_US INT64_C(1000000)

struct backoff {
    int failures;
    int64_t died_us, start_at_us;
};

/* It died at now_us, and had lived since started_us. */
void backoff_died(struct backoff *backoff, int64_t started_us, int64_t now_us);
void backoff_forget(struct backoff *backoff); /* it may be started now */
/* When it may be started. alone: no worker serves. */
int64_t backoff_until_us(const struct backoff *backoff, bool alone);

#endif
