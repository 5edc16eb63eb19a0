#include "shm/openmetrics.h"
#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Powers of two of a microsecond to 2^26 us, 67 s, which is where the last bucket of a histogram ends. */
enum { EDGES = 27 };

/* What is written, and where to. */
struct text {
    struct buf *out;
    bool prometheus; /* in its own format */
};

/* What a unit of stats.def becomes. */
struct unit {
    const char *ours, *base; /* base: the end of the name, "" for none */
    double scale;
};

static const struct unit units[] = {{"us", "seconds", 1e-6}, {"bytes", "bytes", 1}, {"%", "ratio", 1e-2}, {"", "", 1}};

static const struct unit *unit_of(const struct stat_info *info)
{
    const struct unit *unit = units;
    while (*unit->ours != '\0' && strcmp(unit->ours, info->unit) != 0)
        unit++;
    return unit;
}

/* perfd_cpu_seconds of cpu_us. The unit's word is not said twice: sent_bytes stays. */
static void write_name(struct buf *out, const char *scope, const struct stat_info *info)
{
    const struct unit *unit = unit_of(info);
    size_t len = strlen(info->name), ours = strlen(info->unit), base = strlen(unit->base);
    buf_printf(out, "perfd_%s", scope);
    if (base > 0 && len > ours + 1 && strcmp(info->name + len - ours, info->unit) == 0 &&
        info->name[len - ours - 1] == '_')
        len -= ours + 1;
    else if (strcmp(info->unit, "%") == 0 && len > 8 && strcmp(info->name + len - 8, "_percent") == 0)
        len -= 8;
    buf_add(out, info->name, len);
    if (base > 0)
        buf_printf(out, "_%s", unit->base);
}

static void write_escaped(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            buf_addc(out, '\\');
        if (*text == '\n')
            buf_adds(out, "\\n");
        else
            buf_addc(out, *text);
    }
}

/* The name of the family, which in Prometheus's format is that of its samples. */
static void write_family(const struct text *to, const char *scope, const struct stat_info *info, const char *type)
{
    write_name(to->out, scope, info);
    buf_adds(to->out, to->prometheus && strcmp(type, "counter") == 0 ? "_total" : "");
}

static void write_head(const struct text *to, const char *scope, const struct stat_info *info, const char *type)
{
    const struct unit *unit = unit_of(info);
    buf_adds(to->out, "# TYPE ");
    write_family(to, scope, info, type);
    buf_printf(to->out, " %s\n", type);
    if (*unit->base != '\0' && !to->prometheus) {
        buf_adds(to->out, "# UNIT ");
        write_name(to->out, scope, info);
        buf_printf(to->out, " %s\n", unit->base);
    }
    buf_adds(to->out, "# HELP ");
    write_family(to, scope, info, type);
    buf_addc(to->out, ' ');
    write_escaped(to->out, info->help);
    if (*unit->base == '\0' && *info->unit != '\0')
        buf_printf(to->out, " (%s)", info->unit);
    buf_addc(to->out, '\n');
}

static void write_number(struct buf *out, const struct stat_info *info, int64_t value)
{
    const struct unit *unit = unit_of(info);
    if (unit->scale == 1)
        buf_printf(out, "%" PRId64, value);
    else
        buf_printf(out, "%.12g", (double)value * unit->scale);
}

struct label {
    const char *name, *value; /* name NULL: no label */
};

static void write_label(struct buf *out, struct label label, const char *le)
{
    if (label.name == NULL && le == NULL)
        return;
    buf_addc(out, '{');
    if (label.name != NULL) {
        buf_printf(out, "%s=\"", label.name);
        write_escaped(out, label.value);
        buf_addc(out, '"');
    }
    if (le != NULL)
        buf_printf(out, "%sle=\"%s\"", label.name ? "," : "", le);
    buf_addc(out, '}');
}

static void write_value(struct buf *out, const char *scope, const struct stat_info *info, struct label label,
                        int64_t value)
{
    write_name(out, scope, info);
    buf_adds(out, info->counter ? "_total" : "");
    write_label(out, label, NULL);
    buf_addc(out, ' ');
    write_number(out, info, value);
    buf_addc(out, '\n');
}

/* ---- histograms ---- */

/* The sum is that of the buckets' upper edges, so at most 1.6 % too large. */
static double sum_of(const struct histogram *h)
{
    double sum = 0;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        if (h->buckets[i] > 0)
            sum += (double)h->buckets[i] * (double)histogram_upper_us(i);
    return sum;
}

static void write_sample(struct buf *out, const char *scope, const struct stat_info *info, const char *end,
                         struct label label, const char *le)
{
    write_name(out, scope, info);
    buf_adds(out, end);
    write_label(out, label, le);
    buf_addc(out, ' ');
}

