// job: the commands that only read: show, explain, logs, ls.
// Must not: change a job; job_bulk.c and cmd_job_add.c do.
#include "ask.h"
#include "commands.h"
#include "job_args.h"
#include "queue_view.h"

#include <reeve/str.h>
#include <string.h>

#define LIST_PRESET 100
#define PAGE_MAX    500

static void show_job(const struct invocation *inv, const struct reeve_value *result)
{
    (void)inv;
    queue_view_job(result);
}

static void show_explained(const struct invocation *inv, const struct reeve_value *result)
{
    const struct reeve_value *details = reeve_value_get(result, "details");
    const char *state = reeve_get_str(result, "state");
    const char *why = reeve_get_str(result, "why");
    output_print("%s %s: %s\n", inv->args[1], state != NULL ? state : "?", why != NULL ? why : "?");
    for (size_t i = 0; i < reeve_value_len(details); i++) {
        const char *text = reeve_value_text(reeve_value_at(details, i));
        if (text != NULL && !reeve_str_eq(text, why)) { // the first often is the whole reason
            output_print("- %s\n", text);
        }
    }
}

static void show_logs(const struct invocation *inv, const struct reeve_value *result)
{
    queue_view_logs(reeve_value_get(result, "lines"), opt_given(inv, OPT_TIMESTAMPS));
}

static const struct job_command {
    const char *op; // is the command's second word
    void (*show)(const struct invocation *inv, const struct reeve_value *result);
} job_commands[] = {{"show", show_job}, {"explain", show_explained}, {"logs", show_logs}};

int cmd_job(const struct invocation *inv)
{
    const char *word = strchr(inv->command->name, ' ') + 1;
    struct reeve_why why = {0};
    size_t i = 0;
    while (i < REEVE_ARRAY_LEN(job_commands) - 1 && strcmp(job_commands[i].op, word) != 0) {
        i++;
    }
    enum reeve_err err = job_args_queue(inv, &why);
    if (err == REEVE_OK) {
        err = job_args_check_id(inv->args[1], &why);
    }
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    struct reeve_value *args = reeve_value_map();
    reeve_put_str(args, "id", inv->args[1]);
    struct question question = {.part = "queue",
                                .name = inv->args[0],
                                .op = job_commands[i].op,
                                .args = args,
                                .flags = ASK_READS,
                                .show = job_commands[i].show,
                                .advise = queue_advise};
    return ask(inv, &question);
}

// ---- ls -----------------------------------------------------------------------------------------------------------

struct listing {
    struct asking asking;
    struct reeve_value *args;
    struct reeve_value *jobs; // LIST
    int64_t limit;
    bool more; // than were asked for
};

static void listing_done(struct listing *listing)
{
    asking_done(&listing->asking); // first: it still receives
    reeve_value_free(listing->args);
    reeve_value_free(listing->jobs);
}
#define LISTING_AUTO __attribute__((cleanup(listing_done))) struct listing

// One page; 0 in *ret_next when it was the last.
static int read_page(struct listing *listing, int64_t before, int64_t *ret_next)
{
    ORDERS_AUTO orders = {0};
    struct reeve_why why = {0};
    struct reeve_value *args = reeve_value_clone(listing->args);
    int64_t left = listing->limit - (int64_t)reeve_value_len(listing->jobs);
    reeve_put_int(args, "limit", left < PAGE_MAX ? left : PAGE_MAX);
    if (before > 0) {
        reeve_put_int(args, "before", before);
    }
    enum reeve_err err =
        asking_order(&listing->asking, "queue", listing->asking.inv->args[0], "list", args, &orders, &why);
    if (err != REEVE_OK) {
        return output_fail_why(listing->asking.inv, err, &why);
    }
    if (orders_exit(&orders) != EXIT_DONE) {
        return asking_fail(listing->asking.inv, &orders, queue_advise);
    }
    const struct reeve_value *result = orders.items[0]->result;
    const struct reeve_value *jobs = reeve_value_get(result, "jobs");
    for (size_t i = 0; i < reeve_value_len(jobs); i++) {
        (void)reeve_value_add(listing->jobs, reeve_value_clone(reeve_value_at(jobs, i))); /* remembered */
    }
    listing->more = reeve_get_bool(result, "more", false);
    int64_t next = reeve_get_int(result, "next", 0); // also behind an empty page: the search was cut
    *ret_next = listing->more && (before == 0 || next < before) ? next : 0;
    return EXIT_DONE;
}

static int show_listing(const struct listing *listing)
{
    const struct invocation *inv = listing->asking.inv;
    if (opt_given(inv, OPT_JSON)) {
        REEVE_VALUE_AUTO map = reeve_value_map();
        reeve_put_str(map, "queue", inv->args[0]);
        (void)reeve_value_put(map, "jobs", reeve_value_clone(listing->jobs)); /* remembered: reeve_value_built() */
        reeve_put_bool(map, "more", listing->more);
        return output_json(map, false);
    }
    if (!opt_given(inv, OPT_QUIET)) {
        queue_view_jobs(listing->jobs, opt_given(inv, OPT_WIDE));
    }
    for (size_t i = 0; opt_given(inv, OPT_QUIET) && i < reeve_value_len(listing->jobs); i++) {
        const char *id = reeve_get_str(reeve_value_at(listing->jobs, i), "id");
        output_print("%s\n", id != NULL ? id : "?");
    }
    if (fflush(stdout) != 0) {
        return EXIT_REFUSED;
    }
    if (listing->more && !opt_given(inv, OPT_QUIET)) {
        output_note("there are more; --limit says how many to show");
    }
    return EXIT_DONE;
}

static enum reeve_err begin(struct listing *listing, struct reeve_why *why)
{
    const struct invocation *inv = listing->asking.inv;
    enum reeve_err err = job_args_queue(inv, why);
    if (err == REEVE_OK) {
        err = job_args_put_filter(inv, listing->args, why);
    }
    listing->limit = reeve_get_int(listing->args, "limit", LIST_PRESET);
    if (err == REEVE_OK) {
        err = asking_begin(&listing->asking, inv, why);
    }
    return err == REEVE_OK ? asking_open(&listing->asking, why) : err;
}

int cmd_job_ls(const struct invocation *inv)
{
    LISTING_AUTO listing = {.asking = {.inv = inv}, .args = reeve_value_map(), .jobs = reeve_value_list()};
    struct reeve_why why = {0};
    int64_t next = 0;
    enum reeve_err err = begin(&listing, &why);
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    do {
        int exit_code = read_page(&listing, next, &next);
        if (exit_code != EXIT_DONE) {
            return exit_code;
        }
    } while (next > 0 && (int64_t)reeve_value_len(listing.jobs) < listing.limit);
    return show_listing(&listing);
}
