/* What top knows: the figures of now, of the last interval and since the baseline, and of the last minutes; across
 * restarts of the server, which it notices. */
#ifndef MASTER_CTL_TOP_MODEL_H
#define MASTER_CTL_TOP_MODEL_H

#include "master/ctl/source.h"
#include "master/ctl/top/gauges.h"
#include "master/ctl/top/series.h"

/* What a line of the last minutes spans. */
#define MODEL_LINE_US (120 * INT64_C(1000000))

/* Of which time the figures of the tables are. */
enum span { SPAN_INTERVAL, SPAN_BASELINE, SPAN_START };

/* Each route has two tracks of the series, behind those of the gauges. */
enum route_track { TRACK_RATE, TRACK_P95, ROUTE_TRACKS };

struct model {
    struct source *source;
    struct stats_view *view;       /* of now; lives until the next model_take() */
    struct snapshot *now;          /* never NULL */
    struct snapshot *window;       /* from the take before to now; NULL: there is none of this life */
    struct snapshot *base, *since; /* where the baseline is, and from there to now; NULL: none */
    enum span span;                /* that is wanted; of one that there is none of yet it is the interval */
    bool running, stopped;         /* the master lives; it does, but is stopped */
    double *cpu;                   /* by slot, the keeper's first: of one CPU in the window; below 0: not known */
    int lives;                     /* of a server, seen one after the other */
    int64_t seen_us;               /* wall clock, of the last take */
    struct reading gauges[GAUGE_COUNT];
    struct series *series;
};

void model_init(struct model *model, struct source *source); /* and the first take; lines begin with
                                                              * the history that the server has kept */
void model_deinit(struct model *model);                      /* the source is the caller's */
void model_take(struct model *model);
void model_set_base(struct model *model);              /* the baseline is now */
double model_cpu(const struct model *model, int slot); /* cpu of the model */
/* Whether the slot is to have a worker, or has one: not what a configuration with more workers has left. */
bool model_has_slot(const struct model *model, int slot);
/* The figures that are wanted, and of which time they are. */
const struct snapshot *model_shown(const struct model *model, enum span *span_out);
int route_track(int row, enum route_track track); /* its number in the series */
/* All answers of a route. */
void route_answers(const struct snapshot *s, int row, struct histogram *out);

#endif
