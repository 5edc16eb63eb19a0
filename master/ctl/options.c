#include "master/ctl/options.h"
#include "common/units.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 32, FIRST_OPTION = 256 };

struct option_info {
    const char *name, *value, *commands, *help;
};

static const struct option_info infos[OPTION_COUNT] = {
#define OPTION(name, value, commands, help) {#name, value, commands, help},
#include "master/ctl/options.def"
#undef OPTION
};

static const struct command commands[] = {
#define COMMAND(name, needs, args, help) {#name, needs, args, help, command_##name},
#include "master/ctl/commands.def"
#undef COMMAND
};

static const char *const output_names[] = {"table", "json", "csv", "prom"};

/* ---- help ---- */

struct word {
    char s[NAME_BYTES];
};

/* As it is typed. */
static struct word word_of(const struct option_info *info)
{
    struct word word;
    snprintf(word.s, sizeof word.s, "%s", info->name);
    for (char *at = word.s; *at != '\0'; at++)
        if (*at == '_')
            *at = '-';
    return word;
}

static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = words; (at = strstr(at, word)) != NULL; at += len)
        if ((at == words || at[-1] == ' ') && (at[len] == '\0' || at[len] == ' '))
            return true;
    return false;
}

static bool goes_with(const struct option_info *info, const struct command *command)
{
    return *info->commands == '\0' || has_word(info->commands, command->name) ||
           (command->needs == FIGURES && has_word(info->commands, "FIGURES"));
}

static void print_option(FILE *out, const struct option_info *info)
{
    char name[2 * NAME_BYTES];
    snprintf(name, sizeof name, "--%s%s%s", word_of(info).s, *info->value ? " " : "", info->value);
    fprintf(out, "  %-18s %s\n", name, info->help);
}

static void print_usage(FILE *out)
{
    fputs("usage: perfctl [options] command\n\n", out);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(out, "  %-8s %s%s%s\n", commands[i].name, commands[i].args, *commands[i].args ? ": " : "",
                commands[i].help);
    fputc('\n', out);
    for (int i = 0; i < OPTION_COUNT; i++)
        if (*infos[i].commands == '\0')
            print_option(out, &infos[i]);
    fputs("  --help, --version\n\n"
          "perfctl COMMAND --help tells the command's own options.\n"
          "exit status: 0 done, 1 the command failed or warns, 2 critical (check), 3 perfd is not running there,\n"
          "64 wrong usage, 99 a threshold was crossed (load)\n",
          out);
}

static void print_command_usage(FILE *out, const struct command *command)
{
    fprintf(out, "usage: perfctl %s [options]%s%s\n\n%s\n\n", command->name, *command->args ? " " : "", command->args,
            command->help);
    for (int i = 0; i < OPTION_COUNT; i++)
        if (goes_with(&infos[i], command))
            print_option(out, &infos[i]);
    fputs("  --help\n", out);
}

/* ---- values ---- */

const char *ctl_value(const struct ctl *ctl, enum ctl_option option)
{
    int count = ctl->options[option].count;
    return count > 0 ? ctl->options[option].values[count - 1] : NULL;
}

const struct ring *ctl_ring(const struct ctl *ctl, enum stats_section section)
{
    const struct ring *ring = stats_view_section(ctl->view, section);
    if (ring == NULL)
        (void)ctl_fail(ctl, "the file has none that this perfctl knows; use the one of its perfd",
                       stats_view_version(ctl->view));
    return ring;
}

enum ctl_exit ctl_fail(const struct ctl *ctl, const char *what, const char *which)
{
    fprintf(stderr, "perfctl: %s: %s%s%s\n", ctl->command, what, *which ? ": " : "", which);
    return CTL_FAILED;
}

enum ctl_exit ctl_wrong_usage(const char *what, const char *which)
{
    fprintf(stderr, "perfctl: %s%s%s\nTry 'perfctl --help'.\n", what, *which ? ": " : "", which);
    return CTL_USAGE;
}

bool ctl_duration(const struct ctl *ctl, enum ctl_option option, int64_t otherwise_us, int64_t *us_out)
{
    const char *text = ctl_value(ctl, option);
    const char *wrong = text != NULL ? unit_parse_duration(text, us_out) : NULL;
    if (text == NULL)
        *us_out = otherwise_us;
    else if (wrong == NULL && *us_out <= 0)
        wrong = "must be longer than nothing";
    if (wrong != NULL)
        fprintf(stderr, "perfctl: --%s: \"%s\" %s\n", word_of(&infos[option]).s, text, wrong);
    return wrong == NULL;
}

bool ctl_number(const struct ctl *ctl, enum ctl_option option, double least, double most, double otherwise,
                double *number_out)
{
    const char *text = ctl_value(ctl, option);
    *number_out = otherwise;
    if (text == NULL)
        return true;
    if (unit_parse_number(text, number_out) == NULL && *number_out >= least && *number_out <= most)
        return true;
    fprintf(stderr, "perfctl: --%s: \"%s\" is no number from %.12g to %.12g\n", word_of(&infos[option]).s, text, least,
            most);
    return false;
}

bool ctl_whole(const struct ctl *ctl, enum ctl_option option, int64_t least, int64_t most, int64_t otherwise,
               int64_t *number_out)
{
    const char *text = ctl_value(ctl, option);
    *number_out = otherwise;
    if (text == NULL)
        return true;
    if (unit_parse_int(text, number_out) == NULL && *number_out >= least && *number_out <= most)
        return true;
    fprintf(stderr, "perfctl: --%s: \"%s\" is no whole number from %" PRId64 " to %" PRId64 "\n",
            word_of(&infos[option]).s, text, least, most);
    return false;
}

