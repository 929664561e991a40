// What is done to many jobs at once: job cancel, retry, rm, queue purge, queue retry. The manager does a bounded number
// per command and says whether there are more; this goes on until there are none. Must not: list jobs to find them; the
// manager's filter does.
#include "ask.h"
#include "commands.h"
#include "job_args.h"
#include "queue_view.h"

#include "progress.h"

#include <inttypes.h>
#include <reeve/clock.h>
#include <reeve/job.h>
#include <stdlib.h>
#include <string.h>

#define TOLD_MAX 20 // refused jobs that are named

struct bulk_command {
    const char *command, *op, *done; // "3 jobs cancelled"
    enum reeve_err (*put)(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why);
    bool asks; // a person, before it is done to more than what was named
};

struct bulk {
    const struct bulk_command *command;
    struct asking asking;
    struct reeve_value *args;
    int64_t limit, done;         // limit -1 = all
    struct reeve_value *refused; // LIST of {id, code, message}
    bool more;
};

static void bulk_done(struct bulk *bulk)
{
    asking_done(&bulk->asking);
    reeve_value_free(bulk->args);
    reeve_value_free(bulk->refused);
}
#define BULK_AUTO __attribute__((cleanup(bulk_done))) struct bulk

// ---- which jobs ---------------------------------------------------------------------------------------------------

static enum reeve_err put_ids(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    struct reeve_value *list = reeve_value_list();
    enum reeve_err err = REEVE_OK;
    for (size_t i = 1; err == REEVE_OK && i < inv->args_len; i++) {
        err = job_args_check_id(inv->args[i], why);
        (void)reeve_value_add(list, reeve_value_str(inv->args[i])); /* remembered: reeve_value_built() */
    }
    (void)reeve_value_put(args, "ids", list); /* remembered: reeve_value_built() */
    return err;
}

static enum reeve_err put_which(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    struct reeve_value *filter = reeve_value_map();
    enum reeve_err err = job_args_put_filter(inv, filter, why);
    bool filtered = reeve_value_len(filter) > 0;
    bool all = opt_given(inv, OPT_ALL);
    if (err == REEVE_OK && inv->args_len > 1 && (filtered || all)) {
        err = reeve_fail(why, REEVE_INVALID, "'%s' and filters: which of them?", inv->args[1]);
    } else if (err == REEVE_OK && inv->args_len == 1 && !filtered && !all) {
        err = reeve_fail(why, REEVE_INVALID, "which jobs? give ids, filters such as --state failed, or --all");
    }
    if (err != REEVE_OK || inv->args_len > 1) {
        reeve_value_free(filter);
        return err == REEVE_OK ? put_ids(inv, args, why) : err;
    }
    (void)reeve_value_put(args, "filter", filter); /* remembered: reeve_value_built() */
    return REEVE_OK;
}

// What is retried without a word about the state are the dead letters.
static enum reeve_err put_retry(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    enum reeve_err err = put_which(inv, args, why);
    struct reeve_value *filter = reeve_value_get_mut(args, "filter");
    if (filter != NULL && reeve_get_str(filter, "state") == NULL) {
        reeve_put_str(filter, "state", reeve_job_state_text(REEVE_JOB_FAILED));
    }
    return err;
}

static enum reeve_err put_queue_retry(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    struct reeve_value *filter = reeve_value_map();
    enum reeve_err err = job_args_put_filter(inv, filter, why);
    reeve_put_str(filter, "state", reeve_job_state_text(REEVE_JOB_FAILED));
    (void)reeve_value_put(args, "filter", filter); /* remembered: reeve_value_built() */
    return err;
}

static enum reeve_err put_states(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    struct reeve_value *list = reeve_value_list();
    const char *text;
    enum reeve_err err = REEVE_OK;
    for (size_t at = 0; (text = opt_next(inv, OPT_STATE, &at)) != NULL;) {
        enum reeve_job_state state;
        (void)reeve_value_add(list, reeve_value_str(text)); /* remembered: reeve_value_built() */
        if (!reeve_job_state_parse(text, &state) || state == REEVE_JOB_ACTIVE) {
            err = reeve_fail(why, REEVE_INVALID,
                             "--state: '%.40s' given, expected waiting, delayed, completed, failed or cancelled", text);
        }
    }
    if (reeve_value_len(list) == 0) {
        (void)reeve_value_add(list, reeve_value_str("waiting")); /* remembered: reeve_value_built() */
        (void)reeve_value_add(list, reeve_value_str("delayed")); /* as above */
    }
    (void)reeve_value_put(args, "states", list); /* as above */
    return err;
}

static const struct bulk_command bulk_commands[] = {
    {"job cancel", "cancel", "cancelled", put_which, true},
    {"job retry", "retry", "retried", put_retry, false},
    {"job rm", "remove", "removed", put_which, true},
    {"queue purge", "purge", "removed", put_states, true},
    {"queue retry", "retry", "retried", put_queue_retry, false},
};

