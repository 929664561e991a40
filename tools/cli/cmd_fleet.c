// fleet: what the manager knows of all workers, and what it is told about many of them at once.
// A row per command: its op, how its arguments are put together, how its answer is shown. Must not: judge workers.
#include "ask.h"
#include "commands.h"
#include "fleet_args.h"
#include "fleet_view.h"
#include "selector.h"

#include <inttypes.h>
#include <reeve/str.h>
#include <reeve/units.h>
#include <stdlib.h>
#include <string.h>

#define LIST_PAGE      500 // most that one answer may hold
#define ACT_TIMEOUT_MS 60000

// ---- what is sent -------------------------------------------------------------------------------------------------

// The one worker that is meant, as the op's `worker`.
static enum reeve_err put_worker(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    SELECTOR_AUTO selector = {0};
    const char *node;
    const char *worker;
    enum reeve_err err = selector_read(inv, 0, inv->args_len, &selector, why);
    if (err == REEVE_OK && (!selector_single(&selector, &node, &worker))) {
        return reeve_fail(why, REEVE_INVALID, "`reeve %s` takes one worker, not a glob", inv->command->name);
    }
    if (err == REEVE_OK) {
        reeve_put_str(args, "worker", inv->args[0]);
    }
    return err;
}

// shutdown and clear: one worker, or all of them.
static enum reeve_err put_worker_or_all(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    bool all = opt_given(inv, OPT_ALL);
    if (all == (inv->args_len > 0)) {
        return reeve_fail(why, REEVE_INVALID, "which worker? give its name, or --all");
    }
    reeve_put_str_opt(args, "reason", opt_value(inv, OPT_REASON));
    if (all) {
        reeve_put_bool(args, "all", true);
        return REEVE_OK;
    }
    struct invocation named = *inv;
    return put_worker(&named, args, why);
}

static enum reeve_err put_somebody(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    enum reeve_err err = fleet_args_put(inv, args, why);
    if (err == REEVE_OK && !fleet_args_say_something(args)) {
        err =
            reeve_fail(why, REEVE_INVALID,
                       "which workers? give names, --type, --exchange, --region, --pool, --account, --label, --state, "
                       "--require or --all");
    }
    return err;
}

static enum reeve_err put_reason(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    enum reeve_err err = put_somebody(inv, args, why);
    reeve_put_str_opt(args, "reason", opt_value(inv, OPT_REASON));
    return err;
}

static enum reeve_err put_count(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    const char *text = opt_value(inv, OPT_COUNT);
    int64_t count = 1;
    if (text != NULL && (reeve_parse_i64(text, &count, NULL) != REEVE_OK || count < 1 || count > LIST_PAGE)) {
        return reeve_fail(why, REEVE_INVALID, "--count: '%.40s' given, expected 1 to %d", text, LIST_PAGE);
    }
    reeve_put_int(args, "count", count);
    return fleet_args_put(inv, args, why);
}

static enum reeve_err put_stop(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    enum reeve_err err = put_somebody(inv, args, why);
    return err == REEVE_OK ? ask_put_duration(inv, OPT_GRACE, "grace", args, why) : err;
}

// ---- asked first --------------------------------------------------------------------------------------------------

static void confirm(const char *what, int64_t workers, const char *after, struct reeve_buf *text)
{
    if (workers >= 0) {
        reeve_buf_printf(text, "%s all %" PRId64 " workers%s", what, workers, after);
    } else {
        reeve_buf_printf(text, "%s all workers%s", what, after);
    }
}

static void confirm_stop(int64_t workers, struct reeve_buf *text)
{
    confirm("stop", workers, " of the fleet, and let pools and accounts start nothing until `fleet start --all`", text);
}

static void confirm_kill(int64_t workers, struct reeve_buf *text)
{
    confirm("SIGKILL to", workers, " of the fleet", text);
}

static void confirm_restart(int64_t workers, struct reeve_buf *text)
{
    confirm("restart", workers, " of the fleet", text);
}

static void confirm_shutdown(int64_t workers, struct reeve_buf *text)
{
    confirm("shut down", workers, " of the fleet, and all that join later, until `fleet clear --all`", text);
}

// ---- what comes back ----------------------------------------------------------------------------------------------

static void show_worker(const struct invocation *inv, const struct reeve_value *result)
{
    (void)inv;
    fleet_view_worker(result);
}

static void show_found(const struct invocation *inv, const struct reeve_value *result)
{
    const struct reeve_value *workers = reeve_value_get(result, "workers");
    if (opt_given(inv, OPT_QUIET)) {
        fleet_view_names(workers);
    } else {
        fleet_view_verdicts(workers, false);
    }
}

static void show_stats(const struct invocation *inv, const struct reeve_value *result)
{
    (void)inv;
    fleet_view_stats(result);
}

static void show_health(const struct invocation *inv, const struct reeve_value *result)
{
    (void)inv;
    fleet_view_health(result);
}

