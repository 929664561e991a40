// queue: the commands that are one question each, and the table of them; and `queue ls` from what is retained.
// Must not: touch jobs one by one; cmd_job*.c does.
#include "ask.h"
#include "commands.h"
#include "fleet_view.h"
#include "job_args.h"
#include "queue_view.h"

#include <reeve/clock.h>
#include <reeve/codec.h>
#include <stdlib.h>
#include <string.h>

static void show_described(const struct invocation *inv, const struct reeve_value *result)
{
    queue_view_show(inv->args[0], result);
}

static enum reeve_err put_force(const struct invocation *inv, struct reeve_value *args)
{
    if (opt_given(inv, OPT_FORCE)) {
        reeve_put_bool(args, "force", true);
    }
    return reeve_value_built(args);
}

static void confirm_delete(int64_t workers, struct reeve_buf *text)
{
    (void)workers;
    reeve_buf_puts(text, "forget the queue, its jobs and what their ids were");
}

static const struct queue_command {
    const char *command, *op;
    enum reeve_err (*put)(const struct invocation *inv, struct reeve_value *args);
    void (*show)(const struct invocation *inv, const struct reeve_value *result);
    void (*confirm)(int64_t workers, struct reeve_buf *text);
    unsigned flags;
} queue_commands[] = {
    {.command = "show", .op = "describe", .show = show_described, .flags = ASK_READS},
    {.command = "pause", .op = "pause"},
    {.command = "resume", .op = "resume"},
    {.command = "drain", .op = "drain"},
    {.command = "rm", .op = "delete", .put = put_force, .confirm = confirm_delete},
};

static const struct queue_command *find_command(const struct invocation *inv)
{
    const char *word = strchr(inv->command->name, ' ') + 1;
    size_t i = 0;
    while (i < REEVE_ARRAY_LEN(queue_commands) - 1 && strcmp(queue_commands[i].command, word) != 0) {
        i++;
    }
    REEVE_ASSERT(strcmp(queue_commands[i].command, word) == 0);
    return &queue_commands[i];
}

int cmd_queue(const struct invocation *inv)
{
    const struct queue_command *command = find_command(inv);
    REEVE_VALUE_AUTO args = reeve_value_map();
    struct reeve_why why = {0};
    enum reeve_err err = job_args_queue(inv, &why);
    if (err == REEVE_OK && command->put != NULL && command->put(inv, args) != REEVE_OK) {
        err = reeve_fail(&why, REEVE_NOMEM, "out of memory");
    }
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    struct question question = {.part = "queue",
                                .name = inv->args[0],
                                .op = command->op,
                                .args = reeve_value_take(&args),
                                .flags = command->flags,
                                .show = command->show,
                                .confirm = command->confirm,
                                .advise = queue_advise};
    return ask(inv, &question);
}

// ---- ls: from the retained status of each ---------------------------------------------------------------------------

struct listing {
    struct asking asking;       // its managers tell whether what is shown is kept up
    struct reeve_value *queues; // MAP name -> status
    bool changed;               // since it was shown
};

static void listing_done(struct listing *listing)
{
    asking_done(&listing->asking); // first: it still receives
    reeve_value_free(listing->queues);
}
#define LISTING_AUTO __attribute__((cleanup(listing_done))) struct listing

static bool is_wanted(const struct invocation *inv, const char *name)
{
    for (size_t i = 0; i < inv->args_len; i++) {
        if (reeve_glob_match(inv->args[i], name)) {
            return true;
        }
    }
    return inv->args_len == 0;
}

static void on_status(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)bus;
    struct listing *listing = arg;
    struct reeve_value *status = NULL;
    const struct reeve_topic topic = reeve_topic_parse(listing->asking.site.root, delivery->topic);
    listing->asking.managers.last_mono = reeve_clock_mono_ms(); // settling waits for these, too
    if (topic.kind != REEVE_TOPIC_QUEUE || !is_wanted(listing->asking.inv, topic.client)) {
        return;
    }
    listing->changed = true;
    if (delivery->payload_len == 0) {
        (void)reeve_value_remove(listing->queues, topic.client); /* may not have been there */
    } else if (reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire, NULL, &status, NULL) ==
               REEVE_OK) {
        (void)reeve_value_put(listing->queues, topic.client, status); /* out of memory: one is missing */
    }
}

