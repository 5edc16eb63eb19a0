#include "common/base.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>

void (*check_told)(const char *words);

void check_failed(const char *file, int line, const char *what)
{
    char words[512];
    snprintf(words, sizeof words, "%s:%d: this must hold and does not: %s", file, line, what);
    log_write(LOG_CRIT, "%s", words);
    if (check_told != NULL)
        check_told(words);
    abort();
}
