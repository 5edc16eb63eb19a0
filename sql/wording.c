#include "sql/wording.h"

#include <stdio.h>

/* elog() in PostgreSQL's own languages: pl_exec.c of PL/pgSQL, and those of PL/Python, PL/Perl and PL/Tcl. */
static bool is_from_function(const char *file)
{
    static const char *const beginnings[] = {"pl_", "plpy", "plperl", "pltcl"};
    const char *slash = strrchr(file, '/');
    const char *name = slash != NULL ? slash + 1 : file;
    for (size_t i = 0; i < ARRAY_LEN(beginnings); i++)
        if (strncmp(name, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    return false;
}

bool wording_is_free(const PGresult *error)
{
    const char *file = PQresultErrorField(error, PG_DIAG_SOURCE_FILE);
    const char *severity = PQresultErrorField(error, PG_DIAG_SEVERITY);
    const char *plain = PQresultErrorField(error, PG_DIAG_SEVERITY_NONLOCALIZED);
    return (file != NULL && is_from_function(file)) || severity == NULL || plain == NULL ||
           strcmp(severity, plain) != 0;
}

/* Each quoted word stands in the query, and none is left open. */
static bool quotes_query_alone(const char *first, const char *last, struct slice query)
{
    for (const char *open = first;;) {
        const char *close = open < last ? strchr(open + 1, '"') : NULL;
        if (close == NULL || memmem(query.at, query.len, open + 1, (size_t)(close - open - 1)) == NULL)
            return false;
        if (close == last)
            return true;
        open = strchr(close + 1, '"');
    }
}

void wording_log(const char *message, bool is_free, struct slice query, char words_out[WORDING_BYTES])
{
    const char *first = strchr(message, '"'), *last = strrchr(message, '"');
    if (is_free)
        snprintf(words_out, WORDING_BYTES, "an error in words of its own, left out as they may hold a value");
    else if (first == NULL || quotes_query_alone(first, last, query))
        snprintf(words_out, WORDING_BYTES, "%s", message);
    else
        snprintf(words_out, WORDING_BYTES, "%.*s\"...\"%s", (int)(first - message), message,
                 last > first ? last + 1 : "");
}
