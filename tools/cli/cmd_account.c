// account: account files, whether they are right, and the workers that run for them. Mostly questions to the manager;
// one directory can be checked here, without one. Must not: read or show what a secret reference points at.
#include "ask.h"
#include "commands.h"
#include "fleet_view.h"
#include "mistakes.h"

#include <inttypes.h>
#include <reeve/account.h>
#include <reeve/str.h>
#include <reeve/units.h>
#include <stdlib.h>
#include <string.h>

#define ACT_TIMEOUT_MS 120000

// ---- what is sent -------------------------------------------------------------------------------------------------

static enum reeve_err put_accounts(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    struct reeve_value *list = reeve_value_list();
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < inv->args_len; i++) {
        struct reeve_why reason;
        if (reeve_name_check(inv->args[i], &reason) != REEVE_OK) {
            err = reeve_fail(why, REEVE_INVALID, "ACCOUNT: %s", reason.text);
        }
        (void)reeve_value_add(list, reeve_value_str(inv->args[i])); /* remembered: reeve_value_built() */
    }
    if (reeve_value_len(list) > 0) {
        (void)reeve_value_put(args, "accounts", list); /* remembered: reeve_value_built() */
    } else {
        reeve_value_free(list);
    }
    return err;
}

static enum reeve_err put_switches(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    if (opt_given(inv, OPT_APPLY_DEFAULTS) && opt_given(inv, OPT_NO_DEFAULTS)) {
        return reeve_fail(why, REEVE_INVALID, "--apply-defaults and --no-defaults: which of them?");
    }
    if (opt_given(inv, OPT_APPLY_DEFAULTS) || opt_given(inv, OPT_NO_DEFAULTS)) {
        reeve_put_bool(args, "apply_defaults", !opt_given(inv, OPT_NO_DEFAULTS));
    }
    if (opt_given(inv, OPT_NO_VALIDATE)) {
        reeve_put_bool(args, "validate", false);
    }
    if (opt_given(inv, OPT_ALL_OR_NOTHING)) {
        reeve_put_bool(args, "all_or_nothing", true);
    }
    return REEVE_OK;
}

static enum reeve_err put_canary(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    const char *text = opt_value(inv, OPT_CANARY);
    int64_t number;
    if (text == NULL) {
        return REEVE_OK;
    }
    if (reeve_parse_i64(text, &number, NULL) != REEVE_OK || number < 1 || number > REEVE_ACCOUNTS_MAX) {
        return reeve_fail(why, REEVE_INVALID, "--canary: '%.40s' given, expected 1 to %d", text, REEVE_ACCOUNTS_MAX);
    }
    reeve_put_int(args, "canary", number);
    return REEVE_OK;
}

// Names or --all; `start-all` has said it.
static enum reeve_err put_whom(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    bool all = opt_given(inv, OPT_ALL) || strstr(inv->command->name, "-all") != NULL;
    if (all && inv->args_len > 0) {
        return reeve_fail(why, REEVE_INVALID, "'%.40s' and --all: which of them?", inv->args[0]);
    }
    if (!all && inv->args_len == 0) {
        return reeve_fail(why, REEVE_INVALID, "which accounts? give their names, or --all");
    }
    if (all) {
        reeve_put_bool(args, "all", true);
    }
    return put_accounts(inv, args, why);
}

static enum reeve_err put_act(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    enum reeve_err err = put_whom(inv, args, why);
    err = err == REEVE_OK ? put_switches(inv, args, why) : err;
    err = err == REEVE_OK ? put_canary(inv, args, why) : err;
    return err == REEVE_OK ? ask_put_duration(inv, OPT_GRACE, "grace", args, why) : err;
}

static enum reeve_err put_validate(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    enum reeve_err err = put_switches(inv, args, why);
    if (inv->args_len == 0) {
        reeve_put_bool(args, "all", true);
    }
    return err == REEVE_OK ? put_accounts(inv, args, why) : err;
}

