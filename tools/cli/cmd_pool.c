// pool: all commands about one pool, and the table of them. A row per command: its op, its arguments, its answer.
// Must not: decide how many workers there are or where; the manager does.
#include "ask.h"
#include "commands.h"
#include "fleet_view.h"
#include "pool_wait.h"
#include "view.h"

#include <inttypes.h>
#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/str.h>
#include <reeve/units.h>
#include <stdlib.h>
#include <string.h>

// ---- what is sent -------------------------------------------------------------------------------------------------

static enum reeve_err put_size(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    const char *text = inv->args[1];
    int64_t number;
    if (reeve_parse_i64(text[0] == '+' ? text + 1 : text, &number, NULL) != REEVE_OK) {
        return reeve_fail(why, REEVE_INVALID, "SIZE: '%.40s' given, expected a number such as 5, +2 or -1", text);
    }
    reeve_put_str(args, "size", text);
    return REEVE_OK;
}

static enum reeve_err put_version(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    int64_t number;
    if (inv->args_len < 2) {
        return REEVE_OK;
    }
    if (reeve_parse_i64(inv->args[1], &number, NULL) != REEVE_OK || number < 1) {
        return reeve_fail(why, REEVE_INVALID,
                          "VERSION: '%.40s' given, expected a number; `reeve pool history %s` lists them", inv->args[1],
                          inv->args[0]);
    }
    reeve_put_int(args, "version", number);
    return REEVE_OK;
}

static enum reeve_err put_delete(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    (void)why;
    if (opt_given(inv, OPT_KEEP_WORKERS)) {
        reeve_put_str(args, "workers", "keep");
    }
    return REEVE_OK;
}

static enum reeve_err put_acquire(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    reeve_put_str_opt(args, "holder", opt_value(inv, OPT_HOLDER));
    enum reeve_err err = ask_put_duration(inv, OPT_LEASE, "lease", args, why);
    return err == REEVE_OK ? ask_put_duration(inv, OPT_WAIT_FOR, "wait", args, why) : err;
}

static enum reeve_err put_lease_id(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    reeve_put_str(args, "lease_id", inv->args[1]);
    return ask_put_duration(inv, OPT_LEASE, "lease", args, why);
}

// ---- what comes back ----------------------------------------------------------------------------------------------

static void show_scaled(const struct invocation *inv, const struct reeve_value *result)
{
    int64_t from = reeve_get_int(result, "from", 0);
    int64_t size = reeve_get_int(result, "size", 0);
    if (from == size) {
        output_print("pool %s: has %" PRId64 " already\n", inv->args[0], size);
    } else {
        output_print("pool %s: %" PRId64 " -> %" PRId64 "\n", inv->args[0], from, size);
    }
}

static void show_version(const struct invocation *inv, const struct reeve_value *result)
{
    output_print("pool %s: version %" PRId64 " -> %" PRId64 "\n", inv->args[0], reeve_get_int(result, "from", 0),
                 reeve_get_int(result, "version", 0));
}

static void show_deleted(const struct invocation *inv, const struct reeve_value *result)
{
    int64_t workers = reeve_get_int(result, "workers", 0);
    output_print("pool %s: deleted, %" PRId64 " worker%s %s\n", inv->args[0], workers, workers == 1 ? "" : "s",
                 opt_given(inv, OPT_KEEP_WORKERS) ? "run on and belong to nobody" : "stop when their work is done");
}

static void show_lease(const struct invocation *inv, const struct reeve_value *result)
{
    const char *worker = reeve_get_str(result, "worker");
    const char *node = reeve_get_str(result, "node");
    const char *lease_id = reeve_get_str(result, "lease_id");
    int64_t until = reeve_get_int(result, "until", 0);
    char text[REEVE_UNITS_TEXT_LEN];
    if (worker == NULL && lease_id == NULL && until == 0) { // a dry run
        output_print("no worker of pool %s is free now\n", inv->args[0]);
        return;
    }
    if (worker != NULL) {
        output_print("%s/%s", node != NULL ? node : "?", worker);
    } else {
        output_print("pool %s", inv->args[0]);
    }
    if (lease_id != NULL) {
        output_print(": lease %s", lease_id);
    }
    if (until > 0) {
        int64_t left_ms = (until - reeve_clock_wall_ms() + 500) / 1000 * 1000; // without the way of the answer
        output_print("%s for %s", lease_id != NULL ? "," : ": yours",
                     reeve_duration_human(left_ms > 0 ? left_ms : 0, text));
    }
    output_print("\n");
}