static void show_why(const struct invocation *inv, const struct reeve_value *result)
{
    const struct reeve_value *why = reeve_value_get(result, "why");
    (void)inv;
    for (size_t i = 0; i < reeve_value_len(why); i++) {
        const char *sentence = reeve_value_text(reeve_value_at(why, i));
        output_print("%s%s\n", i > 0 ? "- " : "", sentence != NULL ? sentence : "?");
    }
}

static void show_held(const struct invocation *inv, const struct reeve_value *result)
{
    const char *what = strchr(inv->command->name, ' ') + 1;
    int64_t workers = reeve_get_int(result, "workers", 0);
    int64_t waiting = reeve_get_int(result, "waiting", 0);
    output_print("%s: %" PRId64 " worker%s", what, workers, workers == 1 ? "" : "s");
    if (waiting > 0) {
        output_print(", %" PRId64 " of them away: they get it when they come", waiting);
    }
    int64_t silent = reeve_get_int(result, "silent", 0);
    if (silent > 0) {
        output_print(", %" PRId64 " do not speak Reeve and take no work anyway", silent);
    }
    if (reeve_get_bool(result, "global", false)) {
        output_print(strcmp(what, "online") == 0 || strcmp(what, "resume") == 0 ? "; no longer for all that join later"
                                                                                : "; also all that join later");
    }
    output_print("\n");
}

static void print_some(int64_t number, const char *what)
{
    if (number > 0) {
        output_print(", %" PRId64 " %s", number, what);
    }
}

static void show_started(const struct invocation *inv, const struct reeve_value *result)
{
    char ms[REEVE_UNITS_TEXT_LEN];
    int64_t done = reeve_get_int(result, "done", 0);
    int64_t failed = reeve_get_int(result, "failed", 0);
    int64_t refused = reeve_get_int(result, "refused", 0);
    int64_t unreachable = reeve_get_int(result, "unreachable", 0);
    fleet_view_failures(reeve_value_get(result, "workers"), "phase", "done");
    output_print("%" PRId64 " of %" PRId64 " %s in %s", done, done + failed + refused + unreachable,
                 strstr(inv->command->name, "restart") != NULL ? "restarted" : "started",
                 reeve_duration_human(reeve_get_int(result, "ms", 0), ms));
    print_some(failed, "failed");
    print_some(refused, "refused");
    print_some(unreachable, "unreachable");
    output_print("\n");
}

// "  beta: out of reach for 12s, 3 workers: they stop by themselves 15s after ..."
static void show_unreachable(const struct reeve_value *nodes)
{
    for (size_t i = 0; i < reeve_value_len(nodes); i++) {
        const struct reeve_value *node = reeve_value_at(nodes, i);
        const char *name = reeve_get_str(node, "node");
        const char *fenced = reeve_get_str(node, "fenced");
        int64_t since_ms = reeve_get_int(node, "since_ms", -1);
        int64_t workers = reeve_get_int(node, "workers", 0);
        char text[REEVE_UNITS_TEXT_LEN];
        output_print("  %s: out of reach%s%s, %" PRId64 " worker%s%s%s\n", name != NULL ? name : "?",
                     since_ms >= 0 ? " for " : "", since_ms >= 0 ? reeve_duration_human(since_ms, text) : "", workers,
                     workers == 1 ? "" : "s", fenced != NULL ? ": " : "", fenced != NULL ? fenced : "");
    }
}

// A stop names those that failed under `failed`, a start counts them there.
static int64_t failed_of(const struct reeve_value *result)
{
    return reeve_value_get(result, "failed_count") != NULL ? reeve_get_int(result, "failed_count", 0)
                                                           : reeve_get_int(result, "failed", 0);
}

// "217 of 220 stopped in 140ms, 3 unreachable"
static void show_stopped(const struct invocation *inv, const struct reeve_value *result)
{
    char ms[REEVE_UNITS_TEXT_LEN];
    int64_t stopped = reeve_get_int(result, "stopped", 0);
    int64_t refused = reeve_get_int(result, "refused", 0);
    int64_t unreachable = reeve_get_int(result, "unreachable", 0);
    int64_t failed = failed_of(result);
    fleet_view_failures(reeve_value_get(result, "failed"), "phase", "done");
    output_print("%" PRId64 " of %" PRId64 " %s in %s", stopped, stopped + refused + unreachable + failed,
                 strstr(inv->command->name, "kill") != NULL ? "killed" : "stopped",
                 reeve_duration_human(reeve_get_int(result, "ms", 0), ms));
    print_some(failed, "failed");
    print_some(refused, "refused");
    print_some(unreachable, "unreachable");
    print_some(reeve_get_int(result, "already", 0), "of them before");
    output_print("\n");
    show_unreachable(reeve_value_get(result, "unreachable_nodes"));
}

