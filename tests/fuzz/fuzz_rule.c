/* master/ctl/check/rule.h: a rule as it stands on a command line. A refusal names a byte that is there; what is
 * accepted is accepted again with blanks between its parts, and means the same. */
/* links: master/ctl/check/rule.c */
#include "master/ctl/check/rule.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void check_meaning(const struct rule *rule)
{
    CHECK(isfinite(rule->limit) && rule->limit >= 0 && rule->subject < RULE_SUBJECTS);
    CHECK(rule->limit_at < strlen(rule->text) && rule->name_at < strlen(rule->text));
    CHECK((rule->of == OF_NOTHING) == (rule->name[0] == '\0'));
    CHECK(!rule->each || rule->of == OF_ROUTES);
    CHECK(rule_holds(rule, rule->limit) == (rule->op == RULE_AT_MOST || rule->op == RULE_AT_LEAST));
    double within = rule->op == RULE_LESS || rule->op == RULE_AT_MOST ? -1 : INFINITY;
    CHECK(rule_holds(rule, within) && rule_is_worse(rule, rule->limit, within));
}

static void check_with_blanks(const struct rule *rule)
{
    char text[RULE_BYTES + 8], number[RULE_BYTES];
    struct rule again;
    struct rule_error error;
    size_t what = rule->limit_at; /* up to the operator */
    snprintf(number, sizeof number, "%s", rule->text + rule->limit_at);
    while (strchr("<>= \t", rule->text[what - 1]) != NULL)
        what--;
    snprintf(text, sizeof text, " %.*s %s%s %s", (int)what, rule->text,
             rule->op == RULE_LESS || rule->op == RULE_AT_MOST ? "<" : ">",
             rule->op == RULE_AT_MOST || rule->op == RULE_AT_LEAST ? "=" : "", number);
    if (strlen(text) >= RULE_BYTES)
        return;
    CHECK(rule_parse(text, &again, &error));
    CHECK(again.subject == rule->subject && again.op == rule->op && again.limit == rule->limit &&
          again.unit == rule->unit && again.each == rule->each && strcmp(again.name, rule->name) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rule rule;
    struct rule_error error = {SIZE_MAX, ""};
    char *text = xcalloc(1, size + 1);
    memcpy(text, data, size);
    if (rule_parse(text, &rule, &error)) {
        check_meaning(&rule);
        check_with_blanks(&rule);
    } else {
        CHECK(error.at <= strlen(text) && error.what[0] != '\0');
    }
    free(text);
    return 0;
}