static void show_explained(const struct invocation *inv, const struct reeve_value *result)
{
    static const struct table_column columns[] = {{"NODE", false}, {"FITS", false}, {"RANK", true}, {"REASON", false}};
    const struct reeve_value *nodes = reeve_value_get(result, "nodes");
    const char *next = reeve_get_str(result, "next");
    TABLE_AUTO table = {0};
    table_init(&table, columns, REEVE_ARRAY_LEN(columns));
    for (size_t i = 0; i < reeve_value_len(nodes); i++) {
        const struct reeve_value *node = reeve_value_at(nodes, i);
        bool fits = reeve_get_bool(node, "fits", false);
        int64_t rank = reeve_get_int(node, "rank", -1);
        table_add(&table, COLOUR_BOLD, reeve_get_str(node, "node"));
        table_add(&table, fits ? COLOUR_GOOD : COLOUR_DIM, fits ? "yes" : "no");
        if (rank >= 0) {
            table_addf(&table, "%" PRId64, rank + 1);
        } else {
            table_add(&table, COLOUR_DIM, NULL);
        }
        fleet_cell(&table, node, "reason");
    }
    if (next != NULL) {
        output_print("the next worker of pool %s would go to %s\n\n", inv->args[0], next);
    } else {
        output_print("the next worker of pool %s has nowhere to go\n\n", inv->args[0]);
    }
    fleet_write(&table, false);
}

static void show_history(const struct invocation *inv, const struct reeve_value *result)
{
    static const struct table_column columns[] = {{"VERSION", true}, {"AGE", true},  {"BY", false},
                                                  {"GOOD", false},   {"NOW", false}, {"TYPE", false},
                                                  {"SUMMARY", false}};
    const struct reeve_value *versions = reeve_value_get(result, "versions");
    TABLE_AUTO table = {0};
    (void)inv;
    table_init(&table, columns, REEVE_ARRAY_LEN(columns));
    for (size_t i = 0; i < reeve_value_len(versions); i++) {
        const struct reeve_value *version = reeve_value_at(versions, i);
        bool good = reeve_get_bool(version, "good", false);
        const char *summary = reeve_get_str(version, "summary");
        fleet_cell(&table, version, "version");
        fleet_cell_age(&table, reeve_get_int(version, "at", 0));
        fleet_cell(&table, version, "by");
        table_add(&table, good ? COLOUR_GOOD : COLOUR_DIM, good ? "yes" : "no");
        table_add(&table, COLOUR_BOLD, reeve_get_bool(version, "current", false) ? "*" : NULL);
        fleet_cell(&table, version, "type");
        table_add(&table, COLOUR_DIM, summary != NULL ? summary : reeve_get_str(version, "digest"));
    }
    fleet_write(&table, false);
}

static void show_members(const struct reeve_value *members)
{
    static const struct table_column columns[] = {{"NODE", false},  {"WORKER", false}, {"STATE", false},
                                                  {"AVAIL", false}, {"VERSION", true}, {"REGION", false},
                                                  {"LEASE", false}, {"WHY", false}};
    TABLE_AUTO table = {0};
    table_init(&table, columns, REEVE_ARRAY_LEN(columns));
    for (size_t i = 0; i < reeve_value_len(members); i++) {
        const struct reeve_value *member = reeve_value_at(members, i);
        fleet_cell(&table, member, "node");
        table_add(&table, COLOUR_BOLD, reeve_get_str(member, "worker"));
        fleet_cell_state(&table, reeve_get_str(member, "state"));
        fleet_cell(&table, member, "availability");
        fleet_cell(&table, member, "version");
        fleet_cell(&table, member, "region");
        fleet_cell(&table, member, "lease_id");
        fleet_cell(&table, member, "why");
    }
    if (table_rows(&table) > 0) {
        output_print("\n");
        fleet_write(&table, false);
    }
}

static void show_pool(const struct invocation *inv, const struct reeve_value *result)
{
    const struct reeve_value *status = reeve_value_get(result, "status");
    const struct reeve_value *members = reeve_value_get(result, "members");
    const char *why = reeve_get_str(status, "why");
    REEVE_VALUE_AUTO numbers = status != NULL ? reeve_value_clone(status) : reeve_value_map();
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    output_colour(&out, COLOUR_BOLD, inv->args[0]);
    reeve_buf_puts(&out, "  ");
    output_escape(&out, why != NULL ? why : "", why != NULL ? strlen(why) : 0);
    reeve_buf_puts(&out, "\n");
    (void)output_write(&out); /* a failure shows when stdout is flushed at the end */
    show_members(members != NULL ? members : reeve_value_get(status, "members"));
    (void)reeve_value_remove(numbers, "members");
    REEVE_BUF_AUTO rest = REEVE_BUF_INIT(0);
    fleet_section(&rest, "status", numbers);
    fleet_section(&rest, "spec", reeve_value_get(result, "spec"));
    (void)output_write(&rest); /* as above */
}

// ---- until it is ready ----------------------------------------------------------------------------------------------

