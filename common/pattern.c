#include "common/pattern.h"
#include "common/once_more.h"

int pattern_compile(regex_t *regex, const char *pattern)
{
    int rc, tries = 0;
    do
        rc = regcomp(regex, pattern, REG_EXTENDED | REG_NOSUB);
    while (rc == REG_ESPACE && once_more(&tries)); /* it says so of a pattern that is too large, too */
    return rc;
}

bool pattern_matches(const regex_t *regex, const char *text)
{
    int rc, tries = 0;
    do
        rc = regexec(regex, text, 0, NULL, 0);
    while (rc == REG_ESPACE && once_more(&tries));
    return rc == 0;
}
