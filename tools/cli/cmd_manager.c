// manager: which managers there are, what they store, and its backups.
// Must not: open a store itself; reeve-manager does, so that one program knows its form.
#include "ask.h"
#include "commands.h"
#include "fleet_view.h"
#include "up.h"

#include <inttypes.h>
#include <reeve/clock.h>
#include <reeve/str.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- asking one -----------------------------------------------------------------------------------------------------

static void show_described(const struct invocation *inv, const struct reeve_value *result)
{
    const char *name = reeve_get_str(result, "name");
    const char *version = reeve_get_str(result, "version");
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    (void)inv;
    output_colour(&out, COLOUR_BOLD, name != NULL ? name : "manager");
    reeve_buf_puts(&out, "  ");
    output_escape(&out, version != NULL ? version : "", version != NULL ? strlen(version) : 0);
    reeve_buf_puts(&out, "\n");
    fleet_section(&out, "the manager says", result);
    (void)output_write(&out); /* a failure shows when stdout is flushed at the end */
}

static void show_backup(const struct invocation *inv, const struct reeve_value *result)
{
    const char *path = reeve_get_str(result, "path");
    (void)inv;
    output_print("%s, %" PRId64 " bytes\n", path != NULL ? path : "?", reeve_get_int(result, "bytes", 0));
}

static void show_checked(const struct invocation *inv, const struct reeve_value *result)
{
    const char *report = reeve_get_str(result, "report");
    (void)inv;
    output_print("%s%s%s\n", reeve_get_bool(result, "ok", false) ? "the store reads back" : "the store is damaged",
                 report != NULL && report[0] != '\0' ? ":\n" : "", report != NULL ? report : "");
}

static int judge_checked(const struct invocation *inv, const struct reeve_value *result)
{
    (void)inv;
    return reeve_get_bool(result, "ok", false) ? EXIT_DONE : EXIT_REFUSED;
}

// ---- running reeve-manager
// --------------------------------------------------------------------------------------------

