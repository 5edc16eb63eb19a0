#include "common/base.h"
#include "common/log.h"

#include <stdlib.h>

void check_failed(const char *file, int line, const char *what)
{
    log_write(LOG_CRIT, "%s:%d: this must hold and does not: %s", file, line, what);
    abort();
}