/* ---- reading ---- */

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static enum ctl_exit read_output(struct ctl *ctl)
{
    const char *name = ctl_value(ctl, OPTION_output);
    for (size_t i = 0; i < ARRAY_LEN(output_names); i++)
        if (name == NULL || strcmp(name, output_names[i]) == 0) {
            ctl->output = (enum ctl_output)i;
            return CTL_OK;
        }
    return ctl_wrong_usage("-o is table, json, csv or prom, not", name);
}

/* How many words args has at least and at most. */
static void count_args(const char *args, int *least_out, int *most_out)
{
    *least_out = *most_out = 0;
    for (const char *at = args; *at != '\0';) {
        size_t len = strcspn(at, " ");
        bool many = memmem(at, len, "...", 3) != NULL;
        *least_out += *at != '[';
        *most_out += many ? 1000 : 1;
        at += len + (at[len] == ' ');
    }
}

static bool is_slot(const char *word)
{
    size_t len = strlen(word);
    return len > 0 && len <= 3 && strspn(word, "0123456789") == len;
}

static enum ctl_exit check_args(const struct ctl *ctl, const struct command *command)
{
    int least, most;
    count_args(command->args, &least, &most);
    if (most == 0 && ctl->arg_count > 0)
        return ctl_wrong_usage("more than the command", ctl->args[0]);
    if (ctl->arg_count < least || ctl->arg_count > most)
        return ctl_wrong_usage(command->name, command->args);
    if (strstr(command->args, "SLOT") != NULL && ctl->arg_count > 0 && !is_slot(ctl->args[0]))
        return ctl_wrong_usage("not the number of a slot", ctl->args[0]);
    return CTL_OK;
}

static enum ctl_exit check_options(const struct ctl *ctl, const struct command *command)
{
    for (int i = 0; i < OPTION_COUNT; i++)
        if (ctl->options[i].count > 0 && !goes_with(&infos[i], command)) {
            char what[4 * NAME_BYTES];
            snprintf(what, sizeof what, "--%s does not go with", word_of(&infos[i]).s);
            return ctl_wrong_usage(what, command->name);
        }
    return CTL_OK;
}

/* The next option into ctl; what getopt_long() gave is c. */
static enum ctl_exit take(struct ctl *ctl, int c, bool *help)
{
    int option = c == 'o' ? (int)OPTION_output : c == 'q' ? (int)OPTION_query : c - FIRST_OPTION;
    if (c == 'h') {
        *help = true;
        return CTL_OK;
    }
    if (option < 0 || option >= OPTION_COUNT)
        return ctl_wrong_usage("wrong option", "");
    if (ctl->options[option].count == CTL_VALUES_MAX)
        return ctl_wrong_usage("too often", word_of(&infos[option]).s);
    ctl->options[option].values[ctl->options[option].count++] = *infos[option].value ? optarg : "";
    return CTL_OK;
}

static enum ctl_exit read_words(struct ctl *ctl, int argc, char **argv, bool *help, bool *version)
{
    struct word words[OPTION_COUNT];
    struct option options[OPTION_COUNT + 3] = {{0}};
    for (int i = 0; i < OPTION_COUNT; i++) {
        words[i] = word_of(&infos[i]);
        options[i] =
            (struct option){words[i].s, *infos[i].value ? required_argument : no_argument, NULL, FIRST_OPTION + i};
    }
    options[OPTION_COUNT] = (struct option){"help", no_argument, NULL, 'h'};
    options[OPTION_COUNT + 1] = (struct option){"version", no_argument, NULL, 'V'};
    for (int c; (c = getopt_long(argc, argv, "o:q:hV", options, NULL)) != -1;) {
        if (c == 'V') {
            *version = true;
            continue;
        }
        enum ctl_exit code = take(ctl, c, help);
        if (code != CTL_OK)
            return code;
    }
    return CTL_OK;
}

enum ctl_exit options_read(struct ctl *ctl, int argc, char **argv, const struct command **command_out)
{
    bool help = false, version = false;
    *command_out = NULL;
    enum ctl_exit code = read_words(ctl, argc, argv, &help, &version);
    if (code != CTL_OK)
        return code;
    if (version) {
        puts("perfctl " PERFD_VERSION);
        return CTL_OK;
    }
    const struct command *command = optind < argc ? find_command(argv[optind]) : NULL;
    if (help && command != NULL)
        print_command_usage(stdout, command);
    else if (help)
        print_usage(stdout);
    if (help)
        return CTL_OK;
    if (optind == argc)
        return ctl_wrong_usage("a command is missing", "");
    if (command == NULL)
        return ctl_wrong_usage("unknown command", argv[optind]);
    ctl->command = command->name;
    ctl->dir = ctl_value(ctl, OPTION_dir);
    ctl->args = argv + optind + 1;
    ctl->arg_count = argc - optind - 1;
    if ((code = read_output(ctl)) != CTL_OK || (code = check_options(ctl, command)) != CTL_OK ||
        (code = check_args(ctl, command)) != CTL_OK)
        return code;
    if (ctl->output == OUTPUT_PROM && command->run != command_stats)
        return ctl_wrong_usage("-o prom goes with stats, not with", command->name);
    *command_out = command;
    return CTL_OK;
}
