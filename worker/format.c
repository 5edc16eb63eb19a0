#include "worker/format.h"
#include "worker/reply.h"
#include "worker/weighted.h"

enum { FORMATS = ENCODE_CSV + 1, NAMES_MAX = 4 };
#define VARY "Vary: Accept\r\n"
#define NDJSON_HEAD "Content-Type: application/x-ndjson\r\n"
#define CSV_HEAD "Content-Type: text/csv; charset=utf-8; header=present\r\n"

/* The more closely a name fits, the more its weight counts. */
static const char *const names[FORMATS][NAMES_MAX] = {
    [ENCODE_JSON] = {"*/*", "application/*", "application/json"},
    [ENCODE_NDJSON] = {"application/x-ndjson", "application/ndjson", "application/jsonl"},
    [ENCODE_CSV] = {"text/*", "text/csv"},
};

struct wish {
    int closeness, weight; /* -1: it is not named */
};

static void weigh(struct wish *wish, const char *const *words, const struct weighted *type)
{
    for (int i = 0; i < NAMES_MAX && words[i] != NULL; i++)
        if (weighted_is(type->name, words[i]) && i >= wish->closeness)
            *wish = (struct wish){i, type->weight};
}

enum encode_format format_of(struct slice accept)
{
    struct wish wishes[FORMATS] = {{-1, 0}, {-1, 0}, {-1, 0}};
    enum encode_format best = ENCODE_JSON;
    for (struct weighted type; weighted_next(&accept, &type);)
        for (int f = 0; f < FORMATS; f++)
            weigh(&wishes[f], names[f], &type);
    for (int f = 0; f < FORMATS; f++)
        if (wishes[f].weight > wishes[best].weight)
            best = (enum encode_format)f;
    return best;
}

struct slice format_head(enum encode_format format, bool varies)
{
    switch (format) {
    case ENCODE_JSON:
        return varies ? SLICE(REPLY_JSON_HEAD VARY) : SLICE(REPLY_JSON_HEAD);
    case ENCODE_NDJSON:
        return SLICE(NDJSON_HEAD VARY);
    case ENCODE_CSV:
        return SLICE(CSV_HEAD VARY);
    }
    return SLICE("");
}
