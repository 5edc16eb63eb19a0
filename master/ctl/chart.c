#include "master/ctl/chart.h"
#include "master/ctl/format.h"

#include <stdio.h>
#include <string.h>

/* ---- lines and bars ---- */

static const char *const line_glyphs[2][8] = {{"_", ".", ".", "-", "-", "=", "*", "#"},
                                              {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}};
static const char *const bar_ends[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};

void chart_line(struct page *page, int row, int column, enum style style, const double *values, int count, double top)
{
    if (top <= 0)
        for (int i = 0; i < count; i++)
            top = isnan(values[i]) ? top : MAX(top, values[i]);
    for (int i = 0; i < count; i++) {
        if (isnan(values[i]))
            continue;
        double share = top > 0 ? values[i] / top : 0;
        int level = share <= 0 ? 0 : MIN(MAX((int)ceil(share * 8), 2), 8) - 1;
        page_put(page, row, column + i, share <= 0 ? STYLE_dim : style, "%s", line_glyphs[page_has_glyphs()][level]);
    }
}

void chart_bar(struct page *page, int row, int column, int width, enum style style, double part, double whole)
{
    if (part <= 0 || whole <= 0)
        return;
    int eighths = MAX((int)(MIN(part / whole, 1.0) * width * 8 + 0.5), 1), full = eighths / 8;
    if (!page_has_glyphs())
        full = MAX((eighths + 4) / 8, 1);
    for (int i = 0; i < full; i++)
        page_put(page, row, column + i, style, "%s", page_has_glyphs() ? "█" : "#");
    if (page_has_glyphs())
        page_put(page, row, column + full, style, "%s", bar_ends[eighths % 8]);
}

/* ---- steps of time ---- */

/* Of a power of ten, in tenths: the finest series whose steps fit into the rows is taken. */
struct series {
    int count, tenths[12];
};

static const struct series all_series[] = {{12, {10, 12, 15, 18, 22, 27, 33, 39, 47, 56, 68, 82}},
                                           {6, {10, 15, 20, 30, 50, 70}},
                                           {3, {10, 20, 50}},
                                           {1, {10}}};

enum { POWERS = 9 /* of ten: up to 100 s, beyond the last bucket */ };

static int64_t edge_us(const struct series *series, int step)
{
    int64_t power = 1;
    for (int i = 0; i < step / series->count; i++)
        power *= 10;
    return power * series->tenths[step % series->count] / 10;
}

/* Below 4 us fine steps are shorter than a microsecond. */
static bool has_twins(const struct series *series, int first, int count)
{
    for (int step = first; step < first + count - 1; step++)
        if (edge_us(series, step) == edge_us(series, step + 1))
            return true;
    return false;
}

/* The first step that a bucket, by its upper edge, is not beyond. */
static int step_of(const struct series *series, int bucket)
{
    int64_t us = histogram_upper_us(bucket);
    int step = 0;
    while (step < POWERS * series->count - 1 && edge_us(series, step) < us)
        step++;
    return step;
}

struct scale {
    const struct series *series;
    int first, count; /* of its steps */
};

static struct scale fit(int first_bucket, int last_bucket, int rows)
{
    struct scale scale = {0};
    for (size_t i = 0; i < ARRAY_LEN(all_series); i++) {
        scale.series = &all_series[i];
        scale.first = step_of(scale.series, first_bucket);
        scale.count = step_of(scale.series, last_bucket) - scale.first + 1;
        if (scale.count <= rows && !has_twins(scale.series, scale.first, scale.count))
            break;
    }
    return scale;
}

/* ---- histograms ---- */

enum { LABEL = 9, COUNT = 9, GAP = 2 };

struct kind {
    const char *title;
    enum style style;
};

static const struct kind kinds[ROUTE_HIST_COUNT] = {
    [ROUTE_HIST_hit] = {"hits", STYLE_good},
    [ROUTE_HIST_miss] = {"misses", STYLE_miss},
    [ROUTE_HIST_error] = {"errors", STYLE_bad},
};

/* The name of the quantile that falls into the buckets up to `to_us` and not up to `from_us`; of several the highest.
 */
