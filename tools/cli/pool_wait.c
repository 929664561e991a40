// Waiting for pools; see pool_wait.h.
// Must not: take a status of before for one of after: the version and the size it should have are compared.
#include "pool_wait.h"

#include "output.h"

#include <inttypes.h>
#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/str.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct watched {
    const struct pool_goal *goal;
    struct reeve_value *status; // newest; NULL
    bool reached;
    int64_t left_for; // another version that came after the one waited for; 0 = none
};
struct waiting {
    struct session *session;
    struct watched *items;
    size_t len;
    bool line; // on stderr, to be written over
};

static bool is_reached(const struct pool_goal *goal, const struct reeve_value *status)
{
    int64_t size = reeve_get_int(status, "size", -1);
    int64_t ready = reeve_get_int(status, "ready", -1);
    bool settled = reeve_get_int(status, "starting", 0) == 0 && reeve_get_int(status, "leaving", 0) == 0;
    bool rolled_out = size == 0 || reeve_value_get(status, "update") == NULL; // nobody is left to be updated
    return reeve_get_int(status, "version", -1) == goal->version && (goal->size < 0 || size == goal->size) && settled &&
           rolled_out && (size == 0 ? ready == 0 : ready >= size);
}

static void put_progress(const struct waiting *waiting, struct reeve_buf *out)
{
    for (size_t i = 0; i < waiting->len; i++) {
        const struct watched *item = &waiting->items[i];
        int64_t leaving = reeve_get_int(item->status, "leaving", 0);
        reeve_buf_printf(out, "%s%s: ", i > 0 ? "  " : "", item->goal->pool);
        if (item->status == NULL) {
            reeve_buf_puts(out, "-");
            continue;
        }
        reeve_buf_printf(out, "%" PRId64 " of %" PRId64 " ready", reeve_get_int(item->status, "ready", 0),
                         reeve_get_int(item->status, "size", 0));
        if (leaving > 0) {
            reeve_buf_printf(out, ", %" PRId64 " leaving", leaving);
        }
        if (reeve_value_get(item->status, "update") != NULL) {
            reeve_buf_printf(out, ", version %" PRId64 " is rolled out", reeve_get_int(item->status, "version", 0));
        }
    }
}

// Elsewhere than on a terminal nothing: a script wants the end.
static void show_progress(struct waiting *waiting)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(4096);
    if (isatty(STDERR_FILENO) != 1) {
        return;
    }
    put_progress(waiting, &text);
    (void)fprintf(stderr, "\r\033[K%s", reeve_buf_str(&text));
    (void)fflush(stderr); /* for the eye only */
    waiting->line = true;
}

static void on_status(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)bus;
    struct waiting *waiting = arg;
    struct reeve_value *status = NULL;
    const struct reeve_topic topic = reeve_topic_parse(waiting->session->site->root, delivery->topic);
    if (reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire, NULL, &status, NULL) !=
        REEVE_OK) {
        return;
    }
    for (size_t i = 0; i < waiting->len; i++) {
        struct watched *item = &waiting->items[i];
        if (strcmp(item->goal->pool, topic.client) == 0) {
            int64_t version = reeve_get_int(status, "version", 0);
            bool was_there = reeve_get_int(item->status, "version", -1) == item->goal->version;
            reeve_value_free(item->status);
            item->status = reeve_value_clone(status);
            item->reached = is_reached(item->goal, status);
            item->left_for = was_there && version != item->goal->version ? version : item->left_for;
        }
    }
    reeve_value_free(status);
    show_progress(waiting);
}

static bool all_reached(void *arg)
{
    const struct waiting *waiting = arg;
    bool all = true;
    for (size_t i = 0; i < waiting->len; i++) {
        if (waiting->items[i].left_for != 0) {
            return true;
        }
        all = all && waiting->items[i].reached;
    }
    return all;
}

static enum reeve_err judge(const struct waiting *waiting, enum reeve_err err, struct reeve_why *why)
{
    for (size_t i = 0; i < waiting->len; i++) {
        const struct watched *item = &waiting->items[i];
        const char *said = reeve_get_str(item->status, "why");
        if (item->left_for != 0) {
            return reeve_fail(why, REEVE_CONFLICT,
                              "pool %s: version %" PRId64 " gave way to version %" PRId64
                              "; `reeve pool history %s` and `reeve alarm ls` tell more",
                              item->goal->pool, item->goal->version, item->left_for, item->goal->pool);
        }
        if (err == REEVE_TIMEOUT && !item->reached) {
            return reeve_fail(why, err, "pool %s is not ready within the timeout: %s", item->goal->pool,
                              said != NULL ? said : "it has no status");
        }
    }
    return err;
}

static enum reeve_err subscribe(struct waiting *waiting, struct reeve_why *why)
{
    char filter[REEVE_TOPIC_SIZE];
    (void)reeve_topic_make(filter, waiting->session->site->root, "pool/+/status");
    return reeve_bus_subscribe(waiting->session->bus, filter, 1, 0, on_status, waiting, why);
}

static void unsubscribe(struct waiting *waiting)
{
    char filter[REEVE_TOPIC_SIZE];
    (void)reeve_topic_make(filter, waiting->session->site->root, "pool/+/status");
    (void)reeve_bus_unsubscribe(waiting->session->bus, filter); /* nothing may come any more for what is freed here */
}

static enum reeve_err run(struct waiting *waiting, int64_t timeout_ms, struct reeve_why *why)
{
    enum reeve_err err = subscribe(waiting, why);
    if (err != REEVE_OK) {
        return err;
    }
    err = session_run(waiting->session, all_reached, waiting, reeve_clock_mono_ms() + timeout_ms, why);
    unsubscribe(waiting);
    if (waiting->line) {
        (void)fprintf(stderr, "\r\033[K");
    }
    return judge(waiting, err, why);
}

enum reeve_err pool_wait(const struct invocation *inv, struct session *session, const struct pool_goal *goals,
                         size_t goals_len, struct reeve_why *why)
{
    struct waiting waiting = {.session = session, .len = goals_len};
    int64_t timeout_ms;
    enum reeve_err err = site_timeout(inv, POOL_WAIT_PRESET_MS, &timeout_ms, why);
    if (err != REEVE_OK) {
        return err;
    }
    waiting.items = calloc(goals_len + 1, sizeof *waiting.items);
    if (waiting.items == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < goals_len; i++) {
        waiting.items[i].goal = &goals[i];
    }
    err = run(&waiting, timeout_ms, why);
    for (size_t i = 0; i < goals_len; i++) {
        reeve_value_free(waiting.items[i].status);
    }
    free(waiting.items);
    return err;
}
