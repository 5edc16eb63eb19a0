#include "sql/budget.h"

enum { OTHERS_LEAST = 3, OTHERS_SHARE = 10 };

static int fitting(const struct conf *conf, int allowed)
{
    int others = MAX(OTHERS_LEAST, allowed / OTHERS_SHARE);
    return MAX((allowed - others) / conf->workers, 1);
}

int budget_pool_max(const struct conf *conf, int allowed, struct err *warning)
{
    int max = conf->database.pool_max, fits = fitting(conf, allowed), wanted = conf->workers * max;
    bool cut = conf->database.pool_auto && max > fits;
    warning->text[0] = '\0';
    if (!cut && wanted <= allowed)
        return max;
    err_set(warning, "%d workers x pool max %d = %d connections, the database allows %d", conf->workers, max, wanted,
            allowed);
    if (!cut)
        return max;
    err_set(warning, "%d workers x pool max %d = %d connections, the database allows %d: pool max=auto is cut to %d",
            conf->workers, max, wanted, allowed, fits);
    return fits;
}
