#include "master/ctl/top/series.h"

#include <math.h>
#include <stdlib.h>

enum { SAMPLES = 1024 };

struct track {
    float values[SAMPLES];
};

struct series {
    uint64_t count; /* of all samples; the last SAMPLES are kept */
    int64_t at_us[SAMPLES], span_us[SAMPLES];
    struct track **tracks; /* NULL: nothing of it was set */
    int track_count;
};

struct series *series_create(void)
{
    return xcalloc(1, sizeof(struct series));
}

void series_destroy(struct series **doomed)
{
    struct series *s = *doomed;
    *doomed = NULL;
    if (s == NULL)
        return;
    series_forget(s, 0);
    free(s->tracks);
    free(s);
}

void series_forget(struct series *s, int first_track)
{
    for (int i = first_track; i < s->track_count; i++) {
        free(s->tracks[i]);
        s->tracks[i] = NULL;
    }
}

void series_begin(struct series *s, int64_t at_us, int64_t span_us)
{
    size_t place = s->count++ % SAMPLES;
    s->at_us[place] = at_us;
    s->span_us[place] = span_us;
    for (int i = 0; i < s->track_count; i++)
        if (s->tracks[i] != NULL)
            s->tracks[i]->values[place] = NAN;
}

static void grow(struct series *s, int tracks)
{
    s->tracks = xrealloc(s->tracks, (size_t)tracks * sizeof(struct track *));
    while (s->track_count < tracks)
        s->tracks[s->track_count++] = NULL;
}

void series_set(struct series *s, int track, double value)
{
    CHECK(s->count > 0 && track >= 0);
    if (track >= s->track_count)
        grow(s, track + 1);
    if (s->tracks[track] == NULL) {
        s->tracks[track] = xmalloc(sizeof(struct track));
        for (int i = 0; i < SAMPLES; i++)
            s->tracks[track]->values[i] = NAN;
    }
    s->tracks[track]->values[(s->count - 1) % SAMPLES] = (float)value;
}

static int64_t column_of(const struct series *s, size_t place, int64_t column_us)
{
    return (s->at_us[place] - s->span_us[place] / 2) / column_us;
}

/* A sample is in the column of its middle and, where it is longer than columns are, in those whose middle it covers. */
static bool covers(const struct series *s, size_t place, int64_t column, int64_t column_us)
{
    int64_t middle_us = column * column_us + column_us / 2;
    return column_of(s, place, column_us) == column ||
           (s->at_us[place] - s->span_us[place] < middle_us && middle_us <= s->at_us[place]);
}

static double column_value(const struct series *s, const struct track *track, bool peak, int64_t column,
                           int64_t column_us)
{
    double sum = 0, most = 0;
    int found = 0;
    uint64_t kept = MIN(s->count, (uint64_t)SAMPLES);
    for (uint64_t i = s->count - kept; i < s->count; i++) {
        size_t place = i % SAMPLES;
        double value = (double)track->values[place];
        if (isnan(value) || !covers(s, place, column, column_us))
            continue;
        sum += value;
        most = found++ > 0 ? MAX(most, value) : value;
    }
    return found == 0 ? NAN : peak ? most : sum / found;
}

void series_columns(const struct series *s, int track, bool peak, int64_t column_us, int columns, double *out)
{
    bool any = s->count > 0 && track < s->track_count && s->tracks[track] != NULL;
    int64_t last = any ? column_of(s, (s->count - 1) % SAMPLES, column_us) : 0;
    for (int i = 0; i < columns; i++)
        out[i] = any ? column_value(s, s->tracks[track], peak, last - columns + 1 + i, column_us) : NAN;
}
