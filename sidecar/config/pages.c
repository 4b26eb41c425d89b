/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See pages.h. */
#include "sidecar/config/pages.h"

#include <stdlib.h>
#include <string.h>

#include <sona/version.h>

/* ---- what every page says of a row ---- */

struct row {
    const struct sona_sidecar_setting *setting;
    char name[SONA_SIDECAR_VALUE_MAX]; /* section and key: "learner.lambda" */
    char range[SONA_SIDECAR_VALUE_MAX], standard[SONA_SIDECAR_VALUE_MAX];
    char variable[SONA_SIDECAR_VALUE_MAX];
};

static void each_row(void (*visit)(FILE *to, const struct row *row), FILE *to)
{
    struct sona_sidecar_options *standard = calloc(1, sizeof *standard);

    if (!standard)
        return;
    sona_sidecar_options_init(standard);
    for (uint32_t i = 0; i < sona_sidecar_setting_count(); i++) {
        const struct sona_sidecar_setting *s = &sona_sidecar_settings[i];
        struct row row = {.setting = s};

        (void)snprintf(row.name, sizeof row.name, "%s%s%s", s->section, s->section[0] ? "." : "",
                       s->key);
        sona_sidecar_setting_range(s, row.range);
        sona_sidecar_setting_format(s, standard, row.standard);
        sona_sidecar_setting_variable(s, row.variable);
        if (s->type == SONA_SIDECAR_ROUTES)
            (void)snprintf(row.standard, sizeof row.standard, "none");
        visit(to, &row);
    }
    free(standard);
}

static const char *kind_of(const struct row *row)
{
    return row->range[0] != '\0' ? row->range : row->setting->kind;
}

/* ---- --help ---- */

static void help_row(FILE *to, const struct row *row)
{
    const char *unit = sona_sidecar_setting_unit(row->setting);

    (void)fprintf(to, "  %s: %s%s%s", row->setting->key, kind_of(row), unit[0] ? " " : "", unit);
    if (row->standard[0] != '\0')
        (void)fprintf(to, " (default %s)", row->standard);
    if (row->setting->alias[0] != '\0')
        (void)fprintf(to, "; also %s", row->setting->alias);
    (void)fprintf(to, "\n    %s\n", row->setting->help);
}

static void print_presets(FILE *to, const char *format)
{
    for (uint32_t i = 0; sona_config_preset_name(i); i++) {
        const char *text[] = {sona_config_preset_name(i), sona_config_preset_help(i)};

        for (const char *c = format; *c; c++) /* 1 and 2 stand for the two */
            if (*c == '1' || *c == '2')
                (void)fputs(text[*c - '1'], to);
            else
                (void)fputc(*c, to);
    }
}

void sona_sidecar_pages_help(FILE *to)
{
    (void)fputs("Presets:\n", to);
    print_presets(to, "  1: 2\n");
    (void)fputs("\nKeys, for --set, for the configuration file and, in capitals behind SONA_, for "
                "the environment:\n",
                to);
    each_row(help_row, to);
}

/* ---- sona-sidecar(8) ---- */

/* Text in troff: a hyphen that is one, no line that begins with a request. */
static void troff(FILE *to, const char *text)
{
    if (*text == '.' || *text == '\'')
        (void)fputs("\\&", to);
    for (; *text; text++)
        if (*text == '-')
            (void)fputs("\\-", to);
        else if (*text == '\\')
            (void)fputs("\\e", to);
        else
            (void)fputc(*text, to);
}

static void manual_row(FILE *to, const struct row *row)
{
    const struct sona_sidecar_setting *s = row->setting;
    const char *unit = sona_sidecar_setting_unit(s);

    (void)fputs(".TP\n\\fB", to);
    troff(to, row->name);
    (void)fputs("\\fR\n", to);
    troff(to, s->help);
    (void)fputs(".\n", to);
    troff(to, kind_of(row));
    if (unit[0] != '\0')
        (void)fprintf(to, " %s", unit);
    if (row->standard[0] != '\0') {
        (void)fputs("; default ", to);
        troff(to, row->standard);
    }
    if (s->alias[0] != '\0')
        (void)fprintf(to, "; also \\fB%s\\fR", s->alias);
    if (s->flag[0] != '\0') {
        (void)fputs("; \\fB\\-\\-", to);
        troff(to, s->flag);
        (void)fputs("\\fR", to);
    }
    (void)fprintf(to, "; \\fB%s\\fR; a change %s.\n", row->variable,
                  sona_sidecar_setting_live(s) ? "is taken over at SIGHUP" : "needs a restart");
}