// What the manager wants now is what is waited for: another command may have come between.
static int wait_ready(struct asking *asking, const struct reeve_value *result)
{
    REEVE_VALUE_AUTO described = NULL;
    struct pool_goal goal = {0};
    struct reeve_why why = {0};
    (void)result;
    (void)snprintf(goal.pool, sizeof goal.pool, "%s", asking->inv->args[0]);
    int exit_code = asking_read(asking, "pool", goal.pool, "describe", NULL, &described);
    if (exit_code != EXIT_DONE) {
        return exit_code;
    }
    const struct reeve_value *status = reeve_value_get(described, "status");
    goal.version = reeve_get_int(status, "version", 0);
    goal.size = reeve_get_int(status, "size", -1);
    enum reeve_err err = pool_wait(asking->inv, &asking->session, &goal, 1, &why);
    if (err != REEVE_OK) {
        return output_fail_why(asking->inv, err, &why);
    }
    if (!opt_given(asking->inv, OPT_JSON)) {
        output_print("pool %s: %" PRId64 " ready\n", goal.pool, goal.size);
    }
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_REFUSED;
}

// ---- the commands -------------------------------------------------------------------------------------------------

static void confirm_delete(int64_t workers, struct reeve_buf *text)
{
    (void)workers;
    reeve_buf_puts(text, "stop all workers of the pool and forget it");
}

static const struct pool_command {
    const char *command, *op;
    enum reeve_err (*put)(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why);
    void (*show)(const struct invocation *inv, const struct reeve_value *result);
    int (*wait)(struct asking *asking, const struct reeve_value *result);
    void (*confirm)(int64_t workers, struct reeve_buf *text);
    unsigned flags;
} pool_commands[] = {
    {.command = "show", .op = "describe", .show = show_pool, .flags = ASK_READS},
    {.command = "scale", .op = "scale", .put = put_size, .show = show_scaled, .wait = wait_ready},
    {.command = "pause", .op = "pause"},
    {.command = "resume", .op = "resume"},
    {.command = "drain", .op = "drain", .wait = wait_ready},
    {.command = "delete", .op = "delete", .put = put_delete, .show = show_deleted, .confirm = confirm_delete},
    {.command = "explain", .op = "explain", .show = show_explained, .flags = ASK_READS},
    {.command = "history", .op = "history", .show = show_history, .flags = ASK_READS},
    {.command = "rollback", .op = "rollback", .put = put_version, .show = show_version, .wait = wait_ready},
    {.command = "restart", .op = "restart", .show = show_version},
    {.command = "acquire", .op = "acquire", .put = put_acquire, .show = show_lease},
    {.command = "renew", .op = "renew", .put = put_lease_id, .show = show_lease},
    {.command = "release", .op = "release", .put = put_lease_id},
};

static const struct pool_command *find_command(const struct invocation *inv)
{
    const char *word = strchr(inv->command->name, ' ') + 1;
    size_t i = 0;
    while (i < REEVE_ARRAY_LEN(pool_commands) - 1 && strcmp(pool_commands[i].command, word) != 0) {
        i++;
    }
    REEVE_ASSERT(strcmp(pool_commands[i].command, word) == 0);
    return &pool_commands[i];
}

// A wait for a free worker is the manager's; its answer comes after it.
static int64_t manager_time(const struct invocation *inv)
{
    const char *text = opt_value(inv, OPT_WAIT_FOR);
    int64_t ms = 0;
    bool waits = text != NULL && reeve_duration_parse(text, &ms, NULL) == REEVE_OK;
    return waits ? ms + TIMEOUT_PRESET_MS : 0;
}

int cmd_pool(const struct invocation *inv)
{
    const struct pool_command *command = find_command(inv);
    REEVE_VALUE_AUTO args = reeve_value_map();
    struct reeve_why why = {0};
    struct reeve_why reason;
    enum reeve_err err = REEVE_OK;
    if (reeve_name_check(inv->args[0], &reason) != REEVE_OK) {
        err = reeve_fail(&why, REEVE_INVALID, "POOL: %s", reason.text);
    }
    if (err == REEVE_OK && command->put != NULL) {
        err = command->put(inv, args, &why);
    }
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    struct question question = {.part = "pool",
                                .name = inv->args[0],
                                .op = command->op,
                                .args = reeve_value_take(&args),
                                .flags = command->flags,
                                .timeout_ms = manager_time(inv),
                                .show = command->show,
                                .wait = command->wait,
                                .confirm = opt_given(inv, OPT_KEEP_WORKERS) ? NULL : command->confirm};
    return ask(inv, &question);
}

// ---- ls: from the retained status of each
// -----------------------------------------------------------------------------

struct listing {
    struct asking asking;      // its managers tell whether what is shown is kept up
    struct reeve_value *pools; // MAP name -> status
};

