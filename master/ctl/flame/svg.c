#include "master/ctl/flame/svg.h"

#include <inttypes.h>
#include <stdlib.h>

/* In user units, which are pixels where it is shown in its own size. The script has those of frames, too. */
enum { WIDTH = 1200, MARGIN = 10, FRAME_HEIGHT = 18, HEAD = 62, FOOT = 58, COLOURS = 7, LEGEND_MAX = 9 };
#define CHARACTER_WIDTH 7.25
#define LEAST_WIDTH 0.05

struct svg {
    FILE *out;
    int64_t samples;
    int depth;
};

/* The script and the style sheet, as bytes of the program. */
#define EMBED(name, file)                                                                                              \
    __asm__(".pushsection .rodata\n" #name ": .incbin \"" file "\"\n.byte 0\n.popsection\n");                          \
    extern const char name[]
EMBED(flame_script, "master/ctl/flame/flame.js");
EMBED(flame_style, "master/ctl/flame/flame.css");

/* What is no printable ASCII is none of a name, and XML allows not all of it. */
static void print_text(FILE *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len && text[i] != '\0'; i++) {
        if (text[i] == '&')
            fputs("&amp;", out);
        else if (text[i] == '<')
            fputs("&lt;", out);
        else if (text[i] == '>')
            fputs("&gt;", out);
        else
            fputc(text[i] >= ' ' && text[i] <= '~' ? text[i] : '?', out);
    }
}

static double percent(const struct svg *s, int64_t samples)
{
    return s->samples > 0 ? 100.0 * (double)samples / (double)s->samples : 0;
}

/* ---- colours ---- */

static int by_own(const void *a, const void *b)
{
    const struct library *left = *(struct library *const *)a, *right = *(struct library *const *)b;
    return left->own != right->own ? (left->own < right->own ? 1 : -1) : strcmp(left->name, right->name);
}

static struct library **sort_libraries(const struct stacks *stacks, int *count_out)
{
    int count = 0;
    for (struct library *l = stacks->libraries; l != NULL; l = l->next)
        count++;
    struct library **all = xcalloc((size_t)count, sizeof(struct library *));
    *count_out = count;
    for (struct library *l = stacks->libraries; l != NULL; l = l->next)
        all[--count] = l;
    qsort(all, (size_t)*count_out, sizeof(struct library *), by_own);
    return all;
}

/* The class of its colour; the busiest libraries have one each, the others share the last. */
static void choose_colours(struct library *const *libraries, int count)
{
    int next = 0;
    for (int i = 0; i < count; i++)
        switch (libraries[i]->kind) {
        case LIBRARY_PERFD:
            libraries[i]->colour = "p";
            break;
        case LIBRARY_KERNEL:
            libraries[i]->colour = "k";
            break;
        case LIBRARY_UNKNOWN:
            libraries[i]->colour = "u";
            break;
        case LIBRARY_SHARED:
            libraries[i]->colour = &"l0\0l1\0l2\0l3\0l4\0l5\0l6"[3 * MIN(next, COLOURS - 1)];
            next++;
            break;
        }
}

/* ---- frames ---- */

static void print_frame(const struct svg *s, const struct frame *frame, int64_t begin, int depth)
{
    double scale = (WIDTH - 2.0 * MARGIN) / (double)s->samples, width = (double)frame->samples * scale;
    double x = MARGIN + (double)begin * scale;
    int y = HEAD + (s->depth - depth) * FRAME_HEIGHT;
    const char *name = frame->function ? frame->function->name : "all";
    size_t len = strlen(name), room = width > 8 ? (size_t)((width - 6) / CHARACTER_WIDTH) : 0;
    fprintf(s->out, "<g class=\"f\" data-b=\"%" PRId64 "\" data-n=\"%" PRId64 "\"><title>", begin, frame->samples);
    print_text(s->out, name, len);
    if (frame->function != NULL) {
        fputs(" (", s->out);
        print_text(s->out, frame->function->lies_in->name, SIZE_MAX);
        fputs(")", s->out);
    }
    fprintf(s->out, ": %" PRId64 " samples, %.2f %%", frame->samples, percent(s, frame->samples));
    if (frame->own > 0)
        fprintf(s->out, "; itself %" PRId64 ", %.2f %%", frame->own, percent(s, frame->own));
    fprintf(s->out, "</title><rect class=\"%s\" x=\"%.2f\" y=\"%d\" width=\"%.2f\" height=\"%d\"/>",
            frame->function ? frame->function->lies_in->colour : "u", x, y, width, FRAME_HEIGHT - 1);
    fprintf(s->out, "<text x=\"%.2f\" y=\"%d\">", x + 3, y + FRAME_HEIGHT - 5);
    if (room >= len)
        print_text(s->out, name, len);
    else if (room >= 3) {
        print_text(s->out, name, room - 2);
        fputs("..", s->out);
    }
    fputs("</text></g>\n", s->out);
}

