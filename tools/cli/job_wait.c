// Waiting for jobs; see job_wait.h.
// Must not: take an event for the end: it may come from before a retry. It is a reason to ask.
#include "job_wait.h"

#include "output.h"

#include <inttypes.h>
#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/id.h>
#include <reeve/map.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_ROUND_MS 20 // doubles up to JOB_WAIT_ROUND_MS: most jobs are short

struct waited {
    struct job_wait *wait;
    char id[REEVE_JOB_ID_SIZE];
    char request[REEVE_ULID_SIZE]; // "" = not asked
    char state[16];                // last known
    bool ended;
    bool due; // to be asked for: an event came, or its turn
};

struct job_wait {
    struct session *session;
    char queue[REEVE_NAME_SIZE];
    char filter[REEVE_TOPIC_SIZE], topic[REEVE_TOPIC_SIZE];
    void (*show)(const char *id, const struct reeve_value *record, void *arg);
    void *arg;
    struct reeve_map *by_id;
    struct waited **items;
    size_t len, cap, ended, open;
    size_t next; // whose turn it is in the rounds
    size_t counts[REEVE_JOB_STATE_COUNT + 1];
    struct reeve_timer round;
    int64_t round_ms;
    bool line; // a line that tells how far it is stands on the terminal
    bool subscribed;
    enum reeve_err err; // that ends it: no rights
    struct reeve_why why;
};

// ---- telling how far it is ------------------------------------------------------------------------------------------

static void show_progress(struct job_wait *wait)
{
    const struct waited *first = wait->len == 1 ? wait->items[0] : NULL;
    if (isatty(STDERR_FILENO) != 1) {
        return;
    }
    if (first != NULL) {
        (void)fprintf(stderr, "\r\033[K%s: %s", first->id, first->state[0] != '\0' ? first->state : "added");
    } else {
        (void)fprintf(stderr, "\r\033[K%zu of %zu have ended", wait->ended, wait->len);
    }
    (void)fflush(stderr); /* for the eye only */
    wait->line = true;
}

static void clear_progress(struct job_wait *wait)
{
    if (wait->line) {
        (void)fprintf(stderr, "\r\033[K");
        wait->line = false;
    }
}

// ---- asking ---------------------------------------------------------------------------------------------------------

static void ask_due(struct job_wait *wait);

static void end(struct waited *item, enum reeve_job_state state, const struct reeve_value *record)
{
    struct job_wait *wait = item->wait;
    item->ended = true;
    item->due = false;
    wait->ended++;
    wait->counts[state]++;
    clear_progress(wait);
    wait->show(item->id, record, wait->arg);
}

static void take_record(struct waited *item, const struct reeve_value *record)
{
    const char *text = reeve_get_str(record, "state");
    enum reeve_job_state state;
    (void)snprintf(item->state, sizeof item->state, "%.15s", text != NULL ? text : "");
    if (text != NULL && reeve_job_state_parse(text, &state) && !reeve_job_state_live(state)) {
        end(item, state, record);
    }
}

static void on_reply(struct reeve_bus *bus, enum reeve_err err, const struct reeve_reply *reply, void *arg)
{
    (void)bus;
    struct waited *item = arg;
    struct job_wait *wait = item->wait;
    if (reply != NULL && !reeve_phase_terminal(reply->phase)) {
        return;
    }
    item->request[0] = '\0';
    wait->open--;
    if (reply != NULL && reply->phase == REEVE_PHASE_DONE) {
        take_record(item, reply->result);
    } else if (reply != NULL && reply->code != NULL && strcmp(reply->code, reeve_err_text(REEVE_NOENT)) == 0) {
        end(item, REEVE_JOB_STATE_COUNT, NULL); // it is not kept, or somebody removed it
    } else if (err == REEVE_DENIED || (reply != NULL && reply->phase == REEVE_PHASE_REJECTED)) {
        wait->err = reeve_fail(&wait->why, REEVE_DENIED, "job %s can't be asked for: %s", item->id,
                               reply != NULL && reply->message != NULL ? reply->message
                                                                       : "the broker does not let this user do it");
    }
    show_progress(wait);
    ask_due(wait); // there is room for another one
}