static void manual_flag(void *arg, const char *name, int letter, const char *argument,
                        const char *help)
{
    FILE *to = arg;

    (void)fputs(".TP\n", to);
    if (letter != 0)
        (void)fprintf(to, "\\fB\\-%c\\fR, ", letter);
    (void)fputs("\\fB\\-\\-", to);
    troff(to, name);
    (void)fprintf(to, "\\fR%s%s\n", argument ? " " : "", argument ? argument : "");
    troff(to, help);
    (void)fputs(".\n", to);
}

void sona_sidecar_pages_manual(FILE *to)
{
    (void)fputs(".\\\" SPDX-License-Identifier: MIT OR Apache-2.0\n"
                ".\\\" Copyright (c) 2026 The SONA authors\n"
                ".TH SONA\\-SIDECAR 8 \"\" \"sona " SONA_VERSION "\" \"System Administration\"\n"
                ".nh\n.ad l\n"
                ".SH NAME\nsona\\-sidecar \\- learn which route serves which query best\n"
                ".SH SYNOPSIS\n.B sona\\-sidecar\n"
                "[\\-c FILE] [\\-\\-set KEY=VALUE]... [\\-\\-check] [\\-\\-print\\-config]\n"
                ".SH DESCRIPTION\n"
                "The daemon beside a router: it owns every learning loop, and the router reads "
                "what it learned from shared memory.\n"
                ".SH OPTIONS\n",
                to);
    sona_sidecar_options_each_flag(manual_flag, to);
    (void)fputs(
        "\n.PP\nThe options of the configuration that have a flag of their own name it "
        "below.\n"
        ".SH CONFIGURATION\n"
        "Command line, environment, drop\\-ins by name, file, built\\-in values: what stands "
        "earlier in this list wins. Every mistake in any of them is reported as "
        "\"file:line:column: what\", and the exit status is 2. A list of routes is replaced "
        "as a whole.\n",
        to);
    each_row(manual_row, to);
    (void)fputs(".SH PRESETS\n", to);
    print_presets(to, ".TP\n\\fB1\\fR\n2.\n");
    (void)fputs(
        ".SH SIGNALS\n.TP\nSIGTERM, SIGINT\nLearn what was accepted, publish it, and stop.\n"
        ".TP\nSIGHUP\nRead the configuration again. With a mistake in it the old one stays, "
        "and the log has every message; else what may change is taken over between two "
        "events, and the log says what needs a restart.\n"
        ".SH FILES\n.TP\n" SONA_SIDECAR_CONFIG_FILE "\nThe configuration. It need not exist."
        "\n.TP\n/etc/sona/conf.d/*.yaml\nDrop\\-ins.\n"
        ".TP\n/run/sona/INSTANCE.sock, INSTANCE.ctl\nFor clients, and for people.\n"
        ".TP\n/dev/shm/sona.INSTANCE.model\nThe model that clients read.\n"
        ".TP\n/var/lib/sona/INSTANCE.db\nJournal and generations, below \\fBstate_dir\\fR.\n"
        ".SH ENVIRONMENT\n"
        ".TP\nSONA_KEY\nEvery option of the configuration, as above.\n"
        ".TP\nSONA_SIMD\nA row of kernels to use, such as c or avx2. The best by default.\n"
        ".TP\nNOTIFY_SOCKET, WATCHDOG_USEC\nOf the service manager. The watchdog is fed only "
        "while drain and learner go round.\n"
        ".TP\nJOURNAL_STREAM\nWhere it names standard error, lines begin with their priority.\n"
        ".SH EXIT STATUS\n0 a clean stop, or a \\-\\-check that found what a start needs; 1 a "
        "failure; 2 a mistake in the configuration or on the command line.\n"
        ".SH SEE ALSO\n.BR sonactl (1),\n.BR sona_client (3),\n.BR sona\\-segment (7)\n",
        to);
}