static const char *mark_of(const struct histogram *h, int64_t from_us, int64_t to_us)
{
    static const struct {
        double q;
        const char *name;
    } marks[] = {{0.99, "p99"}, {0.95, "p95"}, {0.50, "p50"}};
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        int64_t us = histogram_quantile_us(h, marks[i].q);
        if (us >= 0 && us > from_us && us <= to_us)
            return marks[i].name;
    }
    return "";
}

static void count_steps(const struct histogram *h, const struct scale *scale, uint64_t *counts)
{
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        if (h->buckets[i] > 0)
            counts[step_of(scale->series, i) - scale->first] += h->buckets[i];
}

/* In columns from `column` on: bar, count and mark in each row. */
static void draw_kind(struct page *page, int row, int column, int width, const struct kind *kind,
                      const struct histogram *h, const struct scale *scale)
{
    uint64_t counts[POWERS * 12] = {0}, most = 0;
    int bar = MAX(width - COUNT - 4, 1);
    count_steps(h, scale, counts);
    for (int i = 0; i < scale->count; i++)
        most = MAX(most, counts[i]);
    for (int i = 0; i < scale->count; i++) {
        int step = scale->first + i;
        const char *mark = mark_of(h, step > 0 ? edge_us(scale->series, step - 1) : -1, edge_us(scale->series, step));
        chart_bar(page, row + i, column, bar, kind->style, (double)counts[i], (double)most);
        if (counts[i] > 0)
            page_field(page, row + i, column + bar, COUNT, true, STYLE_plain, format_count((int64_t)counts[i]).s);
        page_put(page, row + i, column + width - 3, STYLE_bold, "%s", mark);
    }
}

static void draw_head(struct page *page, int row, int column, int width, const struct kind *kind,
                      const struct histogram *h, uint64_t total)
{
    int at = page_put(page, row, column, STYLE_head, "%s ", kind->title);
    uint64_t count = histogram_count(h);
    at = page_put(page, row, at, STYLE_bold, "%s", format_count((int64_t)count).s);
    if (width >= 30)
        page_put(page, row, at, STYLE_dim, ", %s", format_percent((int64_t)count, (int64_t)total).s);
    at = column;
    if (width >= 26)
        at = page_put(page, row + 1, at, STYLE_dim, "p50 %s  ", format_quantile(h, 0.50).s);
    at = page_put(page, row + 1, at, STYLE_dim, "p95 %s", format_quantile(h, 0.95).s);
    if (width >= 39)
        page_put(page, row + 1, at, STYLE_dim, "  p99 %s", format_quantile(h, 0.99).s);
}

/* Over all kinds; false: they are all empty. */
static bool range(const struct histogram *by_kind, int *first_out, int *last_out)
{
    *first_out = HISTOGRAM_BUCKETS;
    *last_out = -1;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        for (int kind = 0; kind < ROUTE_HIST_COUNT; kind++)
            if (by_kind[kind].buckets[i] > 0) {
                *first_out = MIN(*first_out, i);
                *last_out = i;
            }
    return *last_out >= 0;
}

int chart_histograms(struct page *page, int row, int rows, const struct histogram by_kind[static ROUTE_HIST_COUNT])
{
    int first, last, shown = 0, at = 0;
    uint64_t total = 0;
    if (!range(by_kind, &first, &last)) {
        page_put(page, row, 0, STYLE_dim, "no answers in this time");
        return 1;
    }
    for (int kind = 0; kind < ROUTE_HIST_COUNT; kind++) {
        shown += histogram_count(&by_kind[kind]) > 0;
        total += histogram_count(&by_kind[kind]);
    }
    struct scale scale = fit(first, last, MAX(rows - 2, 1));
    int width = (page->columns - LABEL - GAP) / shown - GAP;
    page_put(page, row, 0, STYLE_head, "%*s", LABEL, "up to");
    for (int i = 0; i < scale.count; i++)
        page_field(page, row + 2 + i, 0, LABEL, true, STYLE_dim, format_us(edge_us(scale.series, scale.first + i)).s);
    for (int kind = 0; kind < ROUTE_HIST_COUNT; kind++) {
        if (histogram_count(&by_kind[kind]) == 0)
            continue;
        int column = LABEL + GAP + at++ * (width + GAP);
        draw_head(page, row, column, width, &kinds[kind], &by_kind[kind], total);
        draw_kind(page, row + 2, column, width, &kinds[kind], &by_kind[kind], &scale);
    }
    return scale.count + 2;
}
