#include "common/conf_parse.h"
#include "common/paper.h"

static const char *const titles[CONF_CONTEXT_COUNT] = {
    [CONF_IN_MAIN] = "Directives outside of any block",
    [CONF_IN_DATABASE] = "In database",
    [CONF_IN_POOL] = "Options of pool, in database",
    [CONF_IN_REDIS] = "In redis",
    [CONF_IN_TLS] = "In tls",
    [CONF_IN_CORS] = "In cors",
    [CONF_IN_CACHE] = "In cache",
    [CONF_IN_MEMORY] = "In memory",
    [CONF_IN_UPSTREAM] = "In upstream",
    [CONF_IN_RATE_LIMIT] = "In rate_limit",
    [CONF_IN_ROUTE] = "In route",
    [CONF_IN_ROUTE_CACHE] = "Options of cache, in route",
    [CONF_IN_PARAM] = "Options of param, in route",
};

static bool is_option(const struct conf_row *row)
{
    return row->context == CONF_IN_POOL || row->context == CONF_IN_ROUTE_CACHE || row->context == CONF_IN_PARAM;
}

/* "127.0.0.1:8080", or the words in the parentheses of a default that is worked out. */
static struct slice default_of(const struct conf_row *row)
{
    struct slice text = slice_str(row->default_text);
    return conf_row_computed(row) ? slice_of(text.at + 1, text.len - 2) : text;
}

/* "Default: 10000; from 1 to 100000000; needs a restart." Nothing where there is nothing
 * to say. */
static void print_facts(const struct conf_row *row, const char *before, FILE *out)
{
    char bounds[CONF_BOUNDS_BYTES];
    bool bounded = conf_bounds_text(row, bounds);
    if (row->default_text == NULL && !bounded && row->applies != CONF_RESTART)
        return;
    fputs(before, out);
    const char *between = "";
    if (row->default_text != NULL) {
        fprintf(out, "Default: " SLICE_FMT, SLICE_ARG(default_of(row)));
        between = "; ";
    }
    if (bounded) {
        fprintf(out, "%sfrom %s", between, bounds);
        between = "; ";
    }
    if (row->applies == CONF_RESTART)
        fprintf(out, "%sneeds a restart", between);
    fputs(".\n", out);
}

static void print_row(const struct conf_row *row, FILE *out)
{
    fprintf(out, "  %s%s%s\n", row->name, row->arguments[0] == '\0' ? "" : is_option(row) ? "=" : " ", row->arguments);
    paper_wrap(row->doc, "      ", out);
    print_facts(row, "      ", out);
}

void conf_print_help(FILE *out)
{
    fputs("perfd.conf: a directive is words up to ;, or words and a { block }. What changes is applied by a reload\n"
          "(SIGHUP) unless it says that it needs a restart.\n",
          out);
    for (int context = 0; context < CONF_CONTEXT_COUNT; context++) {
        fprintf(out, "\n%s:\n", titles[context]);
        for (const struct conf_row *row = conf_rows; row < conf_rows + CONF_ROW_COUNT; row++)
            if ((int)row->context == context)
                print_row(row, out);
    }
}

static void print_row_mdoc(const struct conf_row *row, FILE *out)
{
    /* An argument of a macro in quotes, where "" is one of them. */
    fprintf(out, ".It Ic %s", row->name);
    if (row->arguments[0] != '\0') {
        fputs(is_option(row) ? " Ns Li = Ns Ar \"" : " Ar \"", out);
        for (const char *at = row->arguments; *at != '\0'; at++)
            fputs(*at == '"' ? "\"\"" : (char[]){*at, '\0'}, out);
        fputc('"', out);
    }
    fputc('\n', out);
    paper_mdoc(row->doc, out);
    fputc('\n', out);
    print_facts(row, ".br\n", out);
}

void conf_print_help_mdoc(FILE *out)
{
    for (int context = 0; context < CONF_CONTEXT_COUNT; context++) {
        fprintf(out, ".Ss %s\n.Bl -tag -width Ds\n", titles[context]);
        for (const struct conf_row *row = conf_rows; row < conf_rows + CONF_ROW_COUNT; row++)
            if ((int)row->context == context)
                print_row_mdoc(row, out);
        fputs(".El\n", out);
    }
}
