#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "master/ctl/capacity/usl.h"

/* Queries per second of a database by threads, and the coefficients of these points as they were published: B.
 * Schwartz, Practical Scalability Analysis with the Universal Scalability Law, 2015. */
static const double published[] = {955.16,   1878.91,  2688.01,  3548.68,  4315.54,  5130.43,  5931.37,  6531.08,
                                   7219.80,  7867.61,  8278.71,  8646.70,  9047.84,  9426.55,  9645.37,  9897.24,
                                   10097.60, 10240.50, 10532.39, 10798.52, 11151.43, 11518.63, 11806.00, 12089.37,
                                   12075.41, 12177.29, 12211.41, 12158.93, 12155.27, 12118.04, 12140.40, 12074.39};
enum { PUBLISHED = ARRAY_LEN(published) };

static void assert_near(double value, double expected, double relative)
{
    if (fabs(value - expected) > relative * fabs(expected))
        fail_msg("%.10g is not %.10g", value, expected);
}

static void the_published_example(void **state)
{
    (void)state;
    struct usl_point points[PUBLISHED];
    struct usl usl;
    struct err err;
    for (int i = 0; i < PUBLISHED; i++)
        points[i] = (struct usl_point){i + 1, published[i]};
    assert_true(usl_fit(points, PUBLISHED, &usl, &err));
    assert_near(usl.sigma, 0.02671591, 1e-5);
    assert_near(usl.kappa, 7.690945e-4, 1e-5);
    assert_near(usl.lambda, 995.6486, 1e-5);
    assert_near(usl_peak(&usl), 35, 1e-12);
    assert_near(usl_maximum(&usl), 12341, 1e-4);
    assert_near(usl_r_squared(&usl, points, PUBLISHED), 0.9972, 1e-4);
}

/* Points of a known curve give it back, also where one coefficient or both are 0. */
static void a_curve_is_found_again(void **state)
{
    (void)state;
    static const double sigmas[] = {0, 0.001, 0.02, 0.3, 0.9}, kappas[] = {0, 1e-6, 1e-4, 0.02},
                        lambdas[] = {0.5, 900, 2e5}, ns[] = {1, 2, 4, 8, 16, 32, 64, 128, 256};
    for (size_t s = 0; s < ARRAY_LEN(sigmas); s++)
        for (size_t k = 0; k < ARRAY_LEN(kappas); k++)
            for (size_t l = 0; l < ARRAY_LEN(lambdas); l++) {
                const struct usl truth = {lambdas[l], sigmas[s], kappas[k]};
                struct usl_point points[ARRAY_LEN(ns)];
                struct usl usl;
                struct err err;
                for (size_t i = 0; i < ARRAY_LEN(ns); i++)
                    points[i] = (struct usl_point){ns[i], usl_throughput(&truth, ns[i])};
                assert_true(usl_fit(points, ARRAY_LEN(ns), &usl, &err));
                assert_near(usl.lambda, truth.lambda, 1e-5);
                assert_true(fabs(usl.sigma - truth.sigma) < 1e-6);
                assert_true(fabs(usl.kappa - truth.kappa) < 1e-8);
            }
}

/* More than linear would be a sigma below 0. */
static void no_coefficient_is_negative(void **state)
{
    (void)state;
    struct usl_point points[8];
    struct usl usl;
    struct err err;
    for (int i = 0; i < 8; i++)
        points[i] = (struct usl_point){i + 1, 100 * pow(i + 1, 1.1)};
    assert_true(usl_fit(points, 8, &usl, &err));
    assert_true(usl.sigma >= 0 && usl.kappa >= 0);
    for (int i = 0; i < 8; i++)
        points[i].x = 100 * (i + 1) / (1 - 0.05 * i + 0.02 * (i + 1) * i);
    assert_true(usl_fit(points, 8, &usl, &err));
    assert_true(usl.sigma >= 0 && usl.sigma < 1e-12 && usl.kappa > 0.001);
}

static void points_that_are_too_few_are_refused(void **state)
{
    (void)state;
    struct usl_point points[] = {{1, 10}, {2, 19}, {3, 27}, {4, 33}, {5, 38}, {5, 39}, {5, 37}, {6, 41}};
    struct usl usl;
    struct err err;
    assert_false(usl_fit(points, ARRAY_LEN(points) - 1, &usl, &err));
    assert_non_null(strstr(err.text, "5 different N"));
    assert_true(usl_fit(points, ARRAY_LEN(points), &usl, &err));
}

/* Against every N that could be it. */
static void knee_and_peak_are_where_their_curves_are_highest(void **state)
{
    (void)state;
    static const struct usl curves[] = {
        {995, 0.0267, 7.7e-4}, {10, 0, 0.01}, {10, 0.2, 0}, {10, 0.5, 0.2}, {10, 1.5, 0.1}};
    for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
        double power = 0, knee = 0, highest = 0, peak = 0;
        for (int n = 100; n < 10000; n++) {
            double x = usl_throughput(&curves[i], n / 100.0);
            if (x * x / n > power) {
                power = x * x / n;
                knee = n / 100.0;
            }
            if (n % 100 == 0 && x > highest) {
                highest = x;
                peak = n / 100.0;
            }
        }
        assert_true(fabs(usl_knee(&curves[i]) - knee) <= 0.01);
        if (curves[i].kappa > 0)
            assert_true(usl_peak(&curves[i]) == peak || usl_peak(&curves[i]) == peak - 1);
    }
    const struct usl amdahl = {10, 0.2, 0}, linear = {10, 0, 0};
    assert_true(isinf(usl_peak(&amdahl)) && isinf(usl_peak(&linear)));
    assert_near(usl_maximum(&amdahl), 50, 1e-12);
    assert_true(isinf(usl_maximum(&linear)) && isinf(usl_knee(&linear)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_example),
        cmocka_unit_test(a_curve_is_found_again),
        cmocka_unit_test(no_coefficient_is_negative),
        cmocka_unit_test(points_that_are_too_few_are_refused),
        cmocka_unit_test(knee_and_peak_are_where_their_curves_are_highest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
