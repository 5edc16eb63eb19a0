#include "sql/budget.h"

#include <stdio.h>

enum { OTHERS_LEAST = 3, OTHERS_SHARE = 10 };

/* The keeper's own connection. */
static int listeners(const struct conf *conf)
{
    return conf->database.listen != LISTEN_OFF && conf->database.listen_url == NULL;
}

static int fitting(const struct conf *conf, int allowed)
{
    int others = MAX(OTHERS_LEAST, allowed / OTHERS_SHARE);
    return MAX((allowed - others) / conf->workers, 1);
}

int budget_pool_max(const struct conf *conf, int allowed, struct err *warning)
{
    int max = conf->database.pool_max, fits = fitting(conf, allowed), wanted = conf->workers * max;
    bool cut = conf->database.pool_auto && max > fits;
    char text[160];
    warning->text[0] = '\0';
    if (!cut && wanted + listeners(conf) <= allowed)
        return max;
    snprintf(text, sizeof text, "%d workers x pool max %d = %d connections%s, the database allows %d", conf->workers,
             max, wanted, listeners(conf) ? " and one to listen" : "", allowed);
    if (cut)
        err_set(warning, "%s: pool max=auto is cut to %d", text, fits);
    else
        err_set(warning, "%s", text);
    return cut ? fits : max;
}
