#include "common/clock.h"
#include "master/ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum needs { FIGURES, MASTER };
enum { ARGS_MAX = 2, OPTION_ANALYZE = 256, OPTION_CONF, OPTION_URL, OPTION_FILE };

struct command {
    const char *name;
    enum needs needs;
    const char *args; /* "": none */
    const char *help;
    enum ctl_exit (*run)(const struct ctl *ctl);
};

static const struct command commands[] = {
#define COMMAND(name, needs, args, help) {#name, needs, args, help, command_##name},
#include "master/ctl/commands.def"
#undef COMMAND
};

/* Where an instance may stand when no folder is named; the second is that of scripts/run. */
static const char *const default_dirs[] = {"run", "run/perfd", "/run/perfd"};

static void print_usage(FILE *out)
{
    fputs("usage: perfctl [--dir D] [-o table|json] command\n\n", out);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(out, "  %-8s %s%s%s\n", commands[i].name, commands[i].args, *commands[i].args ? ": " : "",
                commands[i].help);
    fputs("\n"
          "  --dir D           run_dir of the instance (default: ./run, ./run/perfd or /run/perfd)\n"
          "  -o table|json     what is printed (default: table)\n"
          "  --analyze         explain: run the query too, with the parameters that it had, and roll back what it did\n"
          "  --conf FILE       explain: the configuration with the routes (default: the one that perfd was started "
          "with)\n"
          "  --url URL         explain: the database to ask (default: that of the configuration)\n"
          "  --file            config: what the files say now, as perfd -T prints it\n"
          "  --help, --version\n"
          "\n"
          "exit status: 0 done, 1 the command failed, 3 perfd is not running there, 64 wrong usage\n",
          out);
}

static enum ctl_exit wrong_usage(const char *what, const char *which)
{
    fprintf(stderr, "perfctl: %s%s%s\nTry 'perfctl --help'.\n", what, *which ? ": " : "", which);
    return CTL_USAGE;
}

static bool is_slot(const struct ctl *ctl)
{
    size_t len = strlen(ctl->args[0]);
    return ctl->arg_count == 1 && len > 0 && len <= 3 && strspn(ctl->args[0], "0123456789") == len;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static bool has_statistics(const char *dir)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/perfd.stats", dir);
    return access(path, F_OK) == 0;
}

static const char *find_dir(void)
{
    for (size_t i = 0; i < ARRAY_LEN(default_dirs); i++)
        if (has_statistics(default_dirs[i]))
            return default_dirs[i];
    return NULL;
}

/* The master holds a lock on its pid file for as long as it lives, also while it is stopped; its number alone could
 * have gone to another process. */
static bool master_lives(const char *dir, int pid)
{
    char path[4096];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    snprintf(path, sizeof path, "%s/perfd.pid", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool known = fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0;
    if (fd >= 0)
        close(fd);
    if (known)
        return lock.l_type == F_WRLCK && (lock.l_pid == pid || lock.l_pid <= 0); /* 0: of another pid namespace */
    return kill(pid, 0) == 0 || errno == EPERM;
}

static enum ctl_exit open_figures(struct ctl *ctl)
{
    struct err err;
    char path[4096];
    if (!has_statistics(ctl->dir)) {
        fprintf(stderr, "perfctl: %s/perfd.stats: %s: perfd is not running there\n", ctl->dir, strerror(errno));
        return CTL_NOT_RUNNING;
    }
    snprintf(path, sizeof path, "%s/perfd.stats", ctl->dir);
    ctl->stats = stats_open(path, &err);
    if (ctl->stats == NULL) {
        fprintf(stderr, "perfctl: %s\n", err.text);
        return CTL_FAILED;
    }
    ctl->running = master_lives(ctl->dir, stats_master_pid(ctl->stats));
    ctl->now_us = ctl->running ? clock_wall_us() : stats_sum(ctl->stats, STAT_beat_us);
    if (!ctl->running)
        fputs("perfctl: perfd is not running; these are its last figures\n", stderr);
    return CTL_OK;
}

static enum ctl_exit run_command(const struct command *command, struct ctl *ctl)
{
    enum ctl_exit code = CTL_OK;
    if (ctl->dir == NULL && (ctl->dir = find_dir()) == NULL) {
        fputs("perfctl: no perfd.stats in ./run, ./run/perfd or /run/perfd: perfd is not running there (see --dir)\n",
              stderr);
        return CTL_NOT_RUNNING;
    }
    ctl->command = command->name;
    if (command->needs == FIGURES)
        code = open_figures(ctl);
    if (code == CTL_OK)
        code = command->run(ctl);
    stats_close(&ctl->stats);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "perfctl: cannot write: %s\n", strerror(errno));
        return CTL_FAILED;
    }
    return code;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"analyze", no_argument, NULL, OPTION_ANALYZE},
                                            {"conf", required_argument, NULL, OPTION_CONF},
                                            {"url", required_argument, NULL, OPTION_URL},
                                            {"file", no_argument, NULL, OPTION_FILE},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {NULL, 0, NULL, 0}};
    struct ctl ctl = {0};
    for (int c; (c = getopt_long(argc, argv, "o:hV", options, NULL)) != -1;) {
        switch (c) {
        case 'd':
            ctl.dir = optarg;
            break;
        case 'o':
            ctl.json = strcmp(optarg, "json") == 0;
            if (!ctl.json && strcmp(optarg, "table") != 0)
                return wrong_usage("-o is table or json, not", optarg);
            break;
        case OPTION_ANALYZE:
            ctl.analyze = true;
            break;
        case OPTION_CONF:
            ctl.conf = optarg;
            break;
        case OPTION_URL:
            ctl.url = optarg;
            break;
        case OPTION_FILE:
            ctl.file = true;
            break;
        case 'h':
            print_usage(stdout);
            return CTL_OK;
        case 'V':
            puts("perfctl " PERFD_VERSION);
            return CTL_OK;
        default:
            return wrong_usage("wrong option", "");
        }
    }
    if (optind == argc)
        return wrong_usage("a command is missing", "");
    const struct command *command = find_command(argv[optind]);
    if (command == NULL)
        return wrong_usage("unknown command", argv[optind]);
    if ((ctl.analyze || ctl.conf != NULL || ctl.url != NULL) && command->run != command_explain)
        return wrong_usage("--analyze, --conf and --url go with explain, not with", command->name);
    if (ctl.file && command->run != command_config)
        return wrong_usage("--file goes with config, not with", command->name);
    ctl.args = argv + optind + 1;
    ctl.arg_count = argc - optind - 1;
    if (*command->args == '\0' && ctl.arg_count > 0)
        return wrong_usage("more than the command", ctl.args[0]);
    if (*command->args != '\0' && ((ctl.arg_count == 0 && *command->args != '[') || ctl.arg_count > ARGS_MAX))
        return wrong_usage(command->name, command->args);
    if (command->needs == MASTER && ctl.arg_count > 0 && !is_slot(&ctl))
        return wrong_usage("not the number of a slot", ctl.args[0]);
    return (int)run_command(command, &ctl);
}
