#include "master/ctl/capacity/usl.h"

#include <cminpack.h>
#include <math.h>
#include <stdlib.h>

/* In the order in which the solver has them; those that are held at 0 are left out at the end. */
enum { COEFFICIENTS = 3 };

struct problem {
    const struct usl_point *points;
    int count;
    bool free_sigma, free_kappa;
};

/* ---- the curve ---- */

static double divisor(const struct usl *usl, double n)
{
    return 1 + usl->sigma * (n - 1) + usl->kappa * n * (n - 1);
}

double usl_throughput(const struct usl *usl, double n)
{
    return usl->lambda * n / divisor(usl, n);
}

/* Where the derivative of X^2 / N is 0: 3 kappa N^2 + (sigma - kappa) N - (1 - sigma) = 0. The root in a form that does
 * not cancel when kappa is small. */
double usl_knee(const struct usl *usl)
{
    double b = usl->sigma - usl->kappa, c = MAX(1 - usl->sigma, 0.0);
    double root = b + sqrt(b * b + 12 * usl->kappa * c);
    return usl->sigma <= 0 && usl->kappa <= 0 ? INFINITY : MAX(2 * c / root, 1.0);
}

double usl_peak(const struct usl *usl)
{
    return usl->kappa > 0 ? MAX(floor(sqrt(MAX(1 - usl->sigma, 0.0) / usl->kappa)), 1.0) : INFINITY;
}

double usl_maximum(const struct usl *usl)
{
    if (usl->kappa > 0)
        return usl_throughput(usl, usl_peak(usl));
    return usl->sigma > 0 ? usl->lambda / usl->sigma : INFINITY;
}

/* ---- how well it fits ---- */

static double residual_sum(const struct usl *usl, const struct usl_point *points, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += pow(points[i].x - usl_throughput(usl, points[i].n), 2);
    return sum;
}

double usl_r_squared(const struct usl *usl, const struct usl_point *points, int count)
{
    double mean = 0, total = 0;
    for (int i = 0; i < count; i++)
        mean += points[i].x / count;
    for (int i = 0; i < count; i++)
        total += pow(points[i].x - mean, 2);
    return total > 0 ? 1 - residual_sum(usl, points, count) / total : 1;
}

/* ---- the fit ---- */

static struct usl usl_of(const struct problem *problem, const double *at)
{
    struct usl usl = {.lambda = *at++};
    if (problem->free_sigma)
        usl.sigma = *at++;
    if (problem->free_kappa)
        usl.kappa = *at;
    return usl;
}

/* cminpack's callback: residuals when wanted is 1, their derivatives by each coefficient, a column each, when it is 2.
 */
static int evaluate(void *context, int count, int coefficients, const double *at, double *residuals, double *jacobian,
                    int rows, int wanted)
{
    const struct problem *problem = context;
    struct usl usl = usl_of(problem, at);
    (void)coefficients;
    for (int i = 0; i < count; i++) {
        double n = problem->points[i].n, x = usl_throughput(&usl, n), d = divisor(&usl, n);
        double *column = jacobian + i;
        if (wanted == 1) {
            residuals[i] = x - problem->points[i].x;
            continue;
        }
        *column = n / d;
        if (problem->free_sigma)
            *(column += rows) = -x * (n - 1) / d;
        if (problem->free_kappa)
            *(column += rows) = -x * n * (n - 1) / d;
    }
    return 0;
}

/* lmder1() of MINPACK: Levenberg and Marquardt, scaled by itself. Its info: 1 to 3 converged, 4 at a stationary point,
 * 6 and 7 as near as doubles can come; 0 wrong arguments, 5 does not converge. */
static bool solve(struct problem *problem, const struct usl *start, struct usl *usl_out)
{
    int coefficients = 1 + problem->free_sigma + problem->free_kappa, pivots[COEFFICIENTS];
    int work_len = 5 * coefficients + problem->count;
    double at[COEFFICIENTS] = {start->lambda, problem->free_sigma ? start->sigma : start->kappa, start->kappa};
    double *residuals = xcalloc((size_t)problem->count, sizeof *residuals);
    double *jacobian = xcalloc((size_t)(problem->count * coefficients), sizeof *jacobian);
    double *work = xcalloc((size_t)work_len, sizeof *work);
    int info = lmder1(evaluate, problem, problem->count, coefficients, at, residuals, jacobian, problem->count, 1e-12,
                      pivots, work, work_len);
    free(residuals);
    free(jacobian);
    free(work);
    *usl_out = usl_of(problem, at);
    return info > 0 && info != 5 && isfinite(usl_out->lambda) && isfinite(usl_out->sigma) && isfinite(usl_out->kappa);
}

static int different(const struct usl_point *points, int count)
{
    int found = 0;
    for (int i = 0; i < count; i++)
        found += i == 0 || points[i].n > points[i - 1].n;
    return found;
}

/* The least squares inside of sigma, kappa >= 0 lie inside or on one of its edges, so the best of these four is it. */
bool usl_fit(const struct usl_point *points, int count, struct usl *usl_out, struct err *err)
{
    struct usl start = {.sigma = 0.05, .kappa = 1e-4}, found;
    double best = INFINITY;
    int found_n = different(points, count);
    if (found_n < USL_POINTS_MIN)
        return err_set(err, "%d different N, and a fit needs %d that reach the bend", found_n, USL_POINTS_MIN);
    for (int i = 0; i < count; i++)
        start.lambda = MAX(start.lambda, points[i].x / points[i].n);
    for (int free_ones = 0; free_ones < 4; free_ones++) {
        struct problem problem = {points, count, (free_ones & 1) != 0, (free_ones & 2) != 0};
        if (!solve(&problem, &start, &found) || found.lambda <= 0 || found.sigma < 0 || found.kappa < 0)
            continue;
        double sum = residual_sum(&found, points, count);
        if (sum < best) {
            *usl_out = found;
            best = sum;
        }
    }
    return best < INFINITY || err_set(err, "the points follow no such curve");
}
