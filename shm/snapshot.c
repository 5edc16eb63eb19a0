#include "shm/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct histogram empty;

/* ---- lists ---- */

/* Where the file is of this very perfd, it is at `place`. */
static int find(const struct stat_list *list, const char *name, int place)
{
    if (place < list->count && strcmp(list->infos[place].name, name) == 0)
        return place;
    for (int i = 0; i < list->count; i++)
        if (strcmp(list->infos[i].name, name) == 0)
            return i;
    return -1;
}

/* Where what stats.def has is in the file's list. */
static void find_all(struct snapshot *s)
{
    int *const indices[STATS_SCOPES] = {s->index_of_stat, s->index_of_route_stat, s->index_of_hist,
                                        s->index_of_route_hist};
    for (int scope = 0; scope < STATS_SCOPES; scope++)
        for (int i = 0; i < stat_lists[scope].count; i++)
            indices[scope][i] = find(&s->lists[scope], stat_lists[scope].infos[i].name, i);
}

static size_t text_bytes(const struct stat_info *info)
{
    return strlen(info->name) + strlen(info->unit) + strlen(info->help) + 3;
}

static const char *copy_text(char **at, const char *text)
{
    char *copy = *at;
    *at = stpcpy(copy, text) + 1;
    return copy;
}

/* With texts of their own, which stand behind the infos. */
static void copy_lists(struct snapshot *s, const struct stat_list lists[STATS_SCOPES])
{
    size_t count = 0, bytes = 0;
    for (int scope = 0; scope < STATS_SCOPES; scope++)
        for (int i = 0; i < lists[scope].count; i++, count++)
            bytes += text_bytes(&lists[scope].infos[i]);
    struct stat_info *to = s->infos = xcalloc(1, (count + 1) * sizeof *to + bytes);
    char *at = (char *)(to + count);
    for (int scope = 0; scope < STATS_SCOPES; scope++) {
        s->lists[scope] = (struct stat_list){to, lists[scope].count};
        for (int i = 0; i < lists[scope].count; i++, to++) {
            *to = lists[scope].infos[i];
            to->name = copy_text(&at, to->name);
            to->unit = copy_text(&at, to->unit);
            to->help = copy_text(&at, to->help);
        }
    }
    find_all(s);
}

/* ---- memory ---- */

static int slots_of(const struct snapshot *s)
{
    return s->slots - STATS_KEEPER;
}

static size_t value_count(const struct snapshot *s)
{
    return (size_t)slots_of(s) * (size_t)s->lists[SCOPE_SLOT].count;
}

static size_t route_value_count(const struct snapshot *s)
{
    return (size_t)s->routes * (size_t)s->lists[SCOPE_ROUTE].count;
}

static size_t hist_count(const struct snapshot *s)
{
    return (size_t)slots_of(s) * (size_t)s->lists[SCOPE_HIST].count;
}

static size_t route_hist_count(const struct snapshot *s)
{
    return (size_t)s->routes * (size_t)s->lists[SCOPE_ROUTE_HIST].count;
}

struct snapshot *snapshot_create(int slots, int routes, const struct stat_list lists[STATS_SCOPES])
{
    struct snapshot *s = xcalloc(1, sizeof *s);
    s->slots = slots;
    s->routes = routes;
    copy_lists(s, lists);
    s->names = xcalloc((size_t)routes + 1, sizeof *s->names);
    s->values = xcalloc(value_count(s) + 1, sizeof *s->values);
    s->route_values = xcalloc(route_value_count(s) + 1, sizeof *s->route_values);
    s->hists = xcalloc(hist_count(s) + 1, sizeof(struct histogram *));
    s->route_hists = xcalloc(route_hist_count(s) + 1, sizeof(struct histogram *));
    return s;
}

