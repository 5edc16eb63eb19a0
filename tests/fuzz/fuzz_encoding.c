/* worker/encoding.h: Accept-Encoding, against a second reading of RFC 9110: 5.6.1 (lists), 12.4.2 (weights), 12.5.3.
 * Fields of its grammar are compared, whatever stands for a weight; of the others it is only asked that gzip or *
 * stands in what takes gzip. */
#include "tests/fuzz/fuzz.h"
#include "worker/encoding.h"

#include <strings.h>

enum { CODINGS_MAX = 64 };

struct coding {
    struct slice name;
    int weight; /* in thousandths */
};

struct field {
    const char *at, *end;
    struct coding codings[CODINGS_MAX];
    int count;
};

static int next(const struct field *f)
{
    return f->at < f->end ? (unsigned char)*f->at : -1;
}

static bool eat(struct field *f, const char *any_of)
{
    int c = next(f);
    bool ok = c > 0 && strchr(any_of, c) != NULL;
    f->at += ok;
    return ok;
}

static void eat_spaces(struct field *f)
{
    while (eat(f, " \t")) {
    }
}

/* token = 1*tchar */
static bool eat_token(struct field *f, struct slice *out)
{
    static const char tchars[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const char *begin = f->at;
    while (eat(f, tchars)) {
    }
    *out = slice_of(begin, (size_t)(f->at - begin));
    return out->len > 0;
}

/* qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] ), or 0: what is no weight refuses. */
static int weight_of(struct slice text)
{
    static const char ones[] = "1.000";
    if (text.len == 0 || text.len > 5)
        return 0;
    if (text.at[0] == '1')
        return memcmp(text.at, ones, text.len) == 0 ? 1000 : 0;
    if (text.at[0] != '0' || (text.len > 1 && text.at[1] != '.'))
        return 0;
    int weight = 0;
    for (size_t i = 2; i < 5; i++) {
        char digit = i < text.len ? text.at[i] : '0';
        if (digit < '0' || digit > '9')
            return 0;
        weight = 10 * weight + digit - '0';
    }
    return weight;
}

/* codings [ OWS ";" OWS "q=" qvalue ], where anything may stand for the qvalue */
static bool eat_coding(struct field *f)
{
    if (f->count == CODINGS_MAX)
        return false;
    struct coding *c = &f->codings[f->count++];
    c->weight = 1000;
    if (!eat_token(f, &c->name))
        return false;
    eat_spaces(f);
    if (!eat(f, ";"))
        return true;
    eat_spaces(f);
    if (!eat(f, "qQ") || !eat(f, "="))
        return false;
    const char *begin = f->at, *end = begin;
    for (; next(f) >= 0 && next(f) != ',' && next(f) != ';'; f->at++)
        if (next(f) != ' ' && next(f) != '\t')
            end = f->at + 1;
    c->weight = weight_of(slice_of(begin, (size_t)(end - begin)));
    return true;
}

/* #rule: elements may be empty. False: the grammar does not have it. */
static bool read_field(struct field *f)
{
    do {
        eat_spaces(f);
        if (next(f) >= 0 && next(f) != ',' && !eat_coding(f))
            return false;
    } while (eat(f, ","));
    return f->at == f->end;
}

static bool is_called(const struct coding *c, const char *name)
{
    return c->name.len == strlen(name) && strncasecmp(c->name.at, name, c->name.len) == 0;
}

/* How often one of two names is listed; its weight. */
static int find(const struct field *f, const char *name, const char *other, int *weight_out)
{
    int found = 0;
    for (int i = 0; i < f->count; i++)
        if (is_called(&f->codings[i], name) || is_called(&f->codings[i], other)) {
            *weight_out = f->codings[i].weight;
            found++;
        }
    return found;
}

static void compare(const struct field *f, bool taken)
{
    int gzip = 0, identity = 0, any = 0;
    int gzips = find(f, "gzip", "x-gzip", &gzip), identities = find(f, "identity", "identity", &identity),
        anys = find(f, "*", "*", &any);
    if (gzips > 1 || identities > 1 || anys > 1)
        return; /* the RFC does not say which of them holds */
    if (gzips == 0)
        gzip = any; /* 0 without a star */
    /* An identity that only the star stands for is not held against a gzip that is named. */
    CHECK(taken == (gzip > 0 && gzip >= identity));
}

static bool mentions_gzip(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] == '*' || (text.len - i >= 4 && strncasecmp(text.at + i, "gzip", 4) == 0))
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of((const char *)data, size);
    struct field f = {.at = text.at, .end = text.at + text.len};
    bool taken = encoding_takes_gzip(text);
    CHECK(!taken || mentions_gzip(text));
    if (read_field(&f))
        compare(&f, taken);
    return 0;
}