static int64_t total_of(const struct reeve_value *result)
{
    static const char *const keys[] = {"stopped", "done", "refused", "unreachable", "waiting"};
    int64_t total = failed_of(result);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(keys); i++) {
        total += reeve_get_int(result, keys[i], 0);
    }
    return total;
}

static int judge_all(const struct invocation *inv, const struct reeve_value *result)
{
    bool all = reeve_get_int(result, "refused", 0) == 0 && reeve_get_int(result, "unreachable", 0) == 0 &&
               failed_of(result) == 0;
    if (total_of(result) == 0 && !opt_given(inv, OPT_ALL)) {
        output_note("no worker fits; `reeve fleet ls` shows those there are");
        return EXIT_REFUSED;
    }
    return all ? EXIT_DONE : EXIT_REFUSED;
}

// ---- the commands -------------------------------------------------------------------------------------------------

static const struct fleet_command {
    const char *op;
    enum reeve_err (*put)(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why);
    void (*show)(const struct invocation *inv, const struct reeve_value *result);
    int (*judge)(const struct invocation *inv, const struct reeve_value *result);
    void (*confirm)(int64_t workers, struct reeve_buf *text); // with --all
    unsigned flags;
    bool timed; // the op takes `timeout`
} fleet_commands[] = {
    {.op = "show", .put = put_worker, .show = show_worker, .flags = ASK_READS},
    {.op = "find", .put = put_count, .show = show_found, .flags = ASK_READS},
    {.op = "stats", .put = fleet_args_put, .show = show_stats, .flags = ASK_READS},
    {.op = "health", .put = fleet_args_put, .show = show_health, .flags = ASK_READS},
    {.op = "why", .put = put_worker, .show = show_why, .flags = ASK_READS},
    {.op = "online", .put = put_reason, .show = show_held},
    {.op = "offline", .put = put_reason, .show = show_held},
    {.op = "pause", .put = put_reason, .show = show_held},
    {.op = "resume", .put = put_reason, .show = show_held},
    {.op = "start", .put = put_somebody, .show = show_started, .judge = judge_all, .timed = true},
    {.op = "restart",
     .put = put_somebody,
     .show = show_started,
     .judge = judge_all,
     .confirm = confirm_restart,
     .timed = true},
    {.op = "stop", .put = put_stop, .show = show_stopped, .judge = judge_all, .confirm = confirm_stop, .timed = true},
    {.op = "kill", .put = put_stop, .show = show_stopped, .judge = judge_all, .confirm = confirm_kill, .timed = true},
    {.op = "shutdown",
     .put = put_worker_or_all,
     .show = show_stopped,
     .judge = judge_all,
     .confirm = confirm_shutdown,
     .timed = true},
    {.op = "clear", .put = put_worker_or_all},
    {.op = "forget", .put = put_worker},
};

static const struct fleet_command *find_command(const struct invocation *inv)
{
    const char *op = strchr(inv->command->name, ' ') + 1;
    size_t i = 0;
    while (i < REEVE_ARRAY_LEN(fleet_commands) - 1 && strcmp(fleet_commands[i].op, op) != 0) {
        i++;
    }
    REEVE_ASSERT(strcmp(fleet_commands[i].op, op) == 0);
    return &fleet_commands[i];
}

int cmd_fleet(const struct invocation *inv)
{
    const struct fleet_command *command = find_command(inv);
    REEVE_VALUE_AUTO args = reeve_value_map();
    struct reeve_why why = {0};
    struct question question = {.part = "manager",
                                .op = command->op,
                                .flags = command->flags,
                                .show = command->show,
                                .judge = command->judge,
                                .confirm = opt_given(inv, OPT_ALL) ? command->confirm : NULL};
    enum reeve_err err = command->put(inv, args, &why);
    if (err == REEVE_OK && command->timed) {
        err = ask_put_timeout(inv, ACT_TIMEOUT_MS, args, &question.timeout_ms, &why);
    }
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    question.args = reeve_value_take(&args);
    return ask(inv, &question);
}

// ---- ls -------------------------------------------------------------------------------------------------------------

static void show_list(const struct invocation *inv, const struct reeve_value *result)
{
    const struct reeve_value *workers = reeve_value_get(result, "workers");
    if (opt_given(inv, OPT_QUIET)) {
        fleet_view_names(workers);
    } else {
        fleet_view_verdicts(workers, opt_given(inv, OPT_WIDE));
    }
}

int cmd_fleet_ls(const struct invocation *inv)
{
    REEVE_VALUE_AUTO args = reeve_value_map();
    struct reeve_why why = {0};
    struct question question = {
        .part = "manager", .op = "list", .pages = "workers", .flags = ASK_READS, .show = show_list};
    enum reeve_err err = fleet_args_put(inv, args, &why);
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    if (opt_given(inv, OPT_ALIVE)) {
        reeve_put_bool(args, "offline", false);
    }
    reeve_put_int(args, "limit", LIST_PAGE);
    question.args = reeve_value_take(&args);
    return ask(inv, &question);
}