static void print_frames(const struct svg *s, const struct frame *frame, int64_t begin, int depth)
{
    if ((double)frame->samples * WIDTH < LEAST_WIDTH * (double)s->samples)
        return;
    print_frame(s, frame, begin, depth);
    for (const struct frame *f = frame->callees; f != NULL; begin += f->samples, f = f->next)
        print_frames(s, f, begin, depth + 1);
}

/* ---- around them ---- */

static void print_head(const struct svg *s, const char *title, int height)
{
    fprintf(s->out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
            "height=\"%d\" viewBox=\"0 0 %d %d\">\n<title>",
            WIDTH, height, WIDTH, height);
    print_text(s->out, title, SIZE_MAX);
    fprintf(s->out, "</title>\n<style>%s</style>\n<rect class=\"page\" width=\"%d\" height=\"%d\"/>\n", flame_style,
            WIDTH, height);
    fprintf(s->out, "<text class=\"title\" x=\"%d\" y=\"26\">", MARGIN);
    print_text(s->out, title, SIZE_MAX);
    fprintf(s->out,
            "</text>\n<text id=\"hint\" class=\"note\" x=\"%d\" y=\"47\"></text>\n"
            "<foreignObject x=\"%d\" y=\"8\" width=\"260\" height=\"28\"><input "
            "xmlns=\"http://www.w3.org/1999/xhtml\" id=\"search\" type=\"search\" placeholder=\"search (regular "
            "expression)\" aria-label=\"search\" spellcheck=\"false\"/></foreignObject>\n<text id=\"found\" "
            "class=\"note\" x=\"%d\" y=\"47\" text-anchor=\"end\"></text>\n",
            MARGIN, WIDTH - MARGIN - 260, WIDTH - MARGIN);
}

static void print_swatch(const struct svg *s, const char *colour, double *x, int y, const char *name, int64_t samples)
{
    char share[32];
    snprintf(share, sizeof share, " %.1f %%", percent(s, samples));
    fprintf(
        s->out,
        "<rect class=\"%s\" x=\"%.0f\" y=\"%d\" width=\"11\" height=\"11\"/><text class=\"note\" x=\"%.0f\" y=\"%d\">",
        colour, *x, y, *x + 16, y + 10);
    print_text(s->out, name, SIZE_MAX);
    fprintf(s->out, "%s</text>\n", share);
    *x += 16 + CHARACTER_WIDTH * (double)(strlen(name) + strlen(share)) + 18;
}

/* What the colours mean, and how much of the time was spent in each library itself. */
static void print_legend(const struct svg *s, struct library *const *libraries, int count, int y)
{
    double x = MARGIN;
    int64_t rest = 0;
    bool full = false;
    for (int i = 0; i < count; i++) {
        full = full || i == LEGEND_MAX || x > WIDTH - 300;
        if (full)
            rest += libraries[i]->own;
        else if (libraries[i]->own > 0)
            print_swatch(s, libraries[i]->colour, &x, y, libraries[i]->name, libraries[i]->own);
    }
    if (rest > 0)
        print_swatch(s, "l6", &x, y, "others", rest);
}

void svg_print(struct stacks *stacks, const char *title, FILE *out)
{
    struct svg s = {out, stacks->root.samples, stacks->depth};
    int count, frames_end = HEAD + (s.depth + 1) * FRAME_HEIGHT;
    struct library **libraries = sort_libraries(stacks, &count);
    choose_colours(libraries, count);
    print_head(&s, title, frames_end + FOOT);
    fputs("<g id=\"frames\">\n", out);
    print_frames(&s, &stacks->root, 0, 0);
    fputs("</g>\n", out);
    fprintf(out, "<text id=\"detail\" x=\"%d\" y=\"%d\"></text>\n", MARGIN, frames_end + 18);
    print_legend(&s, libraries, count, frames_end + 32);
    fprintf(out, "<script><![CDATA[\n%s]]></script>\n</svg>\n", flame_script);
    free(libraries);
}
