/* Figures drawn with characters: lines of the last minutes, bars, histograms. Blocks of UTF-8 where the locale has
 * them, else ASCII. */
#ifndef MASTER_CTL_CHART_H
#define MASTER_CTL_CHART_H

#include "master/ctl/page.h"
#include "shm/histogram.h"
#include "shm/stats.h"

#include <math.h>

#define CHART_NOTHING NAN /* in the place of a value that there is none of: a gap */

/* One column a value, from 0 to top; of a top of 0 or less it is the largest value. Anything above 0 is seen. */
void chart_line(struct page *page, int row, int column, enum style style, const double *values, int count, double top);
/* part of whole, in at most width columns; anything above 0 is seen. */
void chart_bar(struct page *page, int row, int column, int width, enum style style, double part, double whole);

/* One row of steps of time, in rows from `row` on and at most so many; hits, misses and errors side by side on the same
 * scale of time, each as wide as its own largest step, with its quantiles. Those of which there are none are left out.
 * Returns the number of rows. */
int chart_histograms(struct page *page, int row, int rows, const struct histogram by_kind[static ROUTE_HIST_COUNT]);

#endif
