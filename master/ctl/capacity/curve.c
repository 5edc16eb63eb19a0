#include "master/ctl/capacity/curve.h"
#include "master/ctl/format.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Both axes have a mark at each quarter. Row 0 is the top one, the last is the axis, where X is 0. */
enum {
    QUARTER_COLUMNS = 16,
    COLUMNS = 4 * QUARTER_COLUMNS + 1,
    QUARTER_ROWS = 4,
    ROWS = 4 * QUARTER_ROWS + 1,
    LABEL = 10
};

struct curve {
    double n_end, x_end; /* of the axes, which begin at 0 */
    double measured;     /* the largest N */
    char cells[ROWS][COLUMNS];
};

static int column_of(const struct curve *c, double n)
{
    return MIN((int)lround(n / c->n_end * (COLUMNS - 1)), COLUMNS - 1);
}

static int row_of(const struct curve *c, double x)
{
    return ROWS - 1 - MIN((int)lround(x / c->x_end * (ROWS - 1)), ROWS - 1);
}

/* The end of an axis that value is on, so that its quarters are round. */
static double round_end(double value)
{
    static const double rounds[] = {1, 1.2, 1.4, 1.6, 2, 2.4, 2.8, 3.2, 3.6, 4, 4.8, 6, 8, 10};
    double power = pow(10, floor(log10(value)));
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(rounds) && rounds[i] * power < value)
        i++;
    return rounds[i] * power;
}

/* Where it is steep, every row between two columns has its mark. */
static void draw_curve(struct curve *c, const struct usl *usl)
{
    int last = ROWS - 1;
    for (int column = 0; column < COLUMNS; column++) {
        double n = column * c->n_end / (COLUMNS - 1);
        int row = row_of(c, usl_throughput(usl, n));
        char mark = n > c->measured ? ':' : '.';
        for (int at = row; at == row || (at < last && row < last) || (at > last && row > last);
             at += at < last ? 1 : -1)
            c->cells[at][column] = mark;
        last = row;
    }
}

static void draw_points(struct curve *c, const struct points *points)
{
    for (int i = 0; i < points->count; i++)
        c->cells[row_of(c, points->at[i].x)][column_of(c, points->at[i].n)] = 'o';
}

static void scale(struct curve *c, const struct usl *usl, const struct points *points)
{
    double peak = usl_peak(usl), highest = 0;
    c->measured = points->at[points->count - 1].n;
    c->n_end = round_end(MAX(c->measured, MIN(peak, 2 * c->measured)));
    for (int i = 0; i < points->count; i++)
        highest = MAX(highest, points->at[i].x);
    highest = MAX(highest, usl_throughput(usl, MIN(peak, c->n_end)));
    c->x_end = round_end(highest);
}

static struct text label_of(double x)
{
    struct text label = format_count((int64_t)x);
    if (x < 100)
        snprintf(label.s, sizeof label.s, "%.3g", x);
    return label;
}

static void print_rows(const struct curve *c)
{
    for (int row = 0; row < ROWS - 1; row++) {
        bool tick = row % QUARTER_ROWS == 0;
        int width = COLUMNS; /* no blanks at the end of a line */
        while (width > 1 && c->cells[row][width - 1] == ' ')
            width--;
        printf("%*s %c%.*s\n", LABEL, tick ? label_of(c->x_end * (ROWS - 1 - row) / (ROWS - 1)).s : "",
               tick ? '+' : '|', width - 1, c->cells[row] + 1);
    }
}

/* With knee and peak at their columns, and what the marks mean. */
static void print_axis(const struct curve *c, const struct usl *usl)
{
    double knee = usl_knee(usl), peak = usl_peak(usl);
    char axis[COLUMNS];
    for (int column = 0; column < COLUMNS; column++)
        axis[column] = column % QUARTER_COLUMNS == 0 ? '+' : '-';
    if (knee <= c->n_end)
        axis[column_of(c, knee)] = 'K';
    if (peak <= c->n_end)
        axis[column_of(c, peak)] = 'M';
    printf("%*s %.*s\n", LABEL, "X per s 0", COLUMNS, axis);
    printf("%*sN=0", LABEL, "");
    for (int quarter = 1; quarter <= 4; quarter++)
        printf("%*s", quarter == 1 ? QUARTER_COLUMNS - 1 : QUARTER_COLUMNS, label_of(quarter * c->n_end / 4).s);
    printf("\n%*s o measured, . the law%s%s%s\n", LABEL, "",
           c->n_end > c->measured ? ", : beyond what was measured" : "", knee <= c->n_end ? ", K knee" : "",
           peak <= c->n_end ? ", M maximum" : "");
}

void curve_print(const struct usl *usl, const struct points *points)
{
    struct curve c;
    memset(c.cells, ' ', sizeof c.cells);
    scale(&c, usl, points);
    draw_curve(&c, usl);
    draw_points(&c, points);
    print_rows(&c);
    print_axis(&c, usl);
}
