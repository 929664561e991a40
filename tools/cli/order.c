// Sending commands and collecting their replies; see order.h.
// Must not: send a command twice. An id is made once per order, and the receiver knows it [cmd-4].
#include "order.h"

#include "output.h"

#include <reeve/clock.h>
#include <reeve/id.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_MS 1000 // silence that needs an explanation

static void order_free(struct order *order)
{
    reeve_value_free(order->args);
    reeve_value_free(order->result);
    free(order);
}

void orders_done(struct orders *orders)
{
    for (size_t i = 0; i < orders->len; i++) {
        // A session that ends settles its orders, so that one that is open has a session.
        if (orders->items[i]->sent && !orders->items[i]->settled && !orders->no_wait) {
            reeve_bus_request_cancel(orders->session->bus, orders->items[i]->id);
        }
        order_free(orders->items[i]);
    }
    free(orders->items);
    *orders = (struct orders){0};
}

static void set_topic(struct order *order, const char *root, const char *op)
{
    if (order->part != NULL) {
        (void)reeve_topic_make(order->topic, root, "%s/%s/cmd/%s", order->part, order->subject, op);
        (void)snprintf(order->about, sizeof order->about, "%s %s", order->part, order->subject); /* bounded */
    } else if (order->worker[0] != '\0') {
        (void)reeve_topic_make(order->topic, root, "worker/%s/%s/cmd/%s", order->node, order->worker, op);
        (void)snprintf(order->about, sizeof order->about, "%s/%s", order->node, order->worker);
    } else {
        (void)reeve_topic_make(order->topic, root, "node/%s/cmd/%s", order->node, op);
        (void)snprintf(order->about, sizeof order->about, "%s", order->node);
    }
}

// Takes `args`, also on failure.
static struct order *append(struct orders *orders, struct reeve_value *args, struct reeve_why *why)
{
    struct order *order = calloc(1, sizeof *order);
    struct order **items = realloc(orders->items, (orders->len + 1) * sizeof(struct order *));
    orders->items = items != NULL ? items : orders->items;
    if (order == NULL || items == NULL || (args != NULL && reeve_value_built(args) != REEVE_OK)) {
        free(order);
        reeve_value_free(args);
        (void)reeve_fail(why, REEVE_NOMEM, "out of memory"); /* the caller returns it */
        return NULL;
    }
    order->args = args;
    order->orders = orders;
    items[orders->len++] = order;
    return order;
}

enum reeve_err orders_add(struct orders *orders, const char *root, const char *node, const char *worker,
                          struct reeve_value *args, struct reeve_why *why)
{
    struct order *order = append(orders, args, why);
    if (order == NULL) {
        return REEVE_NOMEM;
    }
    (void)snprintf(order->node, sizeof order->node, "%s", node);
    (void)snprintf(order->worker, sizeof order->worker, "%s", worker);
    set_topic(order, root, orders->op);
    return REEVE_OK;
}

enum reeve_err orders_add_to(struct orders *orders, const char *root, const char *part, const char *name,
                             struct reeve_value *args, struct reeve_why *why)
{
    struct order *order = append(orders, args, why);
    if (order == NULL) {
        return REEVE_NOMEM;
    }
    order->part = part;
    (void)snprintf(order->subject, sizeof order->subject, "%s", name);
    set_topic(order, root, orders->op);
    return REEVE_OK;
}

// ---- sending and waiting --------------------------------------------------------------------------------------

static void settle(struct order *order, enum reeve_err err)
{
    if (!order->settled) {
        order->settled = true;
        order->err = err;
        order->orders->open--;
    }
}

static void keep_reply(struct order *order, const struct reeve_reply *reply)
{
    order->phase = reply->phase;
    order->at = reply->at;
    (void)snprintf(order->code, sizeof order->code, "%s", reply->code != NULL ? reply->code : "");
    (void)snprintf(order->message, sizeof order->message, "%s", reply->message != NULL ? reply->message : "");
    (void)snprintf(order->by, sizeof order->by, "%s", reply->by != NULL ? reply->by : "");
    if (reply->result != NULL) {
        reeve_value_free(order->result);
        order->result = reeve_value_clone(reply->result);
    }
}