static enum reeve_err put_reload(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    (void)why;
    if (opt_given(inv, OPT_DRY_RUN)) {
        reeve_put_bool(args, "apply", false);
    } else if (opt_given(inv, OPT_APPLY)) {
        reeve_put_bool(args, "apply", true);
    }
    return REEVE_OK;
}

// ---- what comes back ----------------------------------------------------------------------------------------------

static bool is_wanted(const struct invocation *inv, const char *account)
{
    for (size_t i = 0; i < inv->args_len; i++) {
        if (reeve_str_eq(inv->args[i], account)) {
            return true;
        }
    }
    return inv->args_len == 0;
}

static void add_account(struct table *table, const struct reeve_value *record)
{
    bool valid = reeve_get_bool(record, "valid", true);
    table_add(table, COLOUR_BOLD, reeve_get_str(record, "account"));
    fleet_cell_state(table, reeve_get_str(record, "state"));
    fleet_cell(table, record, "enabled");
    table_add(table, valid ? COLOUR_GOOD : COLOUR_BAD, valid ? "yes" : "no");
    fleet_cell(table, record, "node");
    fleet_cell(table, record, "worker");
    fleet_cell(table, record, "restarts");
    fleet_cell_age(table, reeve_get_int(record, "since", 0));
    fleet_cell(table, record, "error");
}

static void show_accounts(const struct invocation *inv, const struct reeve_value *result)
{
    static const struct table_column columns[] = {{"ACCOUNT", false}, {"STATE", false}, {"ENABLED", false},
                                                  {"VALID", false},   {"NODE", false},  {"WORKER", false},
                                                  {"RESTARTS", true}, {"SINCE", true},  {"ERROR", false}};
    const struct reeve_value *accounts = reeve_value_get(result, "accounts");
    bool quiet = opt_given(inv, OPT_QUIET);
    TABLE_AUTO table = {0};
    table_init(&table, columns, REEVE_ARRAY_LEN(columns));
    for (size_t i = 0; i < reeve_value_len(accounts); i++) {
        const struct reeve_value *record = reeve_value_at(accounts, i);
        const char *name = reeve_get_str(record, "account");
        if (!is_wanted(inv, name)) {
            continue;
        }
        if (quiet) {
            output_print("%s\n", name != NULL ? name : "?");
        } else {
            add_account(&table, record);
        }
    }
    if (quiet) {
        return;
    }
    if (table_rows(&table) == 0 && reeve_value_get(result, "directory") == NULL) {
        output_print("no accounts: the manager's configuration names no accounts_dir\n");
        return;
    }
    fleet_write(&table, false);
    size_t changes = reeve_value_len(reeve_value_get(result, "plan"));
    if (changes > 0) {
        output_print("\n%zu changed file%s: `reeve account reload --dry-run` shows them\n", changes,
                     changes == 1 ? "" : "s");
    }
}

static void show_account(const struct invocation *inv, const struct reeve_value *result)
{
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    const char *state = reeve_get_str(result, "state");
    const char *error = reeve_get_str(result, "error");
    output_colour(&out, COLOUR_BOLD, inv->args[0]);
    reeve_buf_puts(&out, "  ");
    output_colour(&out, fleet_state_colour(state), state != NULL ? state : "?");
    reeve_buf_puts(&out, error != NULL ? "  " : "");
    output_escape(&out, error != NULL ? error : "", error != NULL ? strlen(error) : 0);
    reeve_buf_puts(&out, "\n");
    fleet_section(&out, "account", result);
    (void)output_write(&out); /* a failure shows when stdout is flushed at the end */
}

