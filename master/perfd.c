/* perfd: the command line. */
#include "common/clock.h"
#include "master/master.h"
#include "master/notify.h"
#include "master/passed.h"
#include "master/privileges.h"
#include "master/program.h"
#include "master/signals.h"
#include "master/title.h"
#include "shm/memory_limits.h"
#include "sql/check.h"
#include "worker/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK_LIMIT_US (10 * US_PER_S)

enum { OPTION_HELP = 256, OPTION_HELP_CONFIG, OPTION_HELP_SIGNALS };

static const char help[] =
    "usage: perfd [-c FILE] [-t | -T]\n"
    "  -c FILE             configuration (./perfd.conf, else /etc/perfd/perfd.conf)\n"
    "  -t                  check it, and its queries when the database answers, and exit\n"
    "  -T                  print it with every default filled in and passwords hidden, and exit\n"
    "  -V, --version       print the version\n"
    "      --help          this text\n"
    "      --help-config   every directive of the configuration; --help-config=mdoc for a manual page\n"
    "      --help-signals  what signals do; --help-signals=mdoc for a manual page\n"
    "\n"
    "perfd runs in the foreground. Signals to its master, and the command that does the same:\n";

static const char help_end[] =
    "\n"
    "Exit status: 0 ended as asked, 2 wrong usage or configuration, 3 cannot start, 4 out of memory.\n"
    "perfd(8), perfd.conf(5) and perfctl(1) tell more.\n";

enum action { ACTION_RUN, ACTION_CHECK, ACTION_PRINT };

static const char *default_conf(void)
{
    return access("perfd.conf", F_OK) == 0 ? "perfd.conf" : "/etc/perfd/perfd.conf";
}

static int check(const char *path, const struct conf *conf)
{
    struct err err;
    if (!privileges_drop(conf, &err)) { /* the database may know workers by their user */
        fprintf(stderr, "perfd: %s\n", err.text);
        return EXIT_CONFIGURATION;
    }
    switch (check_routes(conf, CHECK_LIMIT_US, &err)) {
    case CHECK_TIGHT:
        fprintf(stderr, "perfd: warning: %s\n", err.text);
        /* fall through */
    case CHECK_OK:
        printf("%s: good, %d routes\n", path, conf->route_count);
        return EXIT_DONE;
    case CHECK_NO_DATABASE:
        fprintf(stderr, "perfd: warning: the queries were not checked: %s\n", err.text);
        printf("%s: good as far as it can be checked without the database, %d routes\n", path, conf->route_count);
        return EXIT_DONE;
    case CHECK_BAD:
        break;
    }
    fprintf(stderr, "perfd: %s\n", err.text);
    return EXIT_CONFIGURATION;
}

static int act(enum action action, const char *path)
{
    struct err err;
    struct conf *conf = conf_load(path, &err);
    int code = EXIT_DONE;
    if (conf == NULL || (action != ACTION_PRINT && !tls_check(conf, &err))) {
        fprintf(stderr, "perfd: %s\n", err.text);
        notify_failed(EINVAL, err.text);
        conf_destroy(&conf);
        return EXIT_CONFIGURATION;
    }
    switch (action) {
    case ACTION_RUN:
        return (int)master_run(path, conf);
    case ACTION_CHECK:
        code = check(path, conf);
        break;
    case ACTION_PRINT:
        memory_limits_fill(conf);
        conf_print(conf, stdout);
        break;
    }
    conf_destroy(&conf);
    return code;
}

static int print_table(const char *format, void (*text)(FILE *out), void (*mdoc)(FILE *out))
{
    if (format != NULL && strcmp(format, "mdoc") != 0) {
        fprintf(stderr, "perfd: %s: only mdoc is known\n", format);
        return EXIT_CONFIGURATION;
    }
    (format != NULL ? mdoc : text)(stdout);
    return EXIT_DONE;
}

/* Started without them, perfd would give their numbers to a socket or the cache, and write its log there. */
static void hold_standard_fds(void)
{
    int fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = open("/dev/null", O_RDWR);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"version", no_argument, NULL, 'V'},
                                            {"help", no_argument, NULL, OPTION_HELP},
                                            {"help-config", optional_argument, NULL, OPTION_HELP_CONFIG},
                                            {"help-signals", optional_argument, NULL, OPTION_HELP_SIGNALS},
                                            {NULL, 0, NULL, 0}};
    const char *path = NULL;
    enum action action = ACTION_RUN;
    program_remember();
    passed_take();
    hold_standard_fds();
    title_setup(argc, argv);
    setlocale(LC_CTYPE, "C.UTF-8"); /* a param's pattern sees characters, not bytes */
    for (int option; (option = getopt_long(argc, argv, "c:tTV", options, NULL)) != -1;)
        switch (option) {
        case 'c':
            path = optarg;
            break;
        case 't':
            action = ACTION_CHECK;
            break;
        case 'T':
            action = ACTION_PRINT;
            break;
        case 'V':
            puts("perfd " PERFD_VERSION);
            return EXIT_DONE;
        case OPTION_HELP:
            fputs(help, stdout);
            signals_print_help(stdout);
            fputs(help_end, stdout);
            return EXIT_DONE;
        case OPTION_HELP_CONFIG:
            return print_table(optarg, conf_print_help, conf_print_help_mdoc);
        case OPTION_HELP_SIGNALS:
            return print_table(optarg, signals_print_help, signals_print_help_mdoc);
        default: /* getopt_long() has said what is wrong */
            fputs("perfd --help tells the options\n", stderr);
            return EXIT_CONFIGURATION;
        }
    if (optind < argc) {
        fprintf(stderr, "perfd: %s: unexpected; perfd --help tells the options\n", argv[optind]);
        return EXIT_CONFIGURATION;
    }
    if (action == ACTION_RUN)
        notify_setup();
    return act(action, path ? path : default_conf());
}