/* ---- the completion of bash ---- */

static void completion_flag(void *arg, const char *name, int letter, const char *argument,
                            const char *help)
{
    (void)argument;
    (void)help;
    if (letter != 0)
        (void)fprintf(arg, " -%c", letter);
    (void)fprintf(arg, " --%s", name);
}

static void completion_option(FILE *to, const struct row *row)
{
    if (row->setting->flag[0] != '\0')
        (void)fprintf(to, " --%s", row->setting->flag);
}

static void completion_key(FILE *to, const struct row *row)
{
    (void)fprintf(to, " %s=", row->setting->key);
}

static void completion_words(FILE *to, const struct row *row)
{
    const struct sona_sidecar_setting *s = row->setting;

    if (s->flag[0] == '\0' || (s->words[0] == '\0' && s->type != SONA_SIDECAR_PRESET))
        return;
    (void)fprintf(to, "    --%s) words=\"", s->flag);
    for (const char *c = s->words; *c; c++)
        (void)fputc(*c == '|' ? ' ' : *c, to);
    if (s->type == SONA_SIDECAR_PRESET)
        print_presets(to, "1 ");
    (void)fputs("\" ;;\n", to);
}

void sona_sidecar_pages_completion(FILE *to)
{
    (void)fputs(
        "# SPDX-License-Identifier: MIT OR Apache-2.0\n"
        "# Copyright (c) 2026 The SONA authors\n"
        "_sona_sidecar() {\n"
        "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words\n"
        "    COMPREPLY=()\n"
        "    case $before in\n"
        "    -c | --config) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n"
        "    --runtime-dir) COMPREPLY=($(compgen -d -- \"$word\")); return ;;\n",
        to);
    each_row(completion_words, to);
    (void)fputs("    --set) words=\"", to);
    each_row(completion_key, to);
    (void)fputs("\"; compopt -o nospace 2>/dev/null ;;\n    *) words=\"--help --version", to);
    sona_sidecar_options_each_flag(completion_flag, to);
    each_row(completion_option, to);
    (void)fputs("\" ;;\n    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\n"
                "complete -F _sona_sidecar sona-sidecar\n",
                to);
}

/* ---- docs/configuration.md ---- */

static void document_row(FILE *to, const struct row *row)
{
    const struct sona_sidecar_setting *s = row->setting;
    const char *unit = sona_sidecar_setting_unit(s);

    (void)fprintf(to, "| `%s`", row->name);
    if (s->alias[0] != '\0')
        (void)fprintf(to, ", `%s`", s->alias);
    (void)fprintf(to, " | %s%s%s | %s | ", kind_of(row), unit[0] ? " " : "", unit, row->standard);
    if (s->flag[0] != '\0')
        (void)fprintf(to, "`--%s`, ", s->flag);
    (void)fprintf(to, "`%s` | %s | %s |\n", row->variable,
                  sona_sidecar_setting_live(s) ? "SIGHUP" : "restart", s->help);
}

static void document_flag(void *arg, const char *name, int letter, const char *argument,
                          const char *help)
{
    FILE *to = arg;

    (void)fputs("| `", to);
    if (letter != 0)
        (void)fprintf(to, "-%c`, `", letter);
    (void)fprintf(to, "--%s%s%s` | %s |\n", name, argument ? " " : "", argument ? argument : "",
                  help);
}

void sona_sidecar_pages_document(FILE *to)
{
    (void)fputs("| option | takes | default | flag, variable | a change | |\n"
                "|---|---|---|---|---|---|\n",
                to);
    each_row(document_row, to);
    (void)fputs("\nFlags that are no option of the configuration:\n\n| flag | |\n|---|---|\n", to);
    sona_sidecar_options_each_flag(document_flag, to);
    (void)fputs("\nPresets (`learner.preset`):\n\n| preset | for |\n|---|---|\n", to);
    print_presets(to, "| `1` | 2 |\n");
}