static const struct bulk_command *find_command(const struct invocation *inv)
{
    size_t i = 0;
    while (i < REEVE_ARRAY_LEN(bulk_commands) - 1 && strcmp(bulk_commands[i].command, inv->command->name) != 0) {
        i++;
    }
    REEVE_ASSERT(strcmp(bulk_commands[i].command, inv->command->name) == 0);
    return &bulk_commands[i];
}

// ---- asking first ---------------------------------------------------------------------------------------------------

// "312 waiting and 4 delayed", from the queue's status; what is not there is not named.
static int put_counts(struct bulk *bulk, struct reeve_buf *text)
{
    REEVE_VALUE_AUTO described = NULL;
    const struct reeve_value *states = reeve_value_get(bulk->args, "states");
    int exit_code = asking_read(&bulk->asking, "queue", bulk->asking.inv->args[0], "describe", NULL, &described);
    const struct reeve_value *status = reeve_value_get(described, "status");
    for (size_t i = 0; exit_code == EXIT_DONE && i < reeve_value_len(states); i++) {
        const char *state = reeve_value_text(reeve_value_at(states, i));
        reeve_buf_printf(text, "%s%" PRId64 " %s", i > 0 ? " and " : "", reeve_get_int(status, state, 0), state);
    }
    return exit_code;
}

// EXIT_DONE: go on.
static int confirm(struct bulk *bulk)
{
    const struct invocation *inv = bulk->asking.inv;
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(4096);
    bool purges = reeve_value_get(bulk->args, "states") != NULL;
    if (!bulk->command->asks || inv->args_len > 1 || opt_given(inv, OPT_DRY_RUN) || !ask_somebody(inv)) {
        return EXIT_DONE;
    }
    reeve_buf_printf(&text, "%s ", purges || strcmp(bulk->command->op, "remove") == 0 ? "remove" : "cancel");
    int exit_code = purges ? put_counts(bulk, &text) : EXIT_DONE;
    if (exit_code != EXIT_DONE) {
        return exit_code;
    }
    reeve_buf_printf(&text, purges ? " jobs of queue %s" : "all jobs of queue %s that fit", inv->args[0]);
    return ask_confirmed(inv, reeve_buf_str(&text)) ? EXIT_DONE : output_fail(inv, EXIT_REFUSED, "nothing was done");
}

// ---- one command after the other ------------------------------------------------------------------------------------

static struct reeve_value *args_now(const struct bulk *bulk)
{
    struct reeve_value *args = reeve_value_clone(bulk->args);
    struct reeve_value *filter = reeve_value_get_mut(args, "filter");
    if (filter != NULL && bulk->limit >= 0) {
        reeve_put_int(filter, "limit", bulk->limit - bulk->done);
    }
    return args;
}

static void take_refused(struct bulk *bulk, const struct reeve_value *refused)
{
    for (size_t i = 0; i < reeve_value_len(refused); i++) {
        (void)reeve_value_add(bulk->refused, reeve_value_clone(reeve_value_at(refused, i))); /* remembered */
    }
}

// True: there is more to do.
static bool take_result(struct bulk *bulk, const struct reeve_value *result)
{
    int64_t done = reeve_get_int(result, "done", reeve_get_int(result, "removed", 0));
    bulk->done += done;
    bulk->more = reeve_get_bool(result, "more", false);
    take_refused(bulk, reeve_value_get(result, "refused"));
    // An answer that did nothing would be given again for ever.
    return bulk->more && done > 0 && (bulk->limit < 0 || bulk->done < bulk->limit);
}

static void tell_refused(const struct bulk *bulk)
{
    size_t len = reeve_value_len(bulk->refused);
    for (size_t i = 0; i < len && i < TOLD_MAX; i++) {
        const struct reeve_value *one = reeve_value_at(bulk->refused, i);
        const char *id = reeve_get_str(one, "id");
        const char *message = reeve_get_str(one, "message");
        const char *code = reeve_get_str(one, "code");
        output_note("%s %s: %s", bulk->command->command, id != NULL ? id : "?", message != NULL ? message : code);
    }
    if (len > TOLD_MAX) {
        output_note("%s: ... and %zu more", bulk->command->command, len - TOLD_MAX);
    }
}

