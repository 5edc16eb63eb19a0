#include "common/paper.h"

#include <stdbool.h>
#include <string.h>

void paper_wrap(const char *text, const char *indent, FILE *out)
{
    enum { WIDTH = 96 };
    size_t column = 0;
    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        if (column > 0 && column + 1 + len > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        if (column == 0)
            column = (size_t)fprintf(out, "%s%.*s", indent, (int)len, text);
        else
            column += (size_t)fprintf(out, " %.*s", (int)len, text);
        text += len + strspn(text + len, " ");
    }
    fputc('\n', out);
}

void paper_mdoc(const char *text, FILE *out)
{
    bool at_start = true;
    for (; *text != '\0'; text++) {
        if (at_start && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        at_start = text[0] == '.' && text[1] == ' ' && text[2] != '\0';
        if (*text == '\\')
            fputs("\\e", out);
        else
            fputc(*text, out);
        if (at_start) {
            fputc('\n', out);
            text++;
        }
    }
}