// "desk-a.yaml:4:7: default_risk.risk_percent: ..." as a compiler would.
static void show_findings(const struct reeve_value *account, const char *key, const char *after)
{
    const struct reeve_value *list = reeve_value_get(account, key);
    const char *file = reeve_get_str(account, "file");
    for (size_t i = 0; i < reeve_value_len(list); i++) {
        const struct reeve_value *finding = reeve_value_at(list, i);
        const char *place = reeve_get_str(finding, "place");
        const char *path = reeve_get_str(finding, "path");
        const char *text = reeve_get_str(finding, "text");
        const char *where = place != NULL ? place : file;
        output_print("%s%s%s%s%s%s\n", where != NULL ? where : "", where != NULL ? ": " : "", path != NULL ? path : "",
                     path != NULL ? ": " : "", text != NULL ? text : "?", after);
    }
}

static void show_validated(const struct invocation *inv, const struct reeve_value *result)
{
    const struct reeve_value *accounts = reeve_value_get(result, "accounts");
    (void)inv;
    for (size_t i = 0; i < reeve_value_len(accounts); i++) {
        show_findings(reeve_value_at(accounts, i), "errors", "");
        show_findings(reeve_value_at(accounts, i), "warnings", " (warning)");
    }
    int64_t valid = reeve_get_int(result, "valid", 0);
    int64_t invalid = reeve_get_int(result, "invalid", 0);
    int64_t warnings = reeve_get_int(result, "warnings", 0);
    output_print("%" PRId64 " valid, %" PRId64 " invalid, %" PRId64 " warning%s\n", valid, invalid, warnings,
                 warnings == 1 ? "" : "s");
}

static int judge_validated(const struct invocation *inv, const struct reeve_value *result)
{
    (void)inv;
    return reeve_get_int(result, "invalid", 0) == 0 ? EXIT_DONE : EXIT_REFUSED;
}

// The first of the counts that is there, with its word.
static int64_t count_of(const struct reeve_value *result, const char **ret_word)
{
    static const char *const words[] = {"restarted", "started", "stopped", "done"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(words); i++) {
        if (reeve_value_get(result, words[i]) != NULL) {
            *ret_word = words[i];
            return reeve_get_int(result, words[i], 0);
        }
    }
    *ret_word = "done";
    return 0;
}

// Those that did not come to be as asked, with the mistakes of their files.
static void show_outcomes(const struct invocation *inv, const struct reeve_value *accounts)
{
    for (size_t i = 0; i < reeve_value_len(accounts); i++) {
        const struct reeve_value *account = reeve_value_at(accounts, i);
        const char *outcome = reeve_get_str(account, "outcome");
        const char *message = reeve_get_str(account, "message");
        // Of all accounts, those that were skipped are only counted.
        if (reeve_str_eq(outcome, "done") || (reeve_str_eq(outcome, "skipped") && inv->args_len == 0)) {
            continue;
        }
        output_print("%s: %s%s%s\n", reeve_value_key(accounts, i), outcome != NULL ? outcome : "?",
                     message != NULL ? ": " : "", message != NULL ? message : "");
        show_findings(account, "errors", "");
    }
}

static void show_acted(const struct invocation *inv, const struct reeve_value *result)
{
    const char *word;
    char ms[REEVE_UNITS_TEXT_LEN];
    int64_t count = count_of(result, &word);
    int64_t failed = reeve_get_int(result, "failed", 0);
    int64_t skipped = reeve_get_int(result, "skipped", 0);
    show_outcomes(inv, reeve_value_get(result, "accounts"));
    output_print("%" PRId64 " of %" PRId64 " %s in %s", count, count + failed + skipped, word,
                 reeve_duration_human(reeve_get_int(result, "ms", 0), ms));
    if (failed > 0) {
        output_print(", %" PRId64 " failed", failed);
    }
    if (skipped > 0) {
        output_print(", %" PRId64 " skipped", skipped);
    }
    output_print("\n");
}

static int judge_acted(const struct invocation *inv, const struct reeve_value *result)
{
    (void)inv;
    return reeve_get_int(result, "failed", 0) == 0 ? EXIT_DONE : EXIT_REFUSED;
}