static void explain(struct order *order, enum reeve_err err)
{
    const char *text = "the connection was lost before the answer came";
    if (err == REEVE_DENIED) {
        text = "the broker does not let this user give this command";
    } else if (err == REEVE_TIMEOUT) {
        text = order->phase == REEVE_PHASE_RUNNING || order->by[0] != '\0'
                   ? "accepted, but not finished within the timeout; it goes on"
                   : "no answer within the timeout (over MQTT 3.1.1 also when this user may not do it)";
    }
    (void)snprintf(order->code, sizeof order->code, "%s", reeve_err_text(err));
    (void)snprintf(order->message, sizeof order->message, "%s", text);
}

static void on_reply(struct reeve_bus *bus, enum reeve_err err, const struct reeve_reply *reply, void *arg)
{
    (void)bus;
    struct order *order = arg;
    if (reply != NULL) {
        keep_reply(order, reply);
    } else {
        explain(order, err);
    }
    if (reply == NULL || reeve_phase_terminal(reply->phase)) {
        settle(order, err);
    }
}

static void on_published(struct reeve_bus *bus, enum reeve_err err, const struct reeve_why *why, void *arg)
{
    (void)bus;
    (void)why;
    struct order *order = arg;
    if (err != REEVE_OK) {
        explain(order, err);
    }
    settle(order, err);
}

// The args stay the order's own: the command only borrows them.
static enum reeve_err fill(const struct order *order, struct reeve_command *command)
{
    *command = (struct reeve_command){.args = reeve_value_clone(order->args), .dry_run = order->orders->dry_run};
    command->id = strdup(order->id);
    command->args = command->args != NULL ? command->args : reeve_value_map();
    return command->id != NULL && command->args != NULL ? REEVE_OK : REEVE_NOMEM;
}

static enum reeve_err publish_only(struct order *order, struct session *session, struct reeve_command *command,
                                   int64_t timeout_ms, struct reeve_why *why)
{
    REEVE_BUF_AUTO payload = REEVE_BUF_INIT(0);
    command->issuer = strdup(session->site->client);
    command->issued_at = reeve_clock_wall_ms();
    command->expires_at = command->issued_at + timeout_ms;
    enum reeve_err err = reeve_command_encode(command, &payload);
    if (err != REEVE_OK) {
        return reeve_fail(why, err, "the command can't be written");
    }
    const struct reeve_bus_message message = {.topic = order->topic,
                                              .payload = payload.data,
                                              .payload_len = payload.len,
                                              .qos = 1,
                                              .class = REEVE_BUS_REPLY,
                                              .expiry_ms = timeout_ms,
                                              .result = on_published,
                                              .arg = order};
    return reeve_bus_publish(session->bus, &message, why);
}

static enum reeve_err send_one(struct order *order, struct session *session, struct reeve_why *why)
{
    struct reeve_command command;
    int64_t timeout_ms = session->deadline_mono - reeve_clock_mono_ms();
    timeout_ms = timeout_ms > 1 ? timeout_ms : 1;
    (void)reeve_ulid_new(order->id);
    enum reeve_err err = fill(order, &command);
    if (err == REEVE_OK) {
        err = order->orders->no_wait
                  ? publish_only(order, session, &command, timeout_ms, why)
                  : reeve_bus_request(session->bus, order->topic, &command, timeout_ms, on_reply, order, NULL, why);
    } else {
        err = reeve_fail(why, err, "out of memory");
    }
    reeve_command_done(&command);
    order->sent = err == REEVE_OK;
    return err;
}

static void send_or_settle(struct order *order, struct session *session, const struct lookup *lookup)
{
    struct reeve_why why = {0};
    bool of_node = lookup != NULL && order->part == NULL;
    enum reeve_err err = of_node ? lookup_node_there(lookup, order->node, &why) : REEVE_OK;
    if (err == REEVE_OK) {
        err = send_one(order, session, &why);
    }
    if (err != REEVE_OK) {
        (void)snprintf(order->code, sizeof order->code, "%s", reeve_err_text(err));
        (void)snprintf(order->message, sizeof order->message, "%s", why.text);
        settle(order, err);
    }
}

static bool all_settled(void *arg)
{
    return ((const struct orders *)arg)->open == 0;
}

static void tell_progress(const struct orders *orders)
{
    for (size_t i = 0, told = 0; i < orders->len && told < 5; i++) {
        const struct order *order = orders->items[i];
        if (!order->settled) {
            output_note("%s %s: %s, waiting", orders->op, order->about,
                        order->by[0] != '\0' ? reeve_phase_text(order->phase) : "sent");
            told++;
        }
    }
}