static enum reeve_err read_queues(struct listing *listing, struct reeve_why *why)
{
    char filter[REEVE_TOPIC_SIZE];
    enum reeve_err err = asking_begin(&listing->asking, listing->asking.inv, why);
    if (err == REEVE_OK) {
        (void)reeve_topic_make(filter, listing->asking.site.root, "queue/+/status");
        err = reeve_bus_subscribe(listing->asking.session.bus, filter, 1, 0, on_status, listing, why);
    }
    if (err == REEVE_OK) {
        err = session_open(&listing->asking.session, why);
    }
    return err == REEVE_OK ? managers_settle(&listing->asking.managers, why) : err;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// Names sorted; the caller frees.
static const char **sorted_names(const struct reeve_value *queues)
{
    size_t len = reeve_value_len(queues);
    const char **names = calloc(len + 1, sizeof *names);
    if (names != NULL) {
        for (size_t i = 0; i < len; i++) {
            names[i] = reeve_value_key(queues, i);
        }
        qsort(names, len, sizeof *names, compare_names);
    }
    return names;
}

static void put_table(const struct listing *listing, const char *const *names, size_t len, struct reeve_buf *out)
{
    TABLE_AUTO table = {0};
    queue_table_init(&table);
    for (size_t i = 0; i < len; i++) {
        queue_table_add(&table, names[i], reeve_value_get(listing->queues, names[i]));
    }
    table_write(&table, output_width(), output_has_colour(), out);
}

static int show_json(const struct listing *listing, const char *const *names, size_t len)
{
    REEVE_VALUE_AUTO map = reeve_value_map();
    struct reeve_value *list = reeve_value_list();
    for (size_t i = 0; i < len; i++) {
        (void)reeve_value_add(list, reeve_value_clone(reeve_value_get(listing->queues, names[i]))); /* remembered */
    }
    reeve_put_int(map, "at", reeve_clock_wall_ms());
    (void)reeve_value_put(map, "queues", list); /* remembered: reeve_value_built() */
    return output_json(map, false);
}

static int show_text(const struct listing *listing, const char *const *names, size_t len, bool screen)
{
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    reeve_buf_puts(&out, screen ? "\033[H\033[2J" : "");
    for (size_t i = 0; opt_given(listing->asking.inv, OPT_QUIET) && i < len; i++) {
        reeve_buf_printf(&out, "%s\n", names[i]);
    }
    if (!opt_given(listing->asking.inv, OPT_QUIET)) {
        put_table(listing, names, len, &out);
    }
    return output_write(&out);
}

static int show(struct listing *listing, bool screen)
{
    size_t len = reeve_value_len(listing->queues);
    const char **names = sorted_names(listing->queues);
    listing->changed = false;
    if (names == NULL) {
        return output_fail(listing->asking.inv, EXIT_REFUSED, "out of memory");
    }
    int exit_code = opt_given(listing->asking.inv, OPT_JSON) ? show_json(listing, names, len)
                                                             : show_text(listing, names, len, screen);
    free(names);
    return exit_code == EXIT_DONE && fflush(stdout) != 0 ? EXIT_REFUSED : exit_code;
}

static bool has_changed(void *arg)
{
    return ((const struct listing *)arg)->changed;
}

// A status leaves at most once a second per queue: what comes together is shown together.
static int watch(struct listing *listing)
{
    const int64_t together_ms = 100;
    int64_t end_mono = 0;
    struct reeve_why why = {0};
    int exit_code = EXIT_DONE;
    if (opt_given(listing->asking.inv, OPT_TIMEOUT)) {
        end_mono = reeve_clock_mono_ms() + listing->asking.site.timeout_ms;
    }
    while (exit_code == EXIT_DONE) {
        enum reeve_err err = session_run(&listing->asking.session, has_changed, listing, end_mono, &why);
        if (err == REEVE_CANCELLED || err == REEVE_TIMEOUT) {
            return EXIT_DONE;
        }
        if (err != REEVE_OK) {
            return output_fail_why(listing->asking.inv, err, &why);
        }
        listing->changed = false;
        (void)session_run(&listing->asking.session, has_changed, listing, reeve_clock_mono_ms() + together_ms,
                          &why); /* either way what there is now is shown */
        exit_code = show(listing, output_is_tty());
    }
    return exit_code;
}

int cmd_queue_ls(const struct invocation *inv)
{
    LISTING_AUTO listing = {.asking = {.inv = inv}, .queues = reeve_value_map()};
    struct reeve_why why = {0};
    char manager[REEVE_NAME_SIZE];
    bool watches = opt_given(inv, OPT_WATCH);
    enum reeve_err err = read_queues(&listing, &why);
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    int exit_code = show(&listing, watches && output_is_tty());
    if (exit_code == EXIT_DONE && managers_choose(&listing.asking.managers, NULL, manager, &why) == REEVE_OFFLINE) {
        output_note("nobody keeps this up: %s", why.text); // what is shown is what was
    }
    return watches && exit_code == EXIT_DONE ? watch(&listing) : exit_code;
}