static void show_change(const struct reeve_value *change)
{
    const struct reeve_value *keys = reeve_value_get(change, "keys");
    const char *account = reeve_get_str(change, "account");
    const char *what = reeve_get_str(change, "change");
    const char *refused = reeve_get_str(change, "refused");
    const char *file = reeve_get_str(change, "file");
    output_print("%s: %s%s%s\n",
                 account != NULL ? account
                 : file != NULL  ? file
                                 : "?",
                 what != NULL ? what : "?", refused != NULL ? ", but refused: " : "", refused != NULL ? refused : "");
    for (size_t i = 0; i < reeve_value_len(keys); i++) {
        const struct reeve_value *key = reeve_value_at(keys, i);
        const char *name = reeve_get_str(key, "key");
        const char *effect = reeve_get_str(key, "effect");
        output_print("  %s (%s)\n", name != NULL ? name : "?", effect != NULL ? effect : "?");
    }
    show_findings(change, "errors", "");
}

static void show_reloaded(const struct invocation *inv, const struct reeve_value *result)
{
    const struct reeve_value *plan = reeve_value_get(result, "plan");
    bool applied = reeve_get_bool(result, "applied", false);
    for (size_t i = 0; i < reeve_value_len(plan); i++) {
        show_change(reeve_value_at(plan, i));
    }
    if (reeve_value_len(plan) == 0) {
        output_print("no file has changed\n");
    } else if (applied) {
        output_print("applied\n");
    } else {
        output_print("not applied%s\n", opt_given(inv, OPT_DRY_RUN) ? "" : "; `reeve account reload --apply` does it");
    }
}

// ---- a directory on this machine ------------------------------------------------------------------------------------

static int tell_dir(const struct invocation *inv, const struct reeve_account_dir *dir, struct mistakes *mistakes)
{
    size_t warnings = 0;
    for (size_t i = 0; i < dir->len; i++) {
        mistakes_take(mistakes, dir->files[i].errors);
        warnings += dir->files[i].errors != NULL ? dir->files[i].errors->warnings : 0;
    }
    if (!opt_given(inv, OPT_JSON)) {
        output_print("%zu valid, %zu invalid, %zu warning%s\n", dir->valid, dir->invalid, warnings,
                     warnings == 1 ? "" : "s");
        return fflush(stdout) == 0 && dir->invalid == 0 ? EXIT_DONE : EXIT_REFUSED;
    }
    REEVE_VALUE_AUTO map = reeve_value_map();
    reeve_put_int(map, "valid", (int64_t)dir->valid);
    reeve_put_int(map, "invalid", (int64_t)dir->invalid);
    reeve_put_int(map, "warnings", (int64_t)warnings);
    (void)reeve_value_put(map, "mistakes", reeve_value_clone(mistakes->list)); /* remembered: reeve_value_built() */
    int written = output_json(map, false);
    return written != EXIT_DONE ? written : dir->invalid == 0 ? EXIT_DONE : EXIT_REFUSED;
}

static int validate_dir(const struct invocation *inv)
{
    struct reeve_account_dir dir = {0};
    struct reeve_errors *errors = malloc(sizeof *errors);
    MISTAKES_AUTO mistakes;
    struct reeve_why why = {0};
    mistakes_init(&mistakes);
    if (errors == NULL) {
        return output_fail(inv, EXIT_REFUSED, "out of memory");
    }
    if (inv->args_len > 0) {
        free(errors);
        return output_fail(inv, EXIT_USAGE, "'%s' and --dir: a folder is checked whole", inv->args[0]);
    }
    enum reeve_err err =
        reeve_account_dir_load(opt_value(inv, OPT_DIR), !opt_given(inv, OPT_NO_DEFAULTS), &dir, errors);
    mistakes_take(&mistakes, errors);
    int exit_code;
    if (err == REEVE_OK) {
        mistakes_take(&mistakes, dir.errors != errors ? dir.errors : NULL);
        exit_code = tell_dir(inv, &dir, &mistakes);
        reeve_account_dir_done(&dir);
    } else {
        (void)reeve_fail(&why, err, "%s can't be checked", opt_value(inv, OPT_DIR));
        exit_code = mistakes_fail(inv, &mistakes, err, &why);
    }
    free(errors);
    return exit_code;
}