void snapshot_destroy(struct snapshot **doomed)
{
    struct snapshot *s = *doomed;
    *doomed = NULL;
    if (s == NULL)
        return;
    for (size_t i = 0; i < hist_count(s); i++)
        free(s->hists[i]);
    for (size_t i = 0; i < route_hist_count(s); i++)
        free(s->route_hists[i]);
    for (int i = 0; i < SLOT_SECTION_COUNT; i++)
        free(s->heavy[i]);
    free(s->hists);
    free(s->route_hists);
    free(s->values);
    free(s->route_values);
    free(s->names);
    free(s->infos);
    free(s);
}

/* ---- taking ---- */

/* Of a file that perfd did not write it may be more than there is room for. */
static int64_t sum_of(int64_t sum, int64_t value)
{
    if (__builtin_add_overflow(sum, value, &sum))
        return value > 0 ? INT64_MAX : INT64_MIN;
    return sum;
}

static int64_t aggregate(const struct stat_info *info, int64_t before, int64_t value)
{
    return info->sum ? sum_of(before, value) : MAX(before, value);
}

static struct histogram *copy_of(const struct histogram *h)
{
    struct histogram *copy = xmalloc(sizeof *copy);
    *copy = *h;
    return copy;
}

static void take_slot(struct snapshot *s, const struct stats_view *view, int slot)
{
    const int stats = s->lists[SCOPE_SLOT].count, hists = s->lists[SCOPE_HIST].count, place = slot - STATS_KEEPER;
    for (int i = 0; i < stats; i++)
        s->values[place * stats + i] = stats_view_value(view, slot, i);
    for (int i = 0; i < hists; i++) {
        struct histogram h = {0};
        if (stats_view_add_hist(view, slot, i, &h))
            s->hists[place * hists + i] = copy_of(&h);
    }
}

/* Only of slots in which the route was asked for: a histogram is 11 KB. */
static void take_row_hist(struct histogram **sum, const struct stats_view *view, int slot, int row, int index)
{
    struct histogram h = {0};
    if (!stats_view_add_route_hist(view, slot, row, index, &h))
        return;
    if (*sum == NULL)
        *sum = copy_of(&h);
    else
        histogram_add(*sum, &h);
}

static void take_row(struct snapshot *s, const struct stats_view *view, int row)
{
    const int stats = s->lists[SCOPE_ROUTE].count, hists = s->lists[SCOPE_ROUTE_HIST].count;
    snprintf(s->names[row], sizeof s->names[row], "%s", stats_view_route_name(view, row));
    for (int slot = STATS_KEEPER; slot < s->slots; slot++) {
        int64_t any = 0;
        for (int i = 0; i < stats; i++) {
            int64_t value = stats_view_route_value(view, slot, row, i);
            int64_t *sum = &s->route_values[row * stats + i];
            *sum = aggregate(&s->lists[SCOPE_ROUTE].infos[i], *sum, value);
            any |= value;
        }
        for (int i = 0; i < hists && any != 0; i++)
            take_row_hist(&s->route_hists[row * hists + i], view, slot, row, i);
    }
}

static void take_heavy(struct snapshot *s, const struct stats_view *view, enum stats_slot_section what)
{
    if (stats_view_slot_section(view, STATS_KEEPER, what) == NULL)
        return;
    s->heavy[what] = xcalloc((size_t)slots_of(s), sizeof *s->heavy[what]);
    for (int slot = STATS_KEEPER; slot < s->slots; slot++)
        heavy_read(stats_view_slot_section(view, slot, what), &s->heavy[what][slot - STATS_KEEPER]);
}

struct snapshot *snapshot_take(struct stats_view *view, int64_t now_us)
{
    struct stat_list lists[STATS_SCOPES];
    for (int scope = 0; scope < STATS_SCOPES; scope++)
        lists[scope] = stats_view_list(view, (enum stats_scope)scope);
    struct snapshot *s = snapshot_create(stats_view_slots(view), stats_view_routes(view), lists);
    s->at_us = now_us;
    s->started_us = stats_view_started_us(view);
    s->span_us = MAX(now_us - s->started_us, INT64_C(0));
    s->master_pid = stats_view_master_pid(view);
    snprintf(s->version, sizeof s->version, "%s", stats_view_version(view));
    for (int slot = STATS_KEEPER; slot < s->slots; slot++)
        take_slot(s, view, slot);
    for (int row = 0; row < s->routes; row++)
        take_row(s, view, row);
    for (int i = 0; i < SLOT_SECTION_COUNT; i++)
        take_heavy(s, view, (enum stats_slot_section)i);
    return s;
}

