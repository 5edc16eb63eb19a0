/* What the checklist goes by: figures since the start, how the last hour was, the configuration, and the database. */
#ifndef MASTER_CTL_CHECK_FACTS_H
#define MASTER_CTL_CHECK_FACTS_H

#include "common/conf.h"
#include "master/ctl/advise/advice.h"
#include "master/ctl/ctl.h"
#include "shm/history.h"
#include "sql/survey.h"

struct facts {
    const struct snapshot *s; /* since the start */
    int64_t now_us;
    struct history_point points[HISTORY_POINTS]; /* minutes; seconds where perfd is younger than two minutes */
    int point_count;
    int slow_count; /* queries of the last week; the ring has room for SLOW_ENTRIES */
    int64_t slowest_us;
    char slowest_route[120];
    struct conf *conf; /* NULL: it cannot be read, as conf_err says */
    struct err conf_err;
    bool has_database; /* or it is not known whether there is one */
    bool has_survey;   /* else the database cannot be asked, as database_err says */
    struct survey survey;
    struct advices
        *indexes; /* of that database, for the queries of conf; NULL: it cannot be asked, or there is no conf */
    struct err database_err;
};

void facts_init(struct facts *facts, const struct ctl *ctl);
void facts_deinit(struct facts *facts);

#endif
