// job add: one job from options, or, with --file, what job_import.c reads.
// Must not: send a job twice; its id is made here, and the manager knows it [job-11].
#include "ask.h"
#include "commands.h"
#include "job_args.h"
#include "job_import.h"
#include "job_wait.h"
#include "queue_view.h"

#include <inttypes.h>
#include <reeve/codec.h>
#include <stdlib.h>
#include <string.h>

struct adding {
    struct asking asking;
    struct orders orders;
    struct job_wait *wait;     // NULL = does not wait
    struct reeve_value *ended; // LIST of what `show` told, for --json
};

static void adding_done(struct adding *adding)
{
    job_wait_free(adding->wait);
    orders_done(&adding->orders);
    asking_done(&adding->asking);
    reeve_value_free(adding->ended);
}
#define ADDING_AUTO __attribute__((cleanup(adding_done))) struct adding

// ---- what became of it ----------------------------------------------------------------------------------------------

static void show_ended(const char *id, const struct reeve_value *record, void *arg)
{
    struct adding *adding = arg;
    bool json = opt_given(adding->asking.inv, OPT_JSON);
    if (json && record != NULL) {
        (void)reeve_value_add(adding->ended, reeve_value_clone(record)); /* remembered: reeve_value_built() */
    }
    job_import_tell_ended(id, record, !json);
}

static const char *first_id(const struct reeve_value *result)
{
    const char *id = reeve_value_text(reeve_value_at(reeve_value_get(result, "ids"), 0));
    return id != NULL ? id : reeve_get_str(reeve_value_at(reeve_value_get(result, "others"), 0), "id");
}

static void print_added(const struct adding *adding)
{
    const struct invocation *inv = adding->asking.inv;
    const struct reeve_value *result = adding->orders.items[0]->result;
    const struct reeve_value *other = reeve_value_at(reeve_value_get(result, "others"), 0);
    const char *durability = reeve_get_str(result, "durability");
    const char *id = first_id(result);
    const char *state = reeve_get_str(other, "state");
    if (opt_given(inv, OPT_QUIET)) {
        output_print("%s\n", id != NULL ? id : "?");
    } else if (opt_given(inv, OPT_BRIEF)) {
        output_print("queue %s: %" PRId64 " added\n", inv->args[0], reeve_get_int(result, "accepted", 0));
    } else if (reeve_get_int(result, "duplicates", 0) > 0) {
        output_print("queue %s: job %s is there already%s%s\n", inv->args[0], id != NULL ? id : "?",
                     state != NULL ? ", " : "", state != NULL ? state : "");
    } else if (adding->orders.dry_run) {
        output_print("queue %s: dry run: the job would be added\n", inv->args[0]);
    } else {
        output_print("queue %s: job %s added, %s\n", inv->args[0], id != NULL ? id : "?",
                     durability != NULL && strcmp(durability, "memory") == 0 ? "in memory only" : "on disk");
    }
}

static int wait_for(struct adding *adding)
{
    struct reeve_why why = {0};
    const char *id = first_id(adding->orders.items[0]->result);
    enum reeve_err err = id != NULL ? job_wait_add(adding->wait, id) : REEVE_INTERNAL;
    if (err == REEVE_OK) {
        err = job_wait_run(adding->asking.inv, adding->wait, &why);
    } else {
        (void)reeve_fail(&why, err, "the answer does not name the job");
    }
    return err == REEVE_OK ? job_wait_exit(adding->wait) : output_fail_why(adding->asking.inv, err, &why);
}

static int tell_json(const struct adding *adding, int exit_code)
{
    REEVE_VALUE_AUTO value = orders_value(&adding->orders);
    if (adding->wait != NULL) {
        reeve_put_bool(value, "ok", exit_code == EXIT_DONE);
        (void)reeve_value_put(value, "jobs", reeve_value_clone(adding->ended)); /* remembered: reeve_value_built() */
    }
    int written = output_json(value, false);
    return written != EXIT_DONE ? written : exit_code;
}