/* ---- windows ---- */

static bool same_metrics(const struct snapshot *a, const struct snapshot *b)
{
    for (int scope = 0; scope < STATS_SCOPES; scope++) {
        if (a->lists[scope].count != b->lists[scope].count)
            return false;
        for (int i = 0; i < a->lists[scope].count; i++)
            if (strcmp(a->lists[scope].infos[i].name, b->lists[scope].infos[i].name) != 0)
                return false;
    }
    return true;
}

static bool follows(const struct snapshot *earlier, const struct snapshot *later, struct err *err)
{
    if (earlier->started_us != later->started_us)
        return err_set(err, "perfd has been started again in between: their figures are of two lives");
    if (earlier->slots > later->slots || earlier->routes > later->routes || earlier->at_us > later->at_us)
        return err_set(err, "the first is later than the second");
    return same_metrics(earlier, later) || err_set(err, "they do not have the same metrics");
}

/* later - earlier for counters. A torn or doctored file is no reason for a negative figure. */
static void subtract_values(int64_t *to, const int64_t *earlier, const struct stat_list *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list->infos[i % (size_t)list->count].counter)
            to[i] = earlier[i] < 0 || to[i] < earlier[i] ? 0 : to[i] - earlier[i];
}

static struct histogram *difference(const struct histogram *later, const struct histogram *earlier)
{
    if (later == NULL)
        return NULL;
    struct histogram *h = copy_of(later);
    if (earlier != NULL)
        histogram_subtract(h, earlier);
    if (histogram_count(h) == 0) {
        free(h);
        h = NULL;
    }
    return h;
}

static void subtract_hists(struct histogram **to, struct histogram *const *later, size_t count,
                           struct histogram *const *earlier, size_t earlier_count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = difference(later[i], i < earlier_count ? earlier[i] : NULL);
}

static void subtract_heavy(struct snapshot *s, const struct snapshot *earlier, const struct snapshot *later, int what)
{
    if (later->heavy[what] == NULL)
        return;
    s->heavy[what] = xcalloc((size_t)slots_of(s), sizeof *s->heavy[what]);
    memcpy(s->heavy[what], later->heavy[what], (size_t)slots_of(s) * sizeof *s->heavy[what]);
    for (int i = 0; i < slots_of(earlier) && earlier->heavy[what] != NULL; i++)
        heavy_subtract(&s->heavy[what][i], &earlier->heavy[what][i]);
}

struct snapshot *snapshot_between(const struct snapshot *earlier, const struct snapshot *later, struct err *err)
{
    if (!follows(earlier, later, err))
        return NULL;
    struct snapshot *s = snapshot_create(later->slots, later->routes, later->lists);
    s->at_us = later->at_us;
    s->span_us = later->at_us - earlier->at_us;
    s->started_us = later->started_us;
    s->master_pid = later->master_pid;
    memcpy(s->version, later->version, sizeof s->version);
    memcpy(s->names, later->names, (size_t)s->routes * sizeof *s->names);
    memcpy(s->values, later->values, value_count(s) * sizeof *s->values);
    memcpy(s->route_values, later->route_values, route_value_count(s) * sizeof *s->route_values);
    subtract_values(s->values, earlier->values, &s->lists[SCOPE_SLOT], value_count(earlier));
    subtract_values(s->route_values, earlier->route_values, &s->lists[SCOPE_ROUTE], route_value_count(earlier));
    subtract_hists(s->hists, later->hists, hist_count(s), earlier->hists, hist_count(earlier));
    subtract_hists(s->route_hists, later->route_hists, route_hist_count(s), earlier->route_hists,
                   route_hist_count(earlier));
    for (int i = 0; i < SLOT_SECTION_COUNT; i++)
        subtract_heavy(s, earlier, later, i);
    return s;
}

