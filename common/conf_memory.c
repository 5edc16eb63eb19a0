#include "common/conf_parse.h"

#include <inttypes.h>
#include <stdlib.h>

/* "85%" */
bool conf_set_percent(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    const struct conf_arg *arg = &d->args[0];
    char *end;
    long percent = strtol(arg->text, &end, 10);
    bool is_off = strcmp(arg->text, "off") == 0;
    if (!is_off && (end == arg->text || end[0] != '%' || end[1] != '\0' || percent < row->min || percent > row->max))
        return conf_error(p->err, arg->pos, "\"%.40s\" is neither off nor a share from %" PRId64 "%% to %" PRId64 "%%",
                          arg->text, row->min, row->max);
    *(int *)field = is_off ? 0 : (int)percent;
    return true;
}

static bool is_above(int64_t low, int64_t high)
{
    return low <= 0 || high <= 0 || low < high; /* off, or not worked out */
}

bool conf_finish_memory(struct conf_parser *p, const struct conf_directive *d)
{
    const struct conf *conf = p->conf;
    if (!is_above(conf->memory.worker_soft_bytes, conf->memory.worker_hard_bytes))
        return conf_error(p->err, d->pos, "memory: worker_hard must be above worker_soft");
    if (!is_above(conf->memory.alert_percent, conf->memory.shed_percent))
        return conf_error(p->err, d->pos, "memory: shed must be above alert");
    return true;
}