static int tell(struct adding *adding)
{
    const struct orders *orders = &adding->orders;
    const struct invocation *inv = adding->asking.inv;
    int exit_code = orders_exit(orders);
    if (exit_code != EXIT_DONE) {
        return asking_fail(inv, orders, queue_advise);
    }
    if (orders->no_wait && !opt_given(inv, OPT_JSON)) {
        orders_print(orders);
        return fflush(stdout) == 0 ? exit_code : EXIT_REFUSED;
    }
    if (adding->wait != NULL) {
        exit_code = wait_for(adding);
        if (exit_code == EXIT_AWAY) {
            return exit_code; // it has been told
        }
    } else if (!opt_given(inv, OPT_JSON)) {
        print_added(adding);
    }
    if (opt_given(inv, OPT_JSON)) {
        return tell_json(adding, exit_code);
    }
    return fflush(stdout) == 0 ? exit_code : EXIT_REFUSED;
}

// ---- one job --------------------------------------------------------------------------------------------------------

static enum reeve_err read_job(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    if (inv->args_len < 2) {
        return reeve_fail(why, REEVE_INVALID,
                          "which type of job? reeve job add QUEUE TYPE; or --file with a job a line");
    }
    if (opt_given(inv, OPT_BATCH_ID)) {
        return reeve_fail(why, REEVE_INVALID, "--batch-id is for imports with --file; a single job has an --id");
    }
    return job_args_put_spec(inv, inv->args[1], args, why);
}

static enum reeve_err begin(struct adding *adding, struct reeve_why *why)
{
    const struct invocation *inv = adding->asking.inv;
    bool waits = opt_given(inv, OPT_WAIT) && !adding->orders.dry_run && !adding->orders.no_wait;
    enum reeve_err err = asking_begin(&adding->asking, inv, why);
    if (err == REEVE_OK && waits) {
        err = job_wait_new(&adding->asking.session, inv->args[0], show_ended, adding, &adding->wait, why);
    }
    return err == REEVE_OK ? asking_open_to_give(&adding->asking, why) : err;
}

static int print_mqtt(struct adding *adding, struct reeve_value *args)
{
    struct reeve_why why = {0};
    enum reeve_err err = site_load(adding->asking.inv, &adding->asking.site, &why);
    if (err != REEVE_OK) {
        reeve_value_free(args);
        return output_fail_why(adding->asking.inv, err, &why);
    }
    adding->orders.op = "enqueue";
    err = orders_add_to(&adding->orders, adding->asking.site.root, "queue", adding->asking.inv->args[0], args, &why);
    return err == REEVE_OK ? orders_print_mqtt(adding->asking.inv, &adding->asking.site, &adding->orders)
                           : output_fail_why(adding->asking.inv, err, &why);
}

static int add_one(const struct invocation *inv)
{
    ADDING_AUTO adding = {
        .asking = {.inv = inv},
        .orders = {.op = "enqueue", .dry_run = opt_given(inv, OPT_DRY_RUN), .no_wait = opt_given(inv, OPT_NO_WAIT)},
        .ended = reeve_value_list()};
    REEVE_VALUE_AUTO args = reeve_value_map();
    struct reeve_why why = {0};
    enum reeve_err err = read_job(inv, args, &why);
    if (err == REEVE_OK && opt_given(inv, OPT_PRINT_MQTT)) {
        return print_mqtt(&adding, reeve_value_take(&args));
    }
    if (err == REEVE_OK) {
        err = begin(&adding, &why);
    }
    if (err == REEVE_OK) {
        err = asking_order(&adding.asking, "queue", inv->args[0], "enqueue", reeve_value_take(&args), &adding.orders,
                           &why);
    }
    return err == REEVE_OK ? tell(&adding) : output_fail_why(inv, err, &why);
}

int cmd_job_add(const struct invocation *inv)
{
    struct reeve_why why = {0};
    enum reeve_err err = job_args_queue(inv, &why);
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    return opt_given(inv, OPT_FILE) ? job_import(inv) : add_one(inv);
}
