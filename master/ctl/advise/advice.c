#include "master/ctl/advise/advice.h"
#include "common/clock.h"
#include "common/conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATABASE_TIMEOUT_US (10 * US_PER_S)

struct unknown {
    char *about, *why;
};

struct advices {
    struct advice *list;
    int count;
    struct unknown *unknown;
    int unknown_count;
};

static const char *const kind_names[ADVICE_KINDS] = {
#define ADVICE(kind, name) name,
#include "master/ctl/advise/advice.def"
#undef ADVICE
};

struct advices *advices_create(void)
{
    return xcalloc(1, sizeof(struct advices));
}

static void deinit(struct advice *advice)
{
    free(advice->about);
    free(advice->found);
    free(advice->todo);
}

void advices_destroy(struct advices **advices)
{
    struct advices *a = *advices;
    *advices = NULL;
    for (int i = 0; i < a->count; i++)
        deinit(&a->list[i]);
    for (int i = 0; i < a->unknown_count; i++) {
        free(a->unknown[i].about);
        free(a->unknown[i].why);
    }
    free(a->list);
    free(a->unknown);
    free(a);
}

int advices_count(const struct advices *a)
{
    return a->count;
}

const struct advice *advices_at(const struct advices *a, int i)
{
    return &a->list[i];
}

int advices_unknown_count(const struct advices *a)
{
    return a->unknown_count;
}

/* ---- adding ---- */

/* `CREATE INDEX ... (a, b);` does what `CREATE INDEX ... (a);` does. */
static bool covers(const char *index, const char *other)
{
    size_t len = strlen(other) - MIN(strlen(other), strlen(");"));
    return strcmp(index, other) == 0 || (strncmp(index, other, len) == 0 && strncmp(index + len, ", ", 2) == 0);
}

static char *with_about(const char *list, const char *about)
{
    char *text = NULL;
    size_t len = strlen(about);
    for (const char *at = list; (at = strstr(at, about)) != NULL; at += len)
        if ((at == list || at[-1] == ' ') && (at[len] == '\0' || at[len] == ','))
            return xstrdup(list);
    CHECK(asprintf(&text, "%s, %s", list, about) >= 0);
    return text;
}

/* Takes it in where another index is in question for the same. */
static bool merge(struct advices *a, const struct advice *advice)
{
    for (int i = 0; i < a->count; i++) {
        struct advice *other = &a->list[i];
        bool longer = covers(advice->todo, other->todo);
        if (other->kind != ADVICE_INDEX || (!longer && !covers(other->todo, advice->todo)))
            continue;
        const struct advice *kept = longer && strcmp(advice->todo, other->todo) != 0 ? advice : other;
        struct advice both = {ADVICE_INDEX, with_about(other->about, advice->about), xstrdup(kept->found),
                              xstrdup(kept->todo)};
        deinit(other);
        *other = both;
        return true;
    }
    return false;
}

void advices_add(struct advices *a, enum advice_kind kind, const char *about, const char *todo, const char *fmt, ...)
{
    va_list args;
    char *found = NULL;
    va_start(args, fmt);
    CHECK(vasprintf(&found, fmt, args) >= 0);
    va_end(args);
    struct advice advice = {kind, xstrdup(about), found, xstrdup(todo)};
    if (kind == ADVICE_INDEX && merge(a, &advice)) {
        deinit(&advice);
        return;
    }
    a->list = xrealloc(a->list, (size_t)(a->count + 1) * sizeof *a->list);
    a->list[a->count++] = advice;
}

void advices_unknown(struct advices *a, const char *about, const char *fmt, ...)
{
    va_list args;
    char *why = NULL;
    va_start(args, fmt);
    CHECK(vasprintf(&why, fmt, args) >= 0);
    va_end(args);
    a->unknown = xrealloc(a->unknown, (size_t)(a->unknown_count + 1) * sizeof *a->unknown);
    a->unknown[a->unknown_count++] = (struct unknown){xstrdup(about), why};
}

/* ---- the command ---- */

static void print_document(const struct advices *a, const struct ctl *ctl)
{
    cJSON *document = document_create(ctl), *list = cJSON_AddArrayToObject(document, "advice");
    cJSON *unknown = cJSON_AddArrayToObject(document, "unknown");
    for (int i = 0; i < a->count; i++) {
        cJSON *object = document_row(list);
        cJSON_AddStringToObject(object, "kind", kind_names[a->list[i].kind]);
        cJSON_AddStringToObject(object, "about", a->list[i].about);
        cJSON_AddStringToObject(object, "found", a->list[i].found);
        cJSON_AddStringToObject(object, "todo", a->list[i].todo);
    }
    for (int i = 0; i < a->unknown_count; i++) {
        cJSON *object = document_row(unknown);
        cJSON_AddStringToObject(object, "about", a->unknown[i].about);
        cJSON_AddStringToObject(object, "why", a->unknown[i].why);
    }
    (void)document_print(ctl, &document);
}

static void print_text(const struct advices *a)
{
    if (a->count == 0)
        puts(a->unknown_count == 0 ? "nothing to advise" : "nothing to advise about what could be looked at");
    for (int i = 0; i < a->count; i++)
        printf("%s%s, %s\n  %s\n  %s\n", i > 0 ? "\n" : "", kind_names[a->list[i].kind], a->list[i].about,
               a->list[i].found, a->list[i].todo);
}

static enum ctl_exit print(const struct advices *a, const struct ctl *ctl)
{
    for (int i = 0; i < a->unknown_count; i++)
        fprintf(stderr, "perfctl: advise: %s: %s\n", a->unknown[i].about, a->unknown[i].why);
    if (ctl->output == OUTPUT_TABLE)
        print_text(a);
    else
        print_document(a, ctl);
    return a->count > 0 || a->unknown_count > 0 ? CTL_FAILED : CTL_OK;
}

static void look_at_conf(const struct ctl *ctl, const struct conf *conf, struct advices *advices)
{
    struct err err;
    const char *url = ctl_value(ctl, OPTION_url) != NULL ? ctl_value(ctl, OPTION_url) : conf->database.url;
    if (conf->database.set && !advise_indexes(conf, url, DATABASE_TIMEOUT_US, advices, &err))
        advices_unknown(advices, "indexes", "%s", err.text);
    advise_cache(ctl->figures, conf, advices);
}

enum ctl_exit command_advise(const struct ctl *ctl)
{
    struct err err;
    struct advices *advices = advices_create();
    struct conf *conf = ctl_conf_load(ctl, ctl->view, &err);
    if (conf != NULL)
        look_at_conf(ctl, conf, advices);
    else
        advices_unknown(advices, "indexes and the cache", "%s", err.text);
    advise_n_plus_1(ctl->figures, advices);
    advise_pool(ctl->figures, advices);
    enum ctl_exit code = print(advices, ctl);
    advices_destroy(&advices);
    if (conf != NULL)
        conf_destroy(&conf);
    return code;
}
