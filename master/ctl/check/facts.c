#include "master/ctl/check/facts.h"
#include "common/clock.h"
#include "shm/slow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WEEK_US (7 * 86400 * US_PER_S)
#define TIMEOUT_US (5 * US_PER_S)

static void read_history(struct facts *f, const struct stats_view *view)
{
    f->point_count = history_read(view, HISTORY_MINUTES, f->points);
    if (f->point_count < 2)
        f->point_count = MAX(history_read(view, HISTORY_SECONDS, f->points), 0);
}

static void read_slow(struct facts *f, const struct stats_view *view)
{
    const struct ring *ring = stats_view_section(view, SECTION_slow);
    if (ring == NULL)
        return;
    struct slow_query *queries = xcalloc(SLOW_ENTRIES, sizeof *queries);
    int count = slow_read(ring, queries);
    for (int i = 0; i < count; i++) {
        if (queries[i].at_us < f->now_us - WEEK_US)
            continue;
        f->slow_count++;
        if (queries[i].run_us <= f->slowest_us)
            continue;
        f->slowest_us = queries[i].run_us;
        snprintf(f->slowest_route, sizeof f->slowest_route, "%s", queries[i].route);
    }
    free(queries);
}

static void ask_database(struct facts *f, const struct ctl *ctl)
{
    const char *url = ctl_value(ctl, OPTION_url);
    if (url == NULL && f->conf != NULL && f->conf->database.set)
        url = f->conf->database.url;
    f->has_database = url != NULL || f->conf == NULL;
    if (url == NULL) {
        err_set(&f->database_err, "%s", f->conf_err.text);
        return;
    }
    f->has_survey = survey_take(url, TIMEOUT_US, &f->survey, &f->database_err);
    if (!f->has_survey || f->conf == NULL)
        return;
    f->indexes = advices_create();
    f->has_survey = advise_indexes(f->conf, url, TIMEOUT_US, f->indexes, &f->database_err);
}

void facts_init(struct facts *f, const struct ctl *ctl)
{
    *f = (struct facts){.s = ctl->figures, .now_us = ctl->now_us};
    read_history(f, ctl->view);
    read_slow(f, ctl->view);
    f->conf = ctl_conf_load(ctl, ctl->view, &f->conf_err);
    ask_database(f, ctl);
}

void facts_deinit(struct facts *f)
{
    survey_deinit(&f->survey);
    if (f->indexes != NULL)
        advices_destroy(&f->indexes);
    conf_destroy(&f->conf);
}
