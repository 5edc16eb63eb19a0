#include "master/ctl/log/print.h"
#include "master/ctl/format.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Wide enough for most: lines are printed as they come. */
#define ROW "%-27s %6s %9s %9s %9s  %-9s %-5s %-15s %s %s\n"

static const char *shown(const struct line *line, enum line_field field, struct arena *arena)
{
    if (!line->values[field].known)
        return "-";
    char *text = arena_str(arena, line->values[field].text);
    format_printable(text, "");
    return text;
}

static struct text time_of(const struct line *line, enum line_field field)
{
    struct text none = {"-"};
    double us = line->values[field].number;
    return line->values[field].known && us < 0x1p62 && us > -0x1p62 ? format_us((int64_t)us) : none;
}

static void print_row(const struct line *line)
{
    struct arena *arena = arena_create();
    printf(ROW, shown(line, LINE_time, arena), shown(line, LINE_status, arena), time_of(line, LINE_duration_us).s,
           time_of(line, LINE_database_us).s, shown(line, LINE_bytes, arena), shown(line, LINE_cache, arena),
           shown(line, LINE_sqlstate, arena), shown(line, LINE_remote, arena), shown(line, LINE_method, arena),
           shown(line, LINE_target, arena));
    arena_destroy(&arena);
}

/* ms is duration_us, once more. */
static void print_csv(const struct line *line)
{
    struct arena *arena = arena_create();
    for (int i = 0; i < LINE_FIELDS; i++) {
        if (i == LINE_ms)
            continue;
        fputs(i > 0 ? "," : "", stdout);
        if (line != NULL && line->values[i].known)
            document_csv_field(arena_str(arena, line->values[i].text));
        else if (line == NULL)
            document_csv_field(line_field_name((enum line_field)i));
    }
    fputs("\r\n", stdout);
    arena_destroy(&arena);
}

void print_begin(const struct ctl *ctl, bool follows)
{
    switch (ctl->output) {
    case OUTPUT_TABLE:
        printf(ROW, "TIME", "STATUS", "DURATION", "DATABASE", "BYTES", "CACHE", "STATE", "REMOTE", "REQUEST", "");
        break;
    case OUTPUT_JSON:
        fputs(follows ? "" : "{\"schema\":\"perfctl.log/1\",\"lines\":[\n", stdout);
        break;
    case OUTPUT_CSV:
        print_csv(NULL);
        break;
    case OUTPUT_PROM:
        CHECK(!"OpenMetrics has no lines");
    }
}

void print_line(const struct ctl *ctl, const struct line *line, bool first, bool follows)
{
    switch (ctl->output) {
    case OUTPUT_TABLE:
        print_row(line);
        break;
    case OUTPUT_JSON:
        fputs(!follows && !first ? ",\n" : "", stdout);
        fwrite(line->raw.at, 1, line->raw.len, stdout);
        fputs(follows ? "\n" : "", stdout);
        break;
    case OUTPUT_CSV:
        print_csv(line);
        break;
    case OUTPUT_PROM:
        CHECK(!"OpenMetrics has no lines");
    }
}

void print_end(const struct ctl *ctl, bool follows, int64_t lines, int64_t damaged)
{
    if (ctl->output == OUTPUT_JSON && !follows)
        printf("\n],\"count\":%" PRId64 ",\"damaged\":%" PRId64 "}\n", lines, damaged);
}