/* A bucket of ours ends at 2^n - 1 us, whole microseconds, which is all below 2^n. */
static void write_histogram(struct buf *out, const char *scope, const struct stat_info *info, struct label label,
                            const struct histogram *h)
{
    uint64_t seen = 0;
    int bucket = 0;
    for (int edge = 0; edge < EDGES; edge++) {
        char le[32];
        int64_t edge_us = INT64_C(1) << edge;
        for (; bucket < HISTOGRAM_BUCKETS && histogram_upper_us(bucket) <= edge_us; bucket++)
            seen += h->buckets[bucket];
        if (edge == EDGES - 1)
            break;
        snprintf(le, sizeof le, "%.10g", (double)edge_us / US_PER_S);
        write_sample(out, scope, info, "_bucket", label, le);
        buf_printf(out, "%" PRIu64 "\n", seen);
    }
    uint64_t count = histogram_count(h);
    write_sample(out, scope, info, "_bucket", label, "+Inf");
    buf_printf(out, "%" PRIu64 "\n", count);
    write_sample(out, scope, info, "_count", label, NULL);
    buf_printf(out, "%" PRIu64 "\n", count);
    write_sample(out, scope, info, "_sum", label, NULL);
    buf_printf(out, "%.9g\n", sum_of(h) / US_PER_S);
}

/* ---- scopes ---- */

static const char *type_of(const struct stat_info *info)
{
    return info->counter ? "counter" : "gauge";
}

/* Over all workers they say nothing. */
static bool is_of_one_process(const struct stat_info *info)
{
    static const char *const names[] = {"pid", "state", "loop_stuck_at"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(info->name, names[i]) == 0)
            return true;
    return false;
}

static struct label label_of_slot(int slot, char text[static 16])
{
    if (slot == STATS_KEEPER)
        snprintf(text, 16, "keeper");
    else
        snprintf(text, 16, "%d", slot);
    return (struct label){"slot", text};
}

/* Those that add up stand by slot, the others are of all. */
static void write_slots(const struct text *to, const struct snapshot *s, int index)
{
    const struct stat_info *info = &s->lists[SCOPE_SLOT].infos[index];
    if (is_of_one_process(info))
        return;
    write_head(to, "", info, type_of(info));
    if (!info->sum) {
        write_value(to->out, "", info, (struct label){0}, snapshot_sum_at(s, index));
        return;
    }
    for (int slot = STATS_KEEPER; slot < s->slots; slot++) {
        char text[16];
        int64_t value = snapshot_get_at(s, slot, index);
        if (slot != STATS_KEEPER || value != 0)
            write_value(to->out, "", info, label_of_slot(slot, text), value);
    }
}

static void write_routes(const struct text *to, const struct snapshot *s, int index)
{
    const struct stat_info *info = &s->lists[SCOPE_ROUTE].infos[index];
    write_head(to, "route_", info, type_of(info));
    for (int row = 0; row < s->routes; row++)
        write_value(to->out, "route_", info, (struct label){"route", s->names[row]}, snapshot_route_at(s, row, index));
}

static void write_hist(const struct text *to, const struct snapshot *s, int index)
{
    struct histogram h;
    const struct stat_info *info = &s->lists[SCOPE_HIST].infos[index];
    snapshot_hist_at(s, index, &h);
    write_head(to, "time_", info, "histogram");
    write_histogram(to->out, "time_", info, (struct label){0}, &h);
}

static void write_route_hist(const struct text *to, const struct snapshot *s, int index)
{
    const struct stat_info *info = &s->lists[SCOPE_ROUTE_HIST].infos[index];
    write_head(to, "route_time_", info, "histogram");
    for (int row = 0; row < s->routes; row++) {
        const struct histogram *h = snapshot_route_hist_at(s, row, index);
        if (histogram_count(h) > 0)
            write_histogram(to->out, "route_time_", info, (struct label){"route", s->names[row]}, h);
    }
}

static void write_all(const struct text *to, const struct snapshot *s)
{
    static void (*const writers[STATS_SCOPES])(const struct text *, const struct snapshot *,
                                               int) = {[SCOPE_SLOT] = write_slots,
                                                       [SCOPE_ROUTE] = write_routes,
                                                       [SCOPE_HIST] = write_hist,
                                                       [SCOPE_ROUTE_HIST] = write_route_hist};
    buf_adds(to->out, to->prometheus ? "# TYPE perfd_info gauge\n# HELP perfd_info the perfd that these are of\n"
                                     : "# TYPE perfd info\n# HELP perfd the perfd that these are of\n");
    buf_adds(to->out, "perfd_info");
    write_label(to->out, (struct label){"version", s->version}, NULL);
    buf_adds(to->out, " 1\n");
    for (int scope = 0; scope < STATS_SCOPES; scope++)
        for (int i = 0; i < s->lists[scope].count; i++)
            writers[scope](to, s, i);
}

void openmetrics_write(struct buf *out, const struct snapshot *s)
{
    write_all(&(struct text){out, false}, s);
    buf_adds(out, "# EOF\n");
}

void openmetrics_write_prometheus(struct buf *out, const struct snapshot *s)
{
    write_all(&(struct text){out, true}, s);
}
