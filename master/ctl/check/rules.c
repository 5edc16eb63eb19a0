#include "master/ctl/check/rules.h"
#include "master/ctl/format.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\r\n"
static const char warn_word[] = "warn";

void rules_complain(const struct checked_rule *rule, const struct rule_error *error)
{
    char shown[RULE_BYTES];
    snprintf(shown, sizeof shown, "%s", rule->rule.text);
    format_printable(shown, "");
    fprintf(stderr, rule->line > 0 ? "perfctl: check: %s:%d" : "perfctl: check: %s", rule->origin, rule->line);
    fprintf(stderr, ": %s\n  %s\n  %*s^\n", error->what, shown, (int)error->at, "");
}

static struct checked_rule *add(struct rules *rules)
{
    rules->at = xrealloc(rules->at, (size_t)(rules->count + 1) * sizeof *rules->at);
    struct checked_rule *rule = &rules->at[rules->count++];
    *rule = (struct checked_rule){.measure.row = -1};
    return rule;
}

static bool parse(struct checked_rule *rule, const char *text)
{
    struct rule_error error;
    if (rule_parse(text, &rule->rule, &error))
        return true;
    snprintf(rule->rule.text, sizeof rule->rule.text, "%s", text);
    rules_complain(rule, &error);
    return false;
}

static bool read_option(const struct ctl *ctl, enum ctl_option option, bool warn, struct rules *rules)
{
    bool ok = true;
    for (int i = 0; i < ctl->options[option].count; i++) {
        struct checked_rule *rule = add(rules);
        rule->warn = warn;
        rule->origin = warn ? "--warn" : "--rule";
        ok &= parse(rule, ctl->options[option].values[i]);
    }
    return ok;
}

/* Where the rule begins; NULL: the line has none. */
static char *strip(char *line, bool *warn_out)
{
    const size_t len = sizeof warn_word - 1;
    line[strcspn(line, "#")] = '\0';
    line += strspn(line, BLANKS);
    size_t end = strlen(line);
    while (end > 0 && strchr(BLANKS, line[end - 1]) != NULL)
        line[--end] = '\0';
    *warn_out = strncmp(line, warn_word, len) == 0 && (line[len] == ' ' || line[len] == '\t');
    if (*warn_out)
        line += len + strspn(line + len, BLANKS);
    return *line != '\0' ? line : NULL;
}

static bool read_file(const char *path, struct rules *rules)
{
    FILE *in = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    bool ok = in != NULL;
    for (int number = 1; in != NULL && getline(&line, &room, in) > 0; number++) {
        bool warn;
        const char *text = strip(line, &warn);
        if (text == NULL)
            continue;
        struct checked_rule *rule = add(rules);
        rule->warn = warn;
        rule->origin = path;
        rule->line = number;
        ok &= parse(rule, text);
    }
    if (in == NULL || ferror(in)) {
        fprintf(stderr, "perfctl: check: %s: %s\n", path, strerror(errno));
        ok = false;
    }
    free(line);
    if (in != NULL)
        fclose(in);
    return ok;
}

bool rules_read(const struct ctl *ctl, struct rules *out)
{
    *out = (struct rules){NULL, 0};
    bool ok = read_option(ctl, OPTION_rule, false, out);
    ok &= read_option(ctl, OPTION_warn, true, out);
    for (int i = 0; i < ctl->options[OPTION_rules].count; i++)
        ok &= read_file(ctl->options[OPTION_rules].values[i], out);
    if (ok && out->count == 0)
        (void)ctl_wrong_usage("check needs a --rule, --warn or --rules", "");
    return ok && out->count > 0;
}

void rules_deinit(struct rules *rules)
{
    free(rules->at);
    *rules = (struct rules){NULL, 0};
}
