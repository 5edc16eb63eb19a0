/* Values of the last minutes, sample after sample, for the lines that are drawn of them. A track is what one line is
 * drawn of; a sample is of a stretch of time, so that a gap in it is one in the line. */
#ifndef MASTER_CTL_TOP_SERIES_H
#define MASTER_CTL_TOP_SERIES_H

#include "common/base.h"

struct series;

struct series *series_create(void) MUST_USE;
void series_destroy(struct series **series);

/* A sample of the span_us that end at at_us, later than the last one; of all tracks it has none yet. */
void series_begin(struct series *series, int64_t at_us, int64_t span_us);
void series_set(struct series *series, int track, double value); /* in the latest sample; tracks begin with 0 */
void series_forget(struct series *series, int first_track);      /* it and those behind it */
/* The latest columns of column_us each, the last one that of the latest sample: the mean of the samples in it, or the
 * largest if peak; NAN where there are none. */
void series_columns(const struct series *series, int track, bool peak, int64_t column_us, int columns, double *out);

#endif
