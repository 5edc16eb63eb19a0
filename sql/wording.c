#include "sql/wording.h"

#include <ctype.h>
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

/* PostgreSQL's own words are ASCII. A translation may quote by other marks, and have ERROR for ERROR, as Spanish does.
 */
static bool is_translated(const char *message)
{
    bool quoted = false;
    for (const char *at = message; *at != '\0'; at++) {
        quoted ^= *at == '"';
        if (!quoted && (unsigned char)*at >= 0x80)
            return true;
    }
    return false;
}

/* Of a word that is a number; 0: it is none. Those of `varchar(20)` and `int8` are part of words. */
static size_t number_len(const char *text, const char *at)
{
    bool begins = at == text || at[-1] == ' ';
    const char *digits = at + (*at == '-' || *at == '+');
    return begins && isdigit((unsigned char)*digits) ? strcspn(at, " ,;)") : 0;
}

static void copy_without_numbers(const char *text, struct slice query, char words_out[WORDING_BYTES])
{
    size_t used = 0;
    for (const char *at = text; *at != '\0' && used < WORDING_BYTES - sizeof "...";) {
        size_t len = number_len(text, at);
        bool hide = len > 0 && memmem(query.at, query.len, at, len) == NULL;
        used += (size_t)snprintf(words_out + used, WORDING_BYTES - used, hide ? "..." : "%.1s", at);
        at += hide ? len : 1;
    }
    words_out[used] = '\0';
}

void wording_log(const char *message, bool is_free, struct slice query, char words_out[WORDING_BYTES])
{
    char words[WORDING_BYTES];
    const char *first = strchr(message, '"'), *last = strrchr(message, '"');
    if (is_free || is_translated(message)) {
        snprintf(words_out, WORDING_BYTES, "an error in words of its own, left out as they may hold a value");
        return;
    }
    if (first == NULL || quotes_query_alone(first, last, query))
        snprintf(words, sizeof words, "%s", message);
    else
        snprintf(words, sizeof words, "%.*s\"...\"%s", (int)(first - message), message, last > first ? last + 1 : "");
    copy_without_numbers(words, query, words_out);
}
