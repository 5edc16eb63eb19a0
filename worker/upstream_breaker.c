#include "worker/upstream_breaker.h"

bool breaker_is_open(const struct breaker *b)
{
    return b->open_us > 0;
}

enum breaker_says breaker_ask(struct breaker *b, int64_t now_us)
{
    if (b->open_us == 0)
        return BREAKER_ADMITS;
    if (b->probing || now_us < b->until_us)
        return BREAKER_REFUSES;
    b->probing = true;
    return BREAKER_PROBES;
}

bool breaker_succeeded(struct breaker *b)
{
    bool was_open = breaker_is_open(b);
    *b = (struct breaker){0};
    return was_open;
}

/* What was admitted before it opened, and fails later, tells nothing new. */
bool breaker_failed(struct breaker *b, bool probe, int64_t now_us)
{
    bool was_open = breaker_is_open(b);
    if (was_open && !probe)
        return false;
    if (!was_open && ++b->failures < BREAKER_FAILURES)
        return false;
    b->probing = false;
    b->open_us = MIN(MAX(2 * b->open_us, BREAKER_LEAST_US), BREAKER_MOST_US);
    b->until_us = now_us + b->open_us;
    return !was_open;
}

void breaker_given_up(struct breaker *b, bool probe)
{
    if (probe)
        b->probing = false;
}