static void listing_done(struct listing *listing)
{
    asking_done(&listing->asking); // first: it still receives
    reeve_value_free(listing->pools);
}
#define LISTING_AUTO __attribute__((cleanup(listing_done))) struct listing

static void on_status(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)bus;
    struct listing *listing = arg;
    struct reeve_value *status = NULL;
    const struct reeve_topic topic = reeve_topic_parse(listing->asking.site.root, delivery->topic);
    listing->asking.managers.last_mono = reeve_clock_mono_ms(); // settling waits for these, too
    if (delivery->payload_len > 0 && reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire,
                                                        NULL, &status, NULL) == REEVE_OK) {
        (void)reeve_value_put(listing->pools, topic.client, status); /* out of memory: one is missing */
    }
}

static enum reeve_err read_pools(struct listing *listing, struct reeve_why *why)
{
    char filter[REEVE_TOPIC_SIZE];
    enum reeve_err err = asking_begin(&listing->asking, listing->asking.inv, why);
    if (err == REEVE_OK) {
        (void)reeve_topic_make(filter, listing->asking.site.root, "pool/+/status");
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

// "rolling to 3", "paused", ...; what stands out.
static const char *phase_of(const struct reeve_value *status)
{
    const struct reeve_value *update = reeve_value_get(status, "update");
    const char *phase = reeve_get_str(update, "phase");
    return reeve_get_bool(status, "paused", false)     ? "paused"
           : reeve_get_bool(status, "draining", false) ? "draining"
           : phase != NULL                             ? phase
                                                       : NULL;
}

static void add_pool(struct table *table, const char *name, const struct reeve_value *status)
{
    static const char *const keys[] = {"size", "ready", "busy", "starting"};
    table_add(table, COLOUR_BOLD, name);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(keys); i++) {
        fleet_cell(table, status, keys[i]);
    }
    table_addf(table, "%" PRId64 "..%" PRId64, reeve_get_int(status, "min", 0), reeve_get_int(status, "max", 0));
    fleet_cell(table, status, "version");
    table_add(table, COLOUR_WARN, phase_of(status));
    fleet_cell(table, status, "why");
}

static int show_listing(const struct listing *listing, const char *const *names, size_t len)
{
    static const struct table_column columns[] = {{"POOL", false},   {"SIZE", true},     {"READY", true},
                                                  {"BUSY", true},    {"STARTING", true}, {"BOUNDS", true},
                                                  {"VERSION", true}, {"PHASE", false},   {"WHY", false}};
    bool quiet = opt_given(listing->asking.inv, OPT_QUIET);
    TABLE_AUTO table = {0};
    table_init(&table, columns, REEVE_ARRAY_LEN(columns));
    for (size_t i = 0; i < len; i++) {
        if (quiet) {
            output_print("%s\n", names[i]);
        } else {
            add_pool(&table, names[i], reeve_value_get(listing->pools, names[i]));
        }
    }
    if (!quiet) {
        fleet_write(&table, false);
    }
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_REFUSED;
}

static int show_json(const struct listing *listing, const char *const *names, size_t len)
{
    REEVE_VALUE_AUTO map = reeve_value_map();
    struct reeve_value *list = reeve_value_list();
    for (size_t i = 0; i < len; i++) {
        (void)reeve_value_add(list, reeve_value_clone(reeve_value_get(listing->pools, names[i]))); /* remembered */
    }
    reeve_put_int(map, "at", reeve_clock_wall_ms());
    (void)reeve_value_put(map, "pools", list); /* remembered: reeve_value_built() */
    return output_json(map, false);
}

// Names sorted; the caller frees.
static const char **sorted_names(const struct reeve_value *pools)
{
    size_t len = reeve_value_len(pools);
    const char **names = calloc(len + 1, sizeof *names);
    if (names != NULL) {
        for (size_t i = 0; i < len; i++) {
            names[i] = reeve_value_key(pools, i);
        }
        qsort(names, len, sizeof *names, compare_names);
    }
    return names;
}

int cmd_pool_ls(const struct invocation *inv)
{
    LISTING_AUTO listing = {.asking = {.inv = inv}, .pools = reeve_value_map()};
    struct reeve_why why = {0};
    char manager[REEVE_NAME_SIZE];
    enum reeve_err err = read_pools(&listing, &why);
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    size_t len = reeve_value_len(listing.pools);
    const char **names = sorted_names(listing.pools);
    if (names == NULL) {
        return output_fail(inv, EXIT_REFUSED, "out of memory");
    }
    int exit_code = opt_given(inv, OPT_JSON) ? show_json(&listing, names, len) : show_listing(&listing, names, len);
    free(names);
    if (exit_code == EXIT_DONE && managers_choose(&listing.asking.managers, NULL, manager, &why) == REEVE_OFFLINE) {
        output_note("nobody keeps this up: %s", why.text); // what is shown is what was
    }
    return exit_code;
}