static int tell(const struct bulk *bulk)
{
    const struct invocation *inv = bulk->asking.inv;
    bool ok = reeve_value_len(bulk->refused) == 0;
    bool dry = opt_given(inv, OPT_DRY_RUN);
    if (opt_given(inv, OPT_JSON)) {
        REEVE_VALUE_AUTO map = reeve_value_map();
        reeve_put_str(map, "op", bulk->command->op);
        reeve_put_str(map, "queue", inv->args[0]);
        reeve_put_bool(map, "ok", ok);
        if (dry) {
            reeve_put_bool(map, "dry_run", true);
        }
        reeve_put_int(map, "done", bulk->done);
        (void)reeve_value_put(map, "refused", reeve_value_clone(bulk->refused)); /* remembered: reeve_value_built() */
        reeve_put_bool(map, "more", bulk->more);
        int written = output_json(map, false);
        return written != EXIT_DONE ? written : ok ? EXIT_DONE : EXIT_REFUSED;
    }
    output_print("queue %s: %s%" PRId64 " job%s %s%s\n", inv->args[0], dry ? "dry run: " : "", bulk->done,
                 bulk->done == 1 ? "" : "s", bulk->command->done, bulk->more ? ", and there are more" : "");
    if (fflush(stdout) != 0) {
        return EXIT_REFUSED;
    }
    tell_refused(bulk);
    return ok ? EXIT_DONE : EXIT_REFUSED;
}

// Sent without waiting: once; nobody hears whether there is more.
static int send_only(struct bulk *bulk, struct orders *orders)
{
    if (opt_given(bulk->asking.inv, OPT_JSON)) {
        REEVE_VALUE_AUTO value = orders_value(orders);
        int written = output_json(value, false);
        return written != EXIT_DONE ? written : orders_exit(orders);
    }
    orders_print(orders);
    return fflush(stdout) == 0 ? orders_exit(orders) : EXIT_REFUSED;
}

static int perform_all(struct bulk *bulk, struct progress *progress)
{
    const struct invocation *inv = bulk->asking.inv;
    for (bool more = true; more;) {
        ORDERS_AUTO orders = {.dry_run = opt_given(inv, OPT_DRY_RUN), .no_wait = opt_given(inv, OPT_NO_WAIT)};
        struct reeve_why why = {0};
        enum reeve_err err =
            asking_order(&bulk->asking, "queue", inv->args[0], bulk->command->op, args_now(bulk), &orders, &why);
        if (err != REEVE_OK) {
            return output_fail_why(inv, err, &why);
        }
        if (orders.no_wait) {
            return send_only(bulk, &orders);
        }
        const struct reeve_value *result = orders.items[0]->result;
        if (orders_exit(&orders) != EXIT_DONE && reeve_value_get(result, "refused") == NULL) {
            return asking_fail(inv, &orders, queue_advise);
        }
        more = take_result(bulk, result) && !orders.dry_run;
        if (more) {
            progress_show(progress, (uint64_t)bulk->done, -1, NULL);
        }
        bulk->asking.session.deadline_mono = reeve_clock_mono_ms() + bulk->asking.site.timeout_ms; // of each answer
    }
    progress_end(progress);
    return tell(bulk);
}

static int perform(struct bulk *bulk)
{
    struct progress progress;
    progress_begin(&progress, "jobs");
    int exit_code = perform_all(bulk, &progress);
    progress_end(&progress);
    return exit_code;
}

static int print_mqtt(struct bulk *bulk)
{
    ORDERS_AUTO orders = {.op = bulk->command->op, .dry_run = opt_given(bulk->asking.inv, OPT_DRY_RUN)};
    struct reeve_why why = {0};
    enum reeve_err err = site_load(bulk->asking.inv, &bulk->asking.site, &why);
    if (err == REEVE_OK) {
        err = orders_add_to(&orders, bulk->asking.site.root, "queue", bulk->asking.inv->args[0],
                            reeve_value_take(&bulk->args), &why);
    }
    return err == REEVE_OK ? orders_print_mqtt(bulk->asking.inv, &bulk->asking.site, &orders)
                           : output_fail_why(bulk->asking.inv, err, &why);
}

int cmd_job_bulk(const struct invocation *inv)
{
    BULK_AUTO bulk = {
        .command = find_command(inv), .asking = {.inv = inv}, .args = reeve_value_map(), .refused = reeve_value_list()};
    struct reeve_why why = {0};
    enum reeve_err err = job_args_queue(inv, &why);
    if (err == REEVE_OK) {
        err = bulk.command->put(inv, bulk.args, &why);
    }
    bulk.limit = reeve_get_int(reeve_value_get(bulk.args, "filter"), "limit", -1);
    if (err == REEVE_OK && opt_given(inv, OPT_PRINT_MQTT)) {
        return print_mqtt(&bulk);
    }
    if (err == REEVE_OK) {
        err = asking_begin(&bulk.asking, inv, &why);
    }
    if (err == REEVE_OK) {
        err = asking_open(&bulk.asking, &why);
    }
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    int exit_code = confirm(&bulk);
    return exit_code == EXIT_DONE ? perform(&bulk) : exit_code;
}
