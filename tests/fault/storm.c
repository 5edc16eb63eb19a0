/* storm [--seconds S] [--workers N] [--seed N] [--delays]: see lib/storm.h. Exit status 0 when all that must be zero
 * is, 1 when it is not, 64 for a wrong command line. */
#include "tests/fault/lib/storm.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum { EX_USAGE = 64, SECONDS_DEFAULT = 10, WORKERS_DEFAULT = 4 };

static void read_options(int argc, char **argv, struct storm_options *o)
{
    static const struct option known[] = {{"seconds", required_argument, NULL, 's'},
                                          {"workers", required_argument, NULL, 'w'},
                                          {"seed", required_argument, NULL, 'r'},
                                          {"delays", no_argument, NULL, 'd'},
                                          {0}};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;)
        switch (c) {
        case 's':
            o->seconds = atoi(optarg);
            break;
        case 'w':
            o->workers = MIN(MAX(atoi(optarg), 1), (int)STORM_WORKERS_MAX);
            break;
        case 'r':
            o->seed = (unsigned)atoi(optarg);
            break;
        case 'd':
            o->delays = true;
            break;
        default:
            exit(EX_USAGE);
        }
}

int main(int argc, char **argv)
{
    struct storm_options options = {.seconds = SECONDS_DEFAULT, .workers = WORKERS_DEFAULT, .seed = 1};
    read_options(argc, argv, &options);
    bool good = storm_run(&options);
    puts(good ? "all is well" : "FAILED");
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
