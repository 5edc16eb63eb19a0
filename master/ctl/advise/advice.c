#include "master/ctl/advise/advice.h"
#include "common/arena.h"
#include "common/conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct advice {
    enum advice_kind kind;
    char *about, *todo, *text;
};

struct advices {
    struct advice *list;
    int count;
};

static const char *const kind_names[] = {"missing index", "n+1", "pool"};

struct advices *advices_create(void)
{
    return xcalloc(1, sizeof(struct advices));
}

void advices_destroy(struct advices **advices)
{
    struct advices *a = *advices;
    *advices = NULL;
    for (int i = 0; i < a->count; i++) {
        free(a->list[i].about);
        free(a->list[i].todo);
        free(a->list[i].text);
    }
    free(a->list);
    free(a);
}

void advices_add(struct advices *a, enum advice_kind kind, const char *about, const char *todo, const char *fmt, ...)
{
    va_list args;
    char *text = NULL;
    for (int i = 0; i < a->count; i++)
        if (strcmp(a->list[i].todo, todo) == 0)
            return;
    va_start(args, fmt);
    CHECK(vasprintf(&text, fmt, args) >= 0);
    va_end(args);
    a->list = xrealloc(a->list, (size_t)(a->count + 1) * sizeof *a->list);
    a->list[a->count++] = (struct advice){kind, xstrdup(about), xstrdup(todo), text};
}

static void print_document(const struct advices *a, const struct ctl *ctl)
{
    cJSON *document = document_create(ctl), *list = cJSON_AddArrayToObject(document, "advice");
    for (int i = 0; i < a->count; i++) {
        cJSON *object = document_row(list);
        cJSON_AddStringToObject(object, "kind", kind_names[a->list[i].kind]);
        cJSON_AddStringToObject(object, "about", a->list[i].about);
        cJSON_AddStringToObject(object, "found", a->list[i].text);
        cJSON_AddStringToObject(object, "todo", a->list[i].todo);
    }
    (void)document_print(ctl, &document);
}

enum ctl_exit advices_print(const struct advices *a, const struct ctl *ctl)
{
    if (ctl->output != OUTPUT_TABLE)
        print_document(a, ctl);
    else if (a->count == 0)
        puts("nothing to advise");
    for (int i = 0; ctl->output == OUTPUT_TABLE && i < a->count; i++)
        printf("%s%s, %s\n  %s\n  %s\n", i > 0 ? "\n" : "", kind_names[a->list[i].kind], a->list[i].about,
               a->list[i].text, a->list[i].todo);
    return a->count > 0 ? CTL_FAILED : CTL_OK;
}

enum ctl_exit command_advise(const struct ctl *ctl)
{
    struct conf *conf = ctl_conf(ctl, ctl->view);
    if (conf == NULL)
        return CTL_FAILED;
    struct advices *advices = advices_create();
    bool ok = !conf->database.set || advise_indexes(ctl, conf, advices);
    advise_n_plus_1(ctl->figures, advices);
    advise_pool(ctl->figures, advices);
    enum ctl_exit code = advices_print(advices, ctl);
    advices_destroy(&advices);
    conf_destroy(&conf);
    return ok ? code : CTL_FAILED;
}
