// logs: the last lines of workers, and with -f new ones as they come.
// Must not: follow for ever unasked: the node publishes only while somebody renews, and so does this.
#include "commands.h"
#include "output.h"
#include "target.h"

#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/log.h>
#include <stdlib.h>
#include <string.h>

#define TAIL_PRESET 50
#define LEASE       "90s" // what is asked for
#define RENEW_MS    30000 // and how often it is renewed
#define WORKERS_MAX 16    // the node answers for that many

struct source { // one worker
    char node[REEVE_NAME_SIZE], worker[REEVE_NAME_SIZE];
    int64_t dropped; // as last told
};

struct following {
    const struct invocation *inv;
    struct session *session;
    struct source sources[WORKERS_MAX];
    size_t len;
    bool json, timestamps, failed; // failed: stdout does not take any more
};

// ---- lines ----------------------------------------------------------------------------------------------------

static void put_json_line(const struct following *following, const struct source *source,
                          const struct reeve_value *line, struct reeve_buf *out)
{
    REEVE_VALUE_AUTO map = reeve_value_map();
    (void)following;
    reeve_put_str(map, "node", source->node);
    reeve_put_str(map, "worker", source->worker);
    reeve_put_str_opt(map, "at", reeve_get_str(line, "at"));
    reeve_put_str_opt(map, "stream", reeve_get_str(line, "stream"));
    reeve_put_str(map, "text", reeve_get_str(line, "text"));
    if (reeve_value_built(map) == REEVE_OK && reeve_json_write(map, 0, out) == REEVE_OK) {
        reeve_buf_puts(out, "\n");
    }
}

static void put_text_line(const struct following *following, const struct source *source,
                          const struct reeve_value *line, struct reeve_buf *out)
{
    const char *text = reeve_get_str(line, "text");
    const char *at = reeve_get_str(line, "at");
    const char *stream = reeve_get_str(line, "stream");
    bool is_err = stream != NULL && strcmp(stream, "err") == 0;
    if (following->len > 1) {
        output_colour(out, COLOUR_BOLD, source->worker);
        reeve_buf_puts(out, is_err ? " ! " : " | ");
    }
    if (following->timestamps && at != NULL) {
        REEVE_BUF_AUTO shown = REEVE_BUF_INIT(256);
        output_escape(&shown, at, strlen(at));
        output_colour(out, COLOUR_DIM, reeve_buf_str(&shown));
        reeve_buf_puts(out, " ");
    }
    // Tabs stay: logs are full of them, and a terminal only moves on.
    for (const char *from = text != NULL ? text : ""; *from != '\0';) {
        size_t len = strcspn(from, "\t");
        output_escape(out, from, len);
        reeve_buf_puts(out, from[len] == '\t' ? "\t" : "");
        from += len + (from[len] == '\t' ? 1 : 0);
    }
    reeve_buf_puts(out, "\n");
}

static void put_lines(struct following *following, const struct source *source, const struct reeve_value *lines)
{
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    for (size_t i = 0; i < reeve_value_len(lines); i++) {
        (following->json ? put_json_line : put_text_line)(following, source, reeve_value_at(lines, i), &out);
    }
    following->failed |= output_write(&out) != EXIT_DONE;
}

// ---- new ones -------------------------------------------------------------------------------------------------

static void on_piece(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    struct following *following = arg;
    struct reeve_topic topic = reeve_topic_parse(reeve_bus_root(bus), delivery->topic);
    REEVE_VALUE_AUTO piece = NULL;
    if (reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire, delivery->topic, &piece,
                           NULL) != REEVE_OK) {
        return;
    }
    for (size_t i = 0; i < following->len; i++) {
        struct source *source = &following->sources[i];
        if (strcmp(source->node, topic.node) != 0 || strcmp(source->worker, topic.worker) != 0) {
            continue;
        }
        int64_t dropped = reeve_get_int(piece, "dropped", 0);
        if (dropped > source->dropped) {
            output_note("%s: about %lld lines were left out: it writes faster than they travel", source->worker,
                        (long long)(dropped - source->dropped));
        }
        source->dropped = dropped;
        put_lines(following, source, reeve_value_get(piece, "lines"));
    }
}

static enum reeve_err subscribe(struct following *following, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < following->len; i++) {
        char filter[REEVE_TOPIC_SIZE];
        (void)reeve_topic_make(filter, following->session->site->root, "worker/%s/%s/log", following->sources[i].node,
                               following->sources[i].worker);
        err = reeve_bus_subscribe(following->session->bus, filter, 0, 0, on_piece, following, why);
    }
    return err;
}

// ---- asking ---------------------------------------------------------------------------------------------------

static enum reeve_err ask(struct following *following, struct orders *orders, const struct lookup *lookup, int64_t tail,
                          bool follow, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    *orders = (struct orders){.op = "logs"};
    for (size_t i = 0; err == REEVE_OK && i < following->len; i++) {
        const struct source *source = &following->sources[i];
        struct reeve_value *args = reeve_value_map();
        reeve_put_str(args, "workers", source->worker);
        reeve_put_int(args, "tail", tail);
        reeve_put_str_opt(args, "follow", follow ? LEASE : NULL);
        err = orders_add(orders, following->session->site->root, source->node, "", args, why);
    }
    return err == REEVE_OK ? orders_perform(orders, following->session, lookup, why) : err;
}

static bool no_more(void *arg)
{
    return ((const struct following *)arg)->failed;
}

