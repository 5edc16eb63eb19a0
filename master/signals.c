#include "master/signals.h"
#include "common/base.h"
#include "common/paper.h"

static const struct {
    const char *name, *verb, *doc;
} signals[] = {
#define SIGNAL(number, verb, action, doc) {#number, verb, doc},
#include "master/signals.def"
#undef SIGNAL
};

void signals_print_help(FILE *out)
{
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        fprintf(out, *signals[i].verb ? "  %s, perfctl %s\n" : "  %s\n", signals[i].name, signals[i].verb);
        paper_wrap(signals[i].doc, "      ", out);
    }
}

void signals_print_help_mdoc(FILE *out)
{
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        fprintf(out, *signals[i].verb ? ".It Dv %s , Ic perfctl %s\n" : ".It Dv %s\n", signals[i].name,
                signals[i].verb);
        paper_mdoc(signals[i].doc, out);
        fputc('\n', out);
    }
}
