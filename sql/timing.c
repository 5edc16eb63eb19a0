#include "sql/timing.h"
#include "common/clock.h"

#define SHORT_US INT64_C(4096)
enum { SAMPLES_LEAST = 16, SAMPLES_MOST = 1024, PROBES = 16, PROBE_SHARE = 64, MEAN_SHARE = 16, BULK_RUNS = 16 };

static void mean_add(struct timing *t, int64_t us)
{
    t->mean_us += (us - t->mean_us) / (t->total < MEAN_SHARE ? (int64_t)t->total + 1 : MEAN_SHARE);
}

static bool mostly_short(const struct timing *t)
{
    uint32_t longer = 0;
    for (int i = TIMING_CLASSES - 1; INT64_C(1) << i > SHORT_US; i--)
        longer += t->counts[i];
    return t->total >= SAMPLES_LEAST && longer * 100 <= t->total;
}

void timing_add_alone(struct timing *t, int64_t us)
{
    int class = 0;
    while (class < TIMING_CLASSES - 1 && us > INT64_C(1) << class)
        class ++;
    mean_add(t, us);
    t->counts[class]++;
    if (++t->total >= SAMPLES_MOST) {
        t->total = 0;
        for (int i = 0; i < TIMING_CLASSES; i++)
            t->total += t->counts[i] /= 2;
    }
    t->is_short = mostly_short(t);
}

void timing_add_share(struct timing *t, int64_t us)
{
    mean_add(t, us);
}

void timing_suspect(struct timing *t)
{
    t->probes = PROBES;
}

void timing_note_bulk(struct timing *t, bool large)
{
    t->bulk = large ? BULK_RUNS : MAX(t->bulk - 1, 0);
}

bool timing_is_short(const struct timing *t)
{
    return t->is_short;
}

bool timing_wants_probe(struct timing *t)
{
    if (t->probes > 0) {
        t->probes--;
        return true;
    }
    if (++t->runs < PROBE_SHARE)
        return false;
    t->runs = 0;
    return true;
}