enum reeve_err orders_perform(struct orders *orders, struct session *session, const struct lookup *lookup,
                              struct reeve_why *why)
{
    orders->open = orders->len;
    orders->session = session;
    for (size_t i = 0; i < orders->len; i++) {
        send_or_settle(orders->items[i], session, lookup);
    }
    int64_t now_mono = reeve_clock_mono_ms();
    int64_t first_mono = now_mono + PROGRESS_MS < session->deadline_mono ? now_mono + PROGRESS_MS : 0;
    enum reeve_err err = REEVE_TIMEOUT;
    if (first_mono > 0) {
        err = session_run(session, all_settled, orders, first_mono, why);
        if (err == REEVE_TIMEOUT) {
            tell_progress(orders);
        }
    }
    if (err == REEVE_TIMEOUT) { // the requests have timeouts of their own; the margin is for theirs to come first
        err = session_run(session, all_settled, orders, session->deadline_mono + 200, why);
    }
    if (err == REEVE_OFFLINE) {
        return reeve_fail(why, err, "%s: connection lost before the answer came", session->site->broker.url);
    }
    return err;
}

// ---- outcome --------------------------------------------------------------------------------------------------

bool order_done(const struct order *order)
{
    if (order->err != REEVE_OK) {
        return false;
    }
    return order->orders->no_wait || order->phase == REEVE_PHASE_DONE || order->phase == REEVE_PHASE_DUPLICATE;
}

int orders_exit(const struct orders *orders)
{
    int exit_code = EXIT_DONE;
    for (size_t i = 0; i < orders->len; i++) {
        const struct order *order = orders->items[i];
        bool away = order->err == REEVE_OFFLINE || order->err == REEVE_TIMEOUT;
        int mine = order_done(order) ? EXIT_DONE : away ? EXIT_AWAY : EXIT_REFUSED;
        exit_code = mine > exit_code ? mine : exit_code;
    }
    return exit_code;
}

static struct reeve_value *order_value(const struct order *order)
{
    struct reeve_value *map = reeve_value_map();
    reeve_put_str_opt(map, "id", order->id);
    reeve_put_str(map, "topic", order->topic);
    if (order->part != NULL) {
        reeve_put_str(map, order->part, order->subject);
    } else {
        reeve_put_str(map, "node", order->node);
        reeve_put_str_opt(map, "worker", order->worker);
    }
    reeve_put_bool(map, "ok", order_done(order));
    if (order->err == REEVE_OK && !order->orders->no_wait) {
        reeve_put_str(map, "phase", reeve_phase_text(order->phase));
    }
    reeve_put_str_opt(map, "code", order->code);
    reeve_put_str_opt(map, "message", order->message);
    reeve_put_str_opt(map, "by", order->by);
    if (order->result != NULL) {
        (void)reeve_value_put(map, "result", reeve_value_clone(order->result)); /* remembered: reeve_value_built() */
    }
    return map;
}

struct reeve_value *orders_value(const struct orders *orders)
{
    struct reeve_value *map = reeve_value_map();
    struct reeve_value *list = reeve_value_list();
    reeve_put_str(map, "op", orders->op);
    reeve_put_bool(map, "ok", orders_exit(orders) == EXIT_DONE);
    if (orders->dry_run) {
        reeve_put_bool(map, "dry_run", true);
    }
    for (size_t i = 0; i < orders->len; i++) {
        (void)reeve_value_add(list, order_value(orders->items[i])); /* remembered: reeve_value_built() */
    }
    (void)reeve_value_put(map, "commands", list); /* remembered: reeve_value_built() */
    return map;
}

// ---- for people -----------------------------------------------------------------------------------------------

// "running, run 4, pid 812" or "stopped, run 4: exit 0".
static void describe(const struct reeve_value *entry, struct reeve_buf *out)
{
    const struct reeve_value *end = reeve_value_get(entry, "exit");
    const char *change = reeve_get_str(entry, "change");
    const char *state = reeve_get_str(entry, "state");
    int64_t run = reeve_get_int(entry, "run", 0);
    int64_t pid = reeve_get_int(entry, "pid", 0);
    if (change != NULL) {
        reeve_buf_printf(out, "%s%s", change, state != NULL ? ", " : "");
    }
    reeve_buf_puts(out, state != NULL ? state : change == NULL ? "done" : "");
    if (run > 0) {
        reeve_buf_printf(out, ", run %lld", (long long)run);
    }
    if (pid > 0) {
        reeve_buf_printf(out, ", pid %lld", (long long)pid);
    }
    const char *signal = reeve_get_str(end, "signal");
    if (signal != NULL) {
        reeve_buf_printf(out, ", ended by %s%s", signal, reeve_get_bool(end, "oom", false) ? " (out of memory)" : "");
    } else if (end != NULL) {
        reeve_buf_printf(out, ", exit %lld", (long long)reeve_get_int(end, "code", 0));
    }
    const char *restarts = reeve_get_str(entry, "restarts");
    if (restarts != NULL) { // of a dry run
        reeve_buf_printf(out, ", restarts: %s", restarts);
    }
}