// ---- the commands -------------------------------------------------------------------------------------------------

static const struct account_command {
    const char *command, *op;
    const char *pages; // of the result: a list that may come in pages
    enum reeve_err (*put)(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why);
    void (*show)(const struct invocation *inv, const struct reeve_value *result);
    int (*judge)(const struct invocation *inv, const struct reeve_value *result);
    unsigned flags;
    bool timed;  // the op takes `timeout`
    bool of_one; // goes to the account's own topic
} account_commands[] = {
    {.command = "ls", .op = "accounts", .show = show_accounts, .flags = ASK_READS, .pages = "accounts"},
    {.command = "status", .op = "accounts", .show = show_accounts, .flags = ASK_READS, .pages = "accounts"},
    {.command = "show", .op = "status", .show = show_account, .flags = ASK_READS, .of_one = true},
    {.command = "validate",
     .op = "accounts_validate",
     .put = put_validate,
     .show = show_validated,
     .judge = judge_validated,
     .flags = ASK_READS},
    {.command = "start",
     .op = "accounts_start",
     .put = put_act,
     .show = show_acted,
     .judge = judge_acted,
     .timed = true},
    {.command = "stop", .op = "accounts_stop", .put = put_act, .show = show_acted, .judge = judge_acted, .timed = true},
    {.command = "restart",
     .op = "accounts_restart",
     .put = put_act,
     .show = show_acted,
     .judge = judge_acted,
     .timed = true},
    {.command = "start-all",
     .op = "accounts_start",
     .put = put_act,
     .show = show_acted,
     .judge = judge_acted,
     .timed = true},
    {.command = "stop-all",
     .op = "accounts_stop",
     .put = put_act,
     .show = show_acted,
     .judge = judge_acted,
     .timed = true},
    {.command = "reload", .op = "accounts_reload", .put = put_reload, .show = show_reloaded},
};

static const struct account_command *find_command(const struct invocation *inv)
{
    const char *word = strchr(inv->command->name, ' ') + 1;
    size_t i = 0;
    while (i < REEVE_ARRAY_LEN(account_commands) - 1 && strcmp(account_commands[i].command, word) != 0) {
        i++;
    }
    REEVE_ASSERT(strcmp(account_commands[i].command, word) == 0);
    return &account_commands[i];
}

static enum reeve_err put_all(const struct invocation *inv, const struct account_command *command,
                              struct question *question, struct reeve_value *args, struct reeve_why *why)
{
    struct reeve_why reason;
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < inv->args_len; i++) {
        if (reeve_name_check(inv->args[i], &reason) != REEVE_OK) {
            err = reeve_fail(why, REEVE_INVALID, "ACCOUNT: %s", reason.text);
        }
    }
    if (err == REEVE_OK && command->put != NULL) {
        err = command->put(inv, args, why);
    }
    if (err == REEVE_OK && command->timed) {
        err = ask_put_timeout(inv, ACT_TIMEOUT_MS, args, &question->timeout_ms, why);
    }
    return err;
}

int cmd_account(const struct invocation *inv)
{
    const struct account_command *command = find_command(inv);
    REEVE_VALUE_AUTO args = reeve_value_map();
    struct reeve_why why = {0};
    struct question question = {.part = command->of_one ? "account" : "manager",
                                .name = command->of_one ? inv->args[0] : NULL,
                                .op = command->op,
                                .flags = command->flags,
                                .pages = command->pages,
                                .show = command->show,
                                .judge = command->judge};
    if (opt_given(inv, OPT_DIR)) {
        return validate_dir(inv);
    }
    enum reeve_err err = put_all(inv, command, &question, args, &why);
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    question.args = reeve_value_take(&args);
    return ask(inv, &question);
}