/* ---- looking ---- */

bool snapshot_has(const struct snapshot *s, enum metric stat)
{
    return s->index_of_stat[stat] >= 0;
}

int64_t snapshot_get_at(const struct snapshot *s, int slot, int index)
{
    CHECK(slot >= STATS_KEEPER && slot < s->slots && index < s->lists[SCOPE_SLOT].count);
    return s->values[(slot - STATS_KEEPER) * s->lists[SCOPE_SLOT].count + index];
}

int64_t snapshot_get(const struct snapshot *s, int slot, enum metric stat)
{
    int index = s->index_of_stat[stat];
    return index < 0 ? 0 : snapshot_get_at(s, slot, index);
}

int64_t snapshot_sum_at(const struct snapshot *s, int index)
{
    int64_t result = 0;
    for (int slot = STATS_KEEPER; slot < s->slots; slot++)
        result = aggregate(&s->lists[SCOPE_SLOT].infos[index], result, snapshot_get_at(s, slot, index));
    return result;
}

int64_t snapshot_sum(const struct snapshot *s, enum metric stat)
{
    return s->index_of_stat[stat] < 0 ? 0 : snapshot_sum_at(s, s->index_of_stat[stat]);
}

int64_t snapshot_route_at(const struct snapshot *s, int row, int index)
{
    CHECK(row >= 0 && row < s->routes && index < s->lists[SCOPE_ROUTE].count);
    return s->route_values[row * s->lists[SCOPE_ROUTE].count + index];
}

int64_t snapshot_route(const struct snapshot *s, int row, enum route_stat stat)
{
    int index = s->index_of_route_stat[stat];
    return index < 0 ? 0 : snapshot_route_at(s, row, index);
}

static const struct histogram *slot_hist_at(const struct snapshot *s, int slot, int index)
{
    const struct histogram *h = s->hists[(slot - STATS_KEEPER) * s->lists[SCOPE_HIST].count + index];
    return h != NULL ? h : &empty;
}

const struct histogram *snapshot_slot_hist(const struct snapshot *s, int slot, enum stat_hist hist)
{
    int index = s->index_of_hist[hist];
    CHECK(slot >= STATS_KEEPER && slot < s->slots);
    return index < 0 ? &empty : slot_hist_at(s, slot, index);
}

const struct histogram *snapshot_route_hist_at(const struct snapshot *s, int row, int index)
{
    CHECK(row >= 0 && row < s->routes && index < s->lists[SCOPE_ROUTE_HIST].count);
    const struct histogram *h = s->route_hists[row * s->lists[SCOPE_ROUTE_HIST].count + index];
    return h != NULL ? h : &empty;
}

const struct histogram *snapshot_route_hist(const struct snapshot *s, int row, enum route_hist hist)
{
    int index = s->index_of_route_hist[hist];
    return index < 0 ? &empty : snapshot_route_hist_at(s, row, index);
}

void snapshot_hist_at(const struct snapshot *s, int index, struct histogram *sum_out)
{
    *sum_out = empty;
    for (int slot = STATS_KEEPER; slot < s->slots; slot++) {
        const struct histogram *h = slot_hist_at(s, slot, index);
        if (h != &empty)
            histogram_add(sum_out, h);
    }
}

void snapshot_hist(const struct snapshot *s, enum stat_hist hist, struct histogram *sum_out)
{
    *sum_out = empty;
    if (s->index_of_hist[hist] >= 0)
        snapshot_hist_at(s, s->index_of_hist[hist], sum_out);
}

struct heavy_list *snapshot_heavy(const struct snapshot *s, enum stats_slot_section what)
{
    return s->heavy[what] != NULL ? heavy_merge(s->heavy[what], slots_of(s)) : NULL;
}
