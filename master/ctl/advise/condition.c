#include "master/ctl/advise/condition.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 512 };

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '.' || c == '"' || (unsigned char)c >= 0x80;
}

/* At an operator and the blank behind it. */
static enum compared operator_at(const char *at)
{
    static const char *const ranges[] = {"< ", "> ", "<= ", ">= "};
    if (strncmp(at, "= ", 2) == 0)
        return COMPARED_EQUAL;
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
        if (strncmp(at, ranges[i], strlen(ranges[i])) == 0)
            return COMPARED_RANGE;
    return COMPARED_NOT;
}

/* Behind the column: ` = $1`, or `)::text = $1`. */
static enum compared behind(const char *at)
{
    if (strncmp(at, ")::", 3) == 0)
        at += 3 + strcspn(at + 3, " ()");
    return *at == ' ' ? operator_at(at + 1) : COMPARED_NOT;
}

/* In front of it: `$1 = `. The operator ends at a blank and begins behind one. */
static enum compared in_front(const char *condition, const char *at)
{
    if (at - condition < 3 || at[-1] != ' ')
        return COMPARED_NOT;
    const char *operator= at - 2;
    while (operator> condition && operator[-1] != ' ')
        operator--;
    return operator_at(operator);
}

enum compared condition_compares(const char *condition, const char *alias, const char *column)
{
    char name[NAME_BYTES];
    enum compared best = COMPARED_NOT;
    if (strstr(condition, " OR ") != NULL || strstr(condition, "NOT (") != NULL)
        return COMPARED_NOT;
    snprintf(name, sizeof name, "%s.%s", alias, column);
    size_t len = strlen(name);
    for (const char *at = condition; (at = strstr(at, name)) != NULL; at += len) {
        if ((at > condition && is_name_byte(at[-1])) || is_name_byte(at[len]))
            continue;
        enum compared here = MAX(behind(at + len), in_front(condition, at));
        best = MAX(best, here);
    }
    return best;
}
