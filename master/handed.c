#include "master/handed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FORM = 1, NUMBERS_MAX = 65536, FIELDS = 13 };

/* A row for each name: where its numbers are, and how many. */
struct field {
    const char *name;
    int *at;
    int count;
    bool number; /* no descriptor */
    bool optional;
};

static void fields_of(struct handed *h, struct field fields[FIELDS])
{
    const struct field all[FIELDS] = {
        {"wire", &h->wire_fd, 1, false, false},
        {"lock", &h->lock_fd, 1, false, false},
        {"socket", &h->socket_fd, 1, false, false},
        {"presence", h->presence, 2, false, false},
        {"kin", &h->kin_fd, 1, false, false},
        {"control", &h->shared.control_fd, 1, false, true},
        {"cache", &h->shared.cache_fd, 1, false, true},
        {"stats", &h->shared.stats_fd, 1, false, true},
        {"tickets", &h->tickets_fd, 1, false, true},
        {"generation", &h->generation, 1, true, false},
        {"wake", h->shared.wake_fd, BOARD_ROWS, false, true},
        {"listen", NULL, 0, false, true}, /* as many as there are */
        {"passed", NULL, 0, false, true},
    };
    memcpy(fields, all, sizeof all);
}

/* ---- printing ---- */

static void print_numbers(FILE *out, const char *name, const int *at, int count)
{
    const char *before = "=";
    fprintf(out, " %s", name);
    for (int i = 0; i < count; i++, before = ",")
        if (at[i] >= 0)
            fprintf(out, "%s%d", before, at[i]);
}

static void print_sockets(FILE *out, const char *name, const struct inherited *sockets, bool passed)
{
    int *fds = xcalloc((size_t)sockets->count + 1, sizeof *fds), count = 0;
    for (int i = 0; i < sockets->count; i++)
        if (sockets->passed[i] == passed)
            fds[count++] = sockets->fds[i];
    if (count > 0)
        print_numbers(out, name, fds, count);
    free(fds);
}

char *handed_print(const struct handed *handed)
{
    char *text = NULL;
    size_t len;
    struct handed h = *handed;
    struct field fields[FIELDS];
    FILE *out = open_memstream(&text, &len);
    CHECK(out != NULL);
    fields_of(&h, fields);
    fprintf(out, "%d", FORM);
    for (int i = 0; i < FIELDS; i++)
        if (fields[i].at != NULL && fields[i].at[0] >= 0)
            print_numbers(out, fields[i].name, fields[i].at, fields[i].count);
    print_sockets(out, "listen", &h.listen, false);
    print_sockets(out, "passed", &h.listen, true);
    CHECK(fclose(out) == 0);
    return text;
}

/* ---- keeping ---- */

static void set_close_on_exec(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFD);
    if (flags >= 0)
        (void)fcntl(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC);
}

void handed_keep(const struct handed *handed)
{
    struct handed h = *handed;
    struct field fields[FIELDS];
    fields_of(&h, fields);
    for (int i = 0; i < FIELDS; i++)
        for (int k = 0; k < fields[i].count && !fields[i].number; k++)
            if (fields[i].at[k] >= 0)
                set_close_on_exec(fields[i].at[k], false);
    for (int i = 0; i < h.listen.count; i++)
        if (h.listen.fds[i] >= 0)
            set_close_on_exec(h.listen.fds[i], false);
}

/* ---- parsing ---- */

static bool refuse(const char *word, const char *why, struct err *err)
{
    return err_set(err, HANDED_VARIABLE ": %s: %s", word, why);
}

/* The numbers behind "=": into field, or into the listening sockets. */
static bool parse_numbers(const char *word, const char *at, const struct field *field, struct inherited *listen,
                          struct err *err)
{
    for (int count = 0;; count++) {
        char *end;
        errno = 0;
        long number = strtol(at, &end, 10);
        if (end == at || errno != 0 || number < 0 || number > NUMBERS_MAX)
            return refuse(word, "no number", err);
        if (!field->number && fcntl((int)number, F_GETFD) < 0)
            return refuse(word, "the descriptor is not open", err);
        if (!field->number)
            set_close_on_exec((int)number, true);
        if (field->at == NULL)
            inherited_add(listen, (int)number, strcmp(field->name, "passed") == 0);
        else if (count < field->count)
            field->at[count] = (int)number;
        else
            close((int)number); /* of more rows than this perfd has: their board does not fit either */
        if (*end == '\0')
            return field->at == NULL || count + 1 >= field->count || field->optional || refuse(word, "too few", err);
        if (*end != ',')
            return refuse(word, "no number", err);
        at = end + 1;
    }
}

static bool parse_word(char *word, const struct field fields[FIELDS], struct handed *h, struct err *err)
{
    char *equals = strchr(word, '=');
    if (equals == NULL)
        return refuse(word, "no NAME=NUMBER", err);
    for (int i = 0; i < FIELDS; i++)
        if (strlen(fields[i].name) == (size_t)(equals - word) &&
            strncmp(fields[i].name, word, (size_t)(equals - word)) == 0)
            return parse_numbers(word, equals + 1, &fields[i], &h->listen, err);
    return true;
}

static bool parse_words(char *words, struct handed *h, struct err *err)
{
    struct field fields[FIELDS];
    char *rest = NULL, *word = strtok_r(words, " ", &rest);
    fields_of(h, fields);
    if (word == NULL || atoi(word) != FORM)
        return refuse(word ? word : "", "a form that this perfd does not know", err);
    while ((word = strtok_r(NULL, " ", &rest)) != NULL)
        if (!parse_word(word, fields, h, err))
            return false;
    for (int i = 0; i < FIELDS; i++)
        if (!fields[i].optional && fields[i].at[0] < 0)
            return refuse(fields[i].name, "is missing", err);
    return true;
}

bool handed_parse(const char *text, struct handed *h, struct err *err)
{
    struct handed none = {.wire_fd = -1, .lock_fd = -1, .socket_fd = -1, .presence = {-1, -1}, .kin_fd = -1};
    none.tickets_fd = none.generation = none.shared.control_fd = none.shared.cache_fd = none.shared.stats_fd = -1;
    memset(none.shared.wake_fd, -1, sizeof none.shared.wake_fd);
    *h = none;
    char *words = xstrdup(text);
    bool ok = parse_words(words, h, err);
    free(words);
    return ok;
}