static void print_entry(const struct orders *orders, const struct order *order, const char *worker,
                        const struct reeve_value *entry)
{
    const char *outcome = reeve_get_str(entry, "outcome");
    const char *message = reeve_get_str(entry, "message");
    bool good = outcome == NULL || strcmp(outcome, "done") == 0;
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(8192);
    describe(entry, &text);
    if (message != NULL) {
        reeve_buf_printf(&text, " (%s)", message);
    }
    if (good) {
        output_print("%s/%s: %s%s\n", order->node, worker, orders->dry_run ? "dry run: " : "", reeve_buf_str(&text));
    } else {
        output_note("%s %s/%s: %s: %s", orders->op, order->node, worker, outcome, reeve_buf_str(&text));
    }
}

static void print_workers(const struct orders *orders, const struct order *order, const struct reeve_value *workers)
{
    for (size_t i = 0; i < reeve_value_len(workers); i++) {
        print_entry(orders, order, reeve_value_key(workers, i), reeve_value_at(workers, i));
    }
}

// reload and drain answer with lists of names.
static void print_lists(const struct order *order)
{
    for (size_t i = 0; i < reeve_value_len(order->result); i++) {
        const struct reeve_value *item = reeve_value_at(order->result, i);
        if (reeve_value_kind(item) != REEVE_LIST) {
            continue;
        }
        REEVE_BUF_AUTO names = REEVE_BUF_INIT(64u << 10);
        for (size_t j = 0; j < reeve_value_len(item); j++) {
            const char *name = reeve_value_text(reeve_value_at(item, j));
            reeve_buf_printf(&names, "%s%s", j > 0 ? " " : "", name != NULL ? name : "?");
        }
        output_print("%s: %s: %s\n", order->node, reeve_value_key(order->result, i), reeve_buf_str(&names));
    }
}

// What a worker's own operation answers is its own: shown as it is.
static void print_answer(const struct reeve_value *result)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(1u << 20);
    if (reeve_value_len(result) > 0 && reeve_json_write(result, REEVE_JSON_PRETTY, &text) == REEVE_OK) {
        output_print("%s\n", reeve_buf_str(&text));
    }
}

static void print_done(const struct orders *orders, const struct order *order)
{
    const struct reeve_value *workers = reeve_value_get(order->result, "workers");
    const char *said = reeve_get_str(order->result, "worker");
    if (orders->no_wait) {
        output_print("%s: sent, id %s\n", order->about, order->id);
    } else if (reeve_value_kind(workers) == REEVE_MAP) {
        print_workers(orders, order, workers);
    } else if (said != NULL) {
        print_entry(orders, order, said, order->result);
    } else {
        output_print("%s: %s%s%s%s\n", order->about, reeve_phase_text(order->phase),
                     order->message[0] != '\0' ? " (" : "", order->message, order->message[0] != '\0' ? ")" : "");
        if (order->worker[0] != '\0') {
            print_answer(order->result);
        } else {
            print_lists(order);
        }
    }
}

static void print_failed(const struct orders *orders, const struct order *order)
{
    const struct reeve_value *workers = reeve_value_get(order->result, "workers");
    const char *phase = order->err == REEVE_OK ? reeve_phase_text(order->phase) : reeve_err_text(order->err);
    if (reeve_value_kind(workers) == REEVE_MAP && order->err == REEVE_OK) {
        print_workers(orders, order, workers);
    }
    output_note("%s %s: %s%s%s", orders->op, order->about, phase, order->message[0] != '\0' ? ": " : "",
                order->message);
}

void orders_print(const struct orders *orders)
{
    for (size_t i = 0; i < orders->len; i++) {
        if (order_done(orders->items[i])) {
            print_done(orders, orders->items[i]);
        } else {
            (void)fflush(stdout); /* the order of lines on a terminal; writing is checked at the end */
            print_failed(orders, orders->items[i]);
        }
    }
}