static void ask(struct waited *item)
{
    struct job_wait *wait = item->wait;
    struct reeve_command command = {.args = reeve_value_map()};
    struct reeve_why why;
    reeve_put_str(command.args, "id", item->id);
    item->due = false;
    if (reeve_bus_request(wait->session->bus, wait->topic, &command, 5 * JOB_WAIT_ROUND_MS, on_reply, item,
                          item->request, &why) == REEVE_OK) {
        wait->open++;
    } else {
        item->request[0] = '\0'; // its turn comes again
    }
    reeve_command_done(&command);
}

static void ask_due(struct job_wait *wait)
{
    for (size_t i = 0; i < wait->len && wait->open < JOB_WAIT_OPEN_MAX; i++) {
        struct waited *item = wait->items[i];
        if (item->due && !item->ended && item->request[0] == '\0') {
            ask(item);
        }
    }
}

// The next of them, in turn.
static void on_round(struct reeve_timer *timer, void *arg)
{
    struct job_wait *wait = arg;
    size_t left = wait->len;
    for (size_t taken = 0; left > 0 && taken < JOB_WAIT_ROUND_MAX; left--) {
        struct waited *item = wait->items[wait->next++ % wait->len];
        if (!item->ended) {
            item->due = true;
            taken++;
        }
    }
    ask_due(wait);
    wait->round_ms = 2 * wait->round_ms < JOB_WAIT_ROUND_MS ? 2 * wait->round_ms : JOB_WAIT_ROUND_MS;
    reeve_timer_start(timer, wait->round_ms, 0);
}

static void on_event(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)bus;
    struct job_wait *wait = arg;
    REEVE_VALUE_AUTO event = NULL;
    if (reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire, NULL, &event, NULL) !=
        REEVE_OK) {
        return;
    }
    const struct reeve_value *changes = reeve_value_get(event, "changes");
    for (size_t i = 0; i < reeve_value_len(changes); i++) {
        const char *id = reeve_get_str(reeve_value_at(changes, i), "id");
        const char *text = reeve_get_str(reeve_value_at(changes, i), "state");
        struct waited *item = id != NULL ? reeve_map_get(wait->by_id, id) : NULL;
        enum reeve_job_state state;
        if (item != NULL && text != NULL && reeve_job_state_parse(text, &state)) {
            (void)snprintf(item->state, sizeof item->state, "%.15s", text);
            item->due = item->due || !reeve_job_state_live(state);
        }
    }
    if (reeve_bus_state(wait->session->bus) == REEVE_BUS_READY) {
        ask_due(wait);
    }
}

// ---- the object -----------------------------------------------------------------------------------------------------

