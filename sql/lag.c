#include "sql/lag.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* XLOG_BLCKSZ, and the longest header of a page (SizeOfXLogLongPHD). */
enum { PAGE_BYTES = 8192, PAGE_HEADER_BYTES = 40 };

uint64_t lag_position(const char *text)
{
    uint32_t high, low;
    return sscanf(text, "%" SCNx32 "/%" SCNx32, &high, &low) == 2 ? (uint64_t)high << 32 | low : 0;
}

/* Where the next record will begin may be behind the header of a new page, the end of the last one is before it. */
static uint64_t end_of_last(uint64_t next)
{
    uint64_t in_page = next % PAGE_BYTES;
    return in_page <= PAGE_HEADER_BYTES ? next - in_page : next;
}

void lag_init(struct lag *lag, int64_t max_us)
{
    *lag = (struct lag){.max_us = max_us};
}

/* Samples that lie closer than this are one, so that those kept reach back for max_us. */
static bool is_close(const struct lag *lag)
{
    if (lag->count < 2)
        return false;
    const struct lag_sample *last = &lag->samples[lag->count - 1];
    return last->asked_us - last[-1].asked_us < lag->max_us / (LAG_SAMPLES - 2);
}

void lag_note_primary(struct lag *lag, const struct lag_place *place, uint64_t seq, int64_t asked_us)
{
    if (is_close(lag)) {
        lag->count--;
    } else if (lag->count == LAG_SAMPLES) {
        memmove(lag->samples, lag->samples + 1, sizeof lag->samples - sizeof *lag->samples);
        lag->count--;
    }
    lag->samples[lag->count++] = (struct lag_sample){asked_us, seq, place->standby ? place->applied : place->arrived,
                                                     end_of_last(place->applied)};
    lag->primary_away = false;
    memcpy(lag->primary, place->started, sizeof lag->primary);
}

void lag_note_primary_away(struct lag *lag)
{
    lag->primary_away = true;
}

static struct lag_verdict judge_standby(const struct lag *lag, const struct lag_place *replica, int64_t asked_us)
{
    struct lag_verdict verdict = {0};
    for (int i = 0; i < lag->count; i++) {
        const struct lag_sample *sample = &lag->samples[i];
        if (sample->written <= replica->applied)
            verdict.complete_us = sample->asked_us;
        if (sample->inserted <= replica->applied)
            verdict.seq = sample->seq;
    }
    if (lag->primary_away && replica->applied >= replica->arrived)
        verdict.complete_us = asked_us;
    return verdict;
}

struct lag_verdict lag_judge(const struct lag *lag, const struct lag_place *replica, int64_t asked_us)
{
    if (replica->standby)
        return judge_standby(lag, replica, asked_us);
    /* Promoted: now it is the primary itself, or one that nobody knows. */
    bool is_primary = lag->count > 0 && strcmp(lag->primary, replica->started) == 0;
    if (is_primary && !lag->primary_away)
        return (struct lag_verdict){asked_us, lag->samples[lag->count - 1].seq};
    return (struct lag_verdict){lag->primary_away ? asked_us : 0, 0};
}