static enum reeve_err find_program(char path[PATH_MAX], struct reeve_why *why)
{
    struct up *up = calloc(1, sizeof *up); // only for where the programs are
    if (up == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    enum reeve_err err = up_find_bin_dir(up, why);
    (void)snprintf(path, PATH_MAX, "%s/reeve-manager", up->bin_dir);
    free(up);
    return err == REEVE_OK && access(path, X_OK) != 0
               ? reeve_fail(why, REEVE_NOENT, "%s is not there; it belongs beside this program", path)
               : err;
}

// Its words go to our stderr; it says what is wrong.
static int run_program(const struct invocation *inv, const char *const *options)
{
    char program[PATH_MAX];
    struct reeve_why why = {0};
    const char *argv[8] = {program};
    if (find_program(program, &why) != REEVE_OK) {
        return output_fail_why(inv, REEVE_NOENT, &why);
    }
    for (size_t i = 0; options[i] != NULL && i + 2 < REEVE_ARRAY_LEN(argv); i++) {
        argv[i + 1] = options[i];
    }
    int code = up_run(argv, true);
    return code == 0 ? EXIT_DONE : code == 2 ? EXIT_USAGE : EXIT_REFUSED;
}

static int tell_run(const struct invocation *inv, int exit_code, const char *what)
{
    if (opt_given(inv, OPT_JSON)) {
        REEVE_VALUE_AUTO map = reeve_value_map();
        reeve_put_bool(map, "ok", exit_code == EXIT_DONE);
        int written = output_json(map, false);
        return written != EXIT_DONE ? written : exit_code;
    }
    if (exit_code == EXIT_DONE) {
        output_print("%s\n", what);
    }
    return fflush(stdout) == 0 ? exit_code : EXIT_REFUSED;
}

static int check_file(const struct invocation *inv, const char *path)
{
    const char *const options[] = {"--check-store", path, NULL};
    return tell_run(inv, run_program(inv, options), "the file reads back");
}

// --state-dir, or where `reeve up` puts the site's.
static enum reeve_err find_state_dir(const struct invocation *inv, char path[PATH_MAX], struct reeve_why *why)
{
    char dir[PATH_MAX];
    if (opt_value(inv, OPT_STATE_DIR) != NULL) {
        (void)snprintf(path, PATH_MAX, "%s", opt_value(inv, OPT_STATE_DIR));
        return REEVE_OK;
    }
    enum reeve_err err = site_dir(opt_value(inv, OPT_SITE), dir, why);
    if (err != REEVE_OK) {
        return err;
    }
    if (snprintf(path, PATH_MAX, "%.4000s/state/manager", dir) >= PATH_MAX || access(path, F_OK) != 0) {
        return reeve_fail(why, REEVE_INVALID, "%.300s: %s; say --state-dir DIR", path,
                          "no manager of a site has its store there");
    }
    return REEVE_OK;
}

int cmd_manager_restore(const struct invocation *inv)
{
    char state_dir[PATH_MAX];
    char backup[PATH_MAX];
    char question[PATH_MAX + 64];
    struct reeve_why why = {0};
    enum reeve_err err = find_state_dir(inv, state_dir, &why);
    if (err == REEVE_OK && realpath(inv->args[0], backup) == NULL) {
        err = reeve_fail_errno(&why, "FILE: %.200s", inv->args[0]);
    }
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    (void)snprintf(question, sizeof question, "put the backup in the place of the store in %s", state_dir);
    if (!ask_confirmed(inv, question)) {
        return output_fail(inv, EXIT_REFUSED, "nothing was done");
    }
    const char *const options[] = {"--restore", backup, "--state-dir", state_dir, NULL};
    return tell_run(inv, run_program(inv, options), "restored");
}

// ---- ls
// ---------------------------------------------------------------------------------------------------------------

static void add_manager(struct table *table, const struct managers *managers, const struct reeve_known_node *manager)
{
    static const char *const keys[] = {"workers", "nodes", "pools", "accounts", "version", "host"};
    table_add(table, COLOUR_BOLD, manager->name);
    fleet_cell_state(table, managers_state(managers, manager));
    for (size_t i = 0; i < REEVE_ARRAY_LEN(keys); i++) {
        fleet_cell(table, manager->record, keys[i]);
    }
    fleet_cell_age(table, reeve_get_int(manager->record, "started_at", 0));
}

static int list_json(const struct managers *managers, const struct reeve_known_node **list, size_t len)
{
    REEVE_VALUE_AUTO map = reeve_value_map();
    struct reeve_value *items = reeve_value_list();
    for (size_t i = 0; i < len; i++) {
        struct reeve_value *item = reeve_value_map();
        reeve_put_str(item, "name", list[i]->name);
        reeve_put_str(item, "state", managers_state(managers, list[i]));
        (void)reeve_value_put(item, "status",
                              list[i]->record != NULL ? reeve_value_clone(list[i]->record)
                                                      : reeve_value_null()); /* remembered: reeve_value_built() */
        (void)reeve_value_add(items, item);                                  /* remembered: reeve_value_built() */
    }
    reeve_put_int(map, "at", reeve_clock_wall_ms());
    (void)reeve_value_put(map, "managers", items); /* remembered: reeve_value_built() */
    return output_json(map, false);
}

static int list_text(const struct invocation *inv, const struct managers *managers,
                     const struct reeve_known_node **list, size_t len)
{
    static const struct table_column columns[] = {{"MANAGER", false}, {"STATE", false}, {"WORKERS", true},
                                                  {"NODES", true},    {"POOLS", true},  {"ACCOUNTS", true},
                                                  {"VERSION", false}, {"HOST", false},  {"UP", true}};
    bool quiet = opt_given(inv, OPT_QUIET);
    TABLE_AUTO table = {0};
    table_init(&table, columns, REEVE_ARRAY_LEN(columns));
    for (size_t i = 0; i < len; i++) {
        if (quiet) {
            output_print("%s\n", list[i]->name);
        } else {
            add_manager(&table, managers, list[i]);
        }
    }
    if (!quiet) {
        fleet_write(&table, false);
    }
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_REFUSED;
}

int cmd_manager_ls(const struct invocation *inv)
{
    ASKING_AUTO asking = {.inv = inv};
    struct reeve_why why = {0};
    enum reeve_err err = asking_begin(&asking, inv, &why);
    if (err == REEVE_OK) {
        err = session_open(&asking.session, &why);
    }
    if (err == REEVE_OK) {
        err = managers_settle(&asking.managers, &why);
    }
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    const struct reeve_known_node **list = NULL;
    size_t len = managers_list(&asking.managers, &list);
    int exit_code =
        opt_given(inv, OPT_JSON) ? list_json(&asking.managers, list, len) : list_text(inv, &asking.managers, list, len);
    free(list);
    return exit_code;
}

// ---- the commands -------------------------------------------------------------------------------------------------

static const struct manager_command {
    const char *command, *op;
    void (*show)(const struct invocation *inv, const struct reeve_value *result);
    int (*judge)(const struct invocation *inv, const struct reeve_value *result);
    unsigned flags;
} manager_commands[] = {
    {"manager show", "describe", show_described, NULL, ASK_READS},
    {"manager backup", "backup", show_backup, NULL, 0},
    {"manager check", "check", show_checked, judge_checked, ASK_READS},
};

int cmd_manager(const struct invocation *inv)
{
    const char *file = opt_value(inv, OPT_FILE);
    size_t i = 0;
    while (i < REEVE_ARRAY_LEN(manager_commands) - 1 && strcmp(manager_commands[i].command, inv->command->name) != 0) {
        i++;
    }
    if (file != NULL) {
        return check_file(inv, file);
    }
    struct question question = {.part = "manager",
                                .op = manager_commands[i].op,
                                .manager = inv->args_len > 0 ? inv->args[0] : NULL,
                                .flags = manager_commands[i].flags,
                                .show = manager_commands[i].show,
                                .judge = manager_commands[i].judge};
    return ask(inv, &question);
}