// Until Ctrl-C. A worker that is removed meanwhile makes the renewal fail, which ends it, too.
static int follow(struct following *following)
{
    const struct invocation *inv = following->inv;
    struct reeve_why why = {0};
    while (true) {
        enum reeve_err err =
            session_run(following->session, no_more, following, reeve_clock_mono_ms() + RENEW_MS, &why);
        if (err == REEVE_OK || err == REEVE_CANCELLED) {
            return EXIT_DONE;
        }
        if (err != REEVE_TIMEOUT) {
            return output_fail_why(inv, err, &why);
        }
        ORDERS_AUTO orders = {0};
        following->session->deadline_mono = reeve_clock_mono_ms() + following->session->site->timeout_ms;
        err = ask(following, &orders, NULL, 0, true, &why);
        if (err == REEVE_CANCELLED) {
            return EXIT_DONE;
        }
        if (err != REEVE_OK) {
            return output_fail_why(inv, err, &why);
        }
        if (orders_exit(&orders) != EXIT_DONE) {
            orders_print(&orders);
            return orders_exit(&orders);
        }
    }
}

static enum reeve_err read_tail(const struct invocation *inv, int64_t *ret, struct reeve_why *why)
{
    const char *text = opt_value(inv, OPT_TAIL);
    struct reeve_why reason;
    *ret = TAIL_PRESET;
    if (text != NULL && (reeve_parse_i64(text, ret, &reason) != REEVE_OK || *ret < 0 || *ret > 2000)) {
        return reeve_fail(why, REEVE_INVALID, "--tail: '%.40s' given, expected 0 to 2000", text);
    }
    return REEVE_OK;
}

// Globs and several names are looked up among what is there.
static enum reeve_err find_sources(struct following *following, const struct selector *selector, struct lookup *lookup,
                                   struct reeve_why *why)
{
    const char *node;
    const char *worker;
    if (selector_single(selector, &node, &worker)) {
        struct source *source = &following->sources[0];
        following->len = 1;
        (void)snprintf(source->worker, sizeof source->worker, "%s", worker);
        return target_one(lookup, node, worker, source->node, why);
    }
    enum reeve_err err = lookup_settle(lookup, why);
    const struct reeve_known_worker **workers = NULL;
    size_t len = err == REEVE_OK ? reeve_registry_workers(lookup->registry, &workers) : 0;
    for (size_t i = 0; i < len && err == REEVE_OK; i++) {
        if (!selector_fits(selector, workers[i], "")) {
            continue;
        }
        if (following->len == WORKERS_MAX) {
            err = reeve_fail(why, REEVE_LIMIT, "more than %d workers fit", WORKERS_MAX);
            break;
        }
        struct source *source = &following->sources[following->len++];
        (void)snprintf(source->node, sizeof source->node, "%s", workers[i]->node);
        (void)snprintf(source->worker, sizeof source->worker, "%s", workers[i]->name);
    }
    free(workers);
    return err == REEVE_OK && following->len == 0
               ? reeve_fail(why, REEVE_NOENT, "no worker fits; `reeve ls` shows those there are")
               : err;
}

static enum reeve_err begin(struct following *following, const struct selector *selector, struct lookup *lookup,
                            const struct site *site, struct reeve_why *why)
{
    enum reeve_err err = session_init(following->session, site, why);
    if (err == REEVE_OK) {
        err = lookup_init(lookup, following->session, why);
    }
    if (err == REEVE_OK) {
        err = target_want(selector, lookup, why);
    }
    if (err == REEVE_OK) {
        err = session_open(following->session, why);
    }
    if (err == REEVE_OK) {
        err = find_sources(following, selector, lookup, why);
    }
    return err == REEVE_OK && opt_given(following->inv, OPT_FOLLOW) ? subscribe(following, why) : err;
}

static void put_answers(struct following *following, const struct orders *orders)
{
    for (size_t i = 0; i < orders->len; i++) {
        const struct reeve_value *workers = reeve_value_get(orders->items[i]->result, "workers");
        if (order_done(orders->items[i])) {
            put_lines(following, &following->sources[i], reeve_value_get(workers, following->sources[i].worker));
        } else {
            output_note("%s/%s: %s", orders->items[i]->node, following->sources[i].worker, orders->items[i]->message);
        }
    }
}

int cmd_logs(const struct invocation *inv)
{
    SITE_AUTO site = {0};
    SESSION_AUTO session = {0};
    LOOKUP_AUTO lookup = {0};
    SELECTOR_AUTO selector = {0};
    ORDERS_AUTO orders = {0};
    struct following following = {.inv = inv,
                                  .session = &session,
                                  .json = opt_given(inv, OPT_JSON),
                                  .timestamps = opt_given(inv, OPT_TIMESTAMPS)};
    struct reeve_why why = {0};
    int64_t tail;
    bool follows = opt_given(inv, OPT_FOLLOW);
    enum reeve_err err = read_tail(inv, &tail, &why);
    if (err == REEVE_OK) {
        err = selector_read(inv, 0, inv->args_len, &selector, &why);
    }
    if (err == REEVE_OK) {
        err = site_load(inv, &site, &why);
    }
    if (err == REEVE_OK) {
        err = begin(&following, &selector, &lookup, &site, &why);
    }
    if (err == REEVE_OK) {
        err = ask(&following, &orders, &lookup, tail, follows, &why);
    }
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    put_answers(&following, &orders);
    int exit_code = orders_exit(&orders);
    return follows && exit_code == EXIT_DONE ? follow(&following) : exit_code;
}
