#include "master/ctl/capacity/points.h"
#include "common/slice.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void points_add(struct points *p, double n, double x)
{
    if (p->count == p->cap)
        p->at = xrealloc(p->at, (size_t)(p->cap = p->cap ? 2 * p->cap : 32) * sizeof *p->at);
    int i = p->count++;
    for (; i > 0 && p->at[i - 1].n > n; i--)
        p->at[i] = p->at[i - 1];
    p->at[i] = (struct usl_point){n, x};
}

void points_deinit(struct points *p)
{
    free(p->at);
    *p = (struct points){0};
}

/* A number above 0 and the blanks behind it; NULL: there is none. */
static char *read_number(char *at, double *value_out)
{
    char *end;
    *value_out = strtod(at, &end);
    if (end == at || !isfinite(*value_out) || *value_out <= 0)
        return NULL;
    return end + strspn(end, " \t");
}

static bool read_line(struct points *points, char *line)
{
    double n, x;
    char *at = read_number(line, &n);
    if (at == NULL || (*at != ',' && !isspace((unsigned char)at[-1])))
        return false;
    at = read_number(at + (*at == ','), &x);
    if (at == NULL || (*at != '\0' && *at != ','))
        return false;
    points_add(points, n, x);
    return true;
}

/* Without the comment, the line's end and the blanks around. */
static char *trim(char *line)
{
    line[strcspn(line, "#\r\n")] = '\0';
    line += strspn(line, " \t");
    for (char *end = line + strlen(line); end > line && (end[-1] == ' ' || end[-1] == '\t');)
        *--end = '\0';
    return line;
}

static bool read_file(struct points *points, FILE *file, struct err *err)
{
    char *line = NULL;
    size_t cap = 0;
    bool ok = true, first = true;
    for (int number = 1; ok && getline(&line, &cap, file) >= 0; number++) {
        char *text = trim(line);
        if (*text == '\0')
            continue;
        ok = read_line(points, text) || (first && isalpha((unsigned char)*text));
        first = false;
        if (!ok)
            err_set(err, "line %d: \"%.60s\" is not N, X, two numbers above 0", number, text);
    }
    free(line);
    return ok && (!ferror(file) || err_set(err, "%s", strerror(errno)));
}

bool points_read(struct points *points, const char *path, struct err *err)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *file = standard ? stdin : fopen(path, "re");
    if (file == NULL)
        return err_set(err, "%s: %s", path, strerror(errno));
    bool ok = read_file(points, file, err) || err_prefix(err, "%s: ", standard ? "standard input" : path);
    if (!standard)
        fclose(file);
    return ok;
}