enum reeve_err job_wait_new(struct session *session, const char *queue,
                            void (*show)(const char *id, const struct reeve_value *record, void *arg), void *arg,
                            struct job_wait **ret, struct reeve_why *why)
{
    struct job_wait *wait = calloc(1, sizeof *wait);
    struct reeve_map *by_id = reeve_map_new(JOB_WAIT_MAX);
    if (wait == NULL || by_id == NULL) {
        free(wait);
        reeve_map_free(by_id, NULL);
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    *wait =
        (struct job_wait){.session = session, .show = show, .arg = arg, .by_id = by_id, .round_ms = FIRST_ROUND_MS / 2};
    (void)snprintf(wait->queue, sizeof wait->queue, "%s", queue);
    (void)reeve_topic_make(wait->filter, session->site->root, "queue/%s/event", queue);
    (void)reeve_topic_make(wait->topic, session->site->root, "queue/%s/cmd/show", queue);
    reeve_timer_init(&session->loop, &wait->round, on_round, wait);
    enum reeve_err err = reeve_bus_subscribe(session->bus, wait->filter, 0, 0, on_event, wait, why);
    wait->subscribed = err == REEVE_OK;
    *ret = wait;
    return err;
}

static void on_closed(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    struct job_wait *wait = arg;
    for (size_t i = 0; i < wait->len; i++) {
        free(wait->items[i]);
    }
    free(wait->items);
    reeve_map_free(wait->by_id, NULL);
    free(wait);
}

void job_wait_free(struct job_wait *wait)
{
    if (wait == NULL) {
        return;
    }
    clear_progress(wait);
    for (size_t i = 0; i < wait->len; i++) {
        if (wait->items[i]->request[0] != '\0') {
            reeve_bus_request_cancel(wait->session->bus, wait->items[i]->request);
        }
    }
    if (wait->subscribed) {
        (void)reeve_bus_unsubscribe(wait->session->bus, wait->filter); /* nothing may come for what is freed */
    }
    reeve_timer_close(&wait->round, on_closed); // the loop goes on until it is closed
}

enum reeve_err job_wait_add(struct job_wait *wait, const char *id)
{
    if (wait->len == wait->cap) {
        size_t cap = wait->cap > 0 ? 2 * wait->cap : 16;
        struct waited **items = reallocarray(wait->items, cap, sizeof(struct waited *));
        if (items == NULL) {
            return REEVE_NOMEM;
        }
        wait->items = items;
        wait->cap = cap;
    }
    if (wait->len == JOB_WAIT_MAX) {
        return REEVE_LIMIT;
    }
    struct waited *item = calloc(1, sizeof *item);
    if (item == NULL) {
        return REEVE_NOMEM;
    }
    item->wait = wait;
    (void)snprintf(item->id, sizeof item->id, "%s", id);
    wait->items[wait->len++] = item;
    return reeve_map_put(wait->by_id, id, item, NULL); // the same twice: both are asked for in their turn
}

size_t job_wait_len(const struct job_wait *wait)
{
    return wait->len;
}

static bool is_over(void *arg)
{
    const struct job_wait *wait = arg;
    return wait->ended == wait->len || wait->err != REEVE_OK;
}

static enum reeve_err tell_late(const struct job_wait *wait, struct reeve_why *why)
{
    for (size_t i = 0; i < wait->len; i++) {
        const struct waited *item = wait->items[i];
        if (!item->ended) {
            return reeve_fail(why, REEVE_TIMEOUT,
                              "job %s is %s, and %zu of %zu have ended within the timeout; `reeve job explain %s %s`",
                              item->id, item->state[0] != '\0' ? item->state : "added", wait->ended, wait->len,
                              wait->queue, item->id);
        }
    }
    return REEVE_TIMEOUT;
}

enum reeve_err job_wait_run(const struct invocation *inv, struct job_wait *wait, struct reeve_why *why)
{
    int64_t timeout_ms;
    enum reeve_err err = site_timeout(inv, JOB_WAIT_PRESET_MS, &timeout_ms, why);
    if (err != REEVE_OK || wait->len == 0) {
        return err;
    }
    on_round(&wait->round, wait);
    err = session_run(wait->session, is_over, wait, reeve_clock_mono_ms() + timeout_ms, why);
    reeve_timer_stop(&wait->round);
    clear_progress(wait);
    if (err == REEVE_OK && wait->err != REEVE_OK) {
        *why = wait->why;
        return wait->err;
    }
    return err == REEVE_TIMEOUT ? tell_late(wait, why) : err;
}

size_t job_wait_count(const struct job_wait *wait, enum reeve_job_state state)
{
    return wait->counts[state];
}

int job_wait_exit(const struct job_wait *wait)
{
    return wait->counts[REEVE_JOB_COMPLETED] == wait->len ? EXIT_DONE : EXIT_REFUSED;
}
