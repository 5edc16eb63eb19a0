/* The Universal Scalability Law: throughput X of N that ask at a time,
 *     X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1))
 * N. J. Gunther, Guerrilla Capacity Planning, Springer 2007, chapters 4 to 6. lambda is the throughput of one alone,
 * sigma the share that must be done one at a time (contention), kappa what each pair costs to agree (coherency); where
 * kappa is above 0 the curve has a peak, and falls behind it. */
#ifndef MASTER_CTL_CAPACITY_USL_H
#define MASTER_CTL_CAPACITY_USL_H

#include "common/err.h"

/* Three coefficients; with fewer points nearly every curve fits. */
enum { USL_POINTS_MIN = 6 };

struct usl {
    double lambda, sigma, kappa;
};

struct usl_point {
    double n, x; /* both above 0 */
};

/* Least squares in X over sigma, kappa >= 0 and lambda, none of them taken from a single point. The points are in the
 * order of N. False: fewer than USL_POINTS_MIN different N, or they follow no such curve. */
bool usl_fit(const struct usl_point *points, int count, struct usl *usl_out, struct err *err) MUST_USE;

double usl_throughput(const struct usl *usl, double n);
/* Share of the points' variance that the curve explains: 1 is all. */
double usl_r_squared(const struct usl *usl, const struct usl_point *points, int count);

/* The N of the most throughput for the response time, X / (N / X): Kleinrock's power (ICC 1979). Beyond it more that
 * ask mostly wait. INFINITY where nothing bends. */
double usl_knee(const struct usl *usl);
/* The N of the highest throughput, rounded down as the book does; INFINITY where kappa is 0: it only comes near
 * usl_maximum(). */
double usl_peak(const struct usl *usl);
double usl_maximum(const struct usl *usl); /* INFINITY where nothing bends */

#endif
