// Probes of workers that run: each is asked again and again, what came of it stands in the process record.
// At most OPEN_MAX questions are in flight in the whole daemon; the others wait in line.
// Must not: act on an answer. That is the manager's, which also knows what else there is to know.
#include "daemon.h"

#include "ask.h"

#include <reeve/clock.h>
#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_MAX 32 // those whose process is killed and not yet reaped count as well
#define LINE_MS  50 // a full house is looked at again

struct probe_state {
    struct probes *probes;
    const struct reeve_spec_probe *spec; // of a copy
    struct reeve_timer timer;
    struct ask *ask;          // NULL = none in flight
    struct probe_state *next; // in line
    bool in_line;
    bool known; // there is a result that counts
    bool ok;
    int64_t failures; // in a row
    int64_t at;       // wall: since when it is as it is
    char message[160];
};

struct probes {
    struct worker *worker; // NULL once stopped: what is still open closes alone
    struct reeve_records specs;
    size_t len, open;
    struct probe_state items[];
};

// ---- the line -------------------------------------------------------------------------------------------------

static void line_add(struct daemon *daemon, struct probe_state *probe)
{
    probe->in_line = true;
    probe->next = NULL;
    if (daemon->probes_last != NULL) {
        daemon->probes_last->next = probe;
    } else {
        daemon->probes_first = probe;
    }
    daemon->probes_last = probe;
}

static void line_remove(struct daemon *daemon, struct probe_state *probe)
{
    struct probe_state *before = NULL;
    for (struct probe_state *at = daemon->probes_first; at != NULL; before = at, at = at->next) {
        if (at != probe) {
            continue;
        }
        *(before != NULL ? &before->next : &daemon->probes_first) = at->next;
        daemon->probes_last = daemon->probes_last == at ? before : daemon->probes_last;
        break;
    }
    probe->in_line = false;
}

// ---- results --------------------------------------------------------------------------------------------------

static void judge(struct probe_state *probe, bool ok, const char *message)
{
    const bool was_known = probe->known;
    const bool was_ok = probe->ok;
    probe->failures = ok ? 0 : probe->failures + 1;
    if (ok || probe->failures >= probe->spec->threshold) {
        probe->known = true;
        probe->ok = ok;
    }
    (void)snprintf(probe->message, sizeof probe->message, "%s", ok ? "" : message);
    if (probe->known == was_known && probe->ok == was_ok) {
        return;
    }
    struct worker *worker = probe->probes->worker;
    probe->at = reeve_clock_wall_ms();
    publish_mark(worker);
    struct reeve_value *detail = reeve_value_map();
    reeve_put_str(detail, "worker", worker->name);
    reeve_put_str(detail, "probe", probe->spec->name);
    reeve_put_str_opt(detail, "message", ok ? NULL : probe->message);
    publish_event(worker->daemon, ok ? "probe_ok" : "probe_failing", detail);
    char quoted[256];
    reeve_log(ok ? REEVE_LOG_INFO : REEVE_LOG_WARNING, "probe", "worker=%s probe=%s ok=%s message=%s", worker->name,
              probe->spec->name, ok ? "true" : "false ignoring",
              reeve_log_quote(probe->message, quoted, sizeof quoted));
}

struct reeve_value *probes_value(const struct worker *worker)
{
    struct reeve_value *list = NULL;
    for (size_t i = 0; worker->probes != NULL && i < worker->probes->len; i++) {
        const struct probe_state *probe = &worker->probes->items[i];
        struct reeve_value *entry = probe->known ? reeve_value_map() : NULL;
        if (!probe->known) {
            continue;
        }
        reeve_put_str(entry, "name", probe->spec->name);
        reeve_put_bool(entry, "ok", probe->ok);
        reeve_put_int(entry, "failures", probe->failures);
        reeve_put_str_opt(entry, "message", probe->ok ? NULL : probe->message);
        reeve_put_int(entry, "at", probe->at);
        list = list != NULL ? list : reeve_value_list();
        (void)reeve_value_add(list, entry); /* remembered: reeve_value_built() */
    }
    return list;
}

// ---- asking ---------------------------------------------------------------------------------------------------

static void serve_line(struct daemon *daemon);

// The next try counts from the end of this one; a tenth of it at random, so that many do not ask in step.
static void wait_for_next(struct probe_state *probe)
{
    uint32_t random;
    reeve_random_bytes(&random, sizeof random);
    const int64_t interval = probe->spec->interval_ms;
    reeve_timer_start(&probe->timer, interval - (int64_t)(random % (uint32_t)(interval / 10 + 1)), 0);
}

static void answered(const struct ask_answer *answer, void *arg)
{
    struct probe_state *probe = arg;
    struct daemon *daemon = probe->probes->worker->daemon;
    probe->ask = NULL;
    judge(probe, answer->ok, answer->message);
    wait_for_next(probe);
    serve_line(daemon);
}

static enum reeve_err ask(struct probe_state *probe, struct reeve_why *why)
{
    const struct worker *worker = probe->probes->worker;
    const struct reeve_spec_probe *spec = probe->spec;
    REEVE_STRV_AUTO env = {0};
    enum reeve_err err = REEVE_OK;
    struct ask_question question = {.kind = spec->exec.len > 0   ? ASK_EXEC
                                            : spec->http != NULL ? ASK_HTTP
                                                                 : ASK_TCP,
                                    .address = spec->http != NULL ? spec->http : spec->tcp,
                                    .status = spec->status,
                                    .argv = (const char *const *)spec->exec.items,
                                    .cwd = worker->spec.cwd,
                                    .uid = (uid_t)-1,
                                    .gid = (gid_t)-1,
                                    .timeout_ms = spec->timeout_ms};
    if (question.kind == ASK_EXEC) {
        err = spawn_context(worker, &question.uid, &question.gid, &env, why);
        question.env = (const char *const *)env.items;
    }
    return err == REEVE_OK ? ask_start(worker->daemon->loop, &question, answered, probe, &probe->ask, why) : err;
}

static void serve_line(struct daemon *daemon)
{
    while (ask_open() < OPEN_MAX && daemon->probes_first != NULL) {
        struct probe_state *probe = daemon->probes_first;
        struct reeve_why why;
        line_remove(daemon, probe);
        if (ask(probe, &why) !=
            REEVE_OK) { // a program that is not there, a user that is not known: as good as an answer
            judge(probe, false, why.text);
            wait_for_next(probe);
        }
    }
    if (daemon->probes_first != NULL) { // its own timer has no other use while it stands in line
        reeve_timer_start(&daemon->probes_first->timer, LINE_MS, 0);
    }
}

static void is_due(struct reeve_timer *timer, void *arg)
{
    struct probe_state *probe = arg;
    (void)timer;
    if (probe->probes->worker == NULL || probe->ask != NULL) {
        return;
    }
    struct daemon *daemon = probe->probes->worker->daemon;
    if (!probe->in_line) {
        line_add(daemon, probe);
    }
    serve_line(daemon);
}

// ---- as long as the worker runs ---------------------------------------------------------------------------------

static void item_closed(struct reeve_timer *timer, void *arg)
{
    struct probes *probes = ((struct probe_state *)arg)->probes;
    (void)timer;
    if (--probes->open == 0) {
        struct reeve_spec holder = {.probes = probes->specs};
        reeve_spec_done(&holder);
        free(probes);
    }
}

void probes_stop(struct worker *worker)
{
    struct probes *probes = worker->probes;
    struct daemon *daemon = worker->daemon;
    if (probes == NULL) {
        return;
    }
    worker->probes = NULL;
    probes->worker = NULL;
    for (size_t i = 0; i < probes->len; i++) {
        struct probe_state *probe = &probes->items[i];
        if (probe->in_line) {
            line_remove(daemon, probe);
        }
        if (probe->ask != NULL) {
            ask_cancel(probe->ask);
            probe->ask = NULL;
        }
        reeve_timer_close(&probe->timer, item_closed);
    }
    if (!daemon->leaving) {
        serve_line(daemon);
    }
}

void probes_start(struct worker *worker)
{
    struct reeve_spec copy = {0};
    probes_stop(worker);
    if (worker->spec.probes.len == 0 || worker->daemon->leaving) {
        return;
    }
    const size_t len = worker->spec.probes.len;
    struct probes *probes = calloc(1, sizeof *probes + len * sizeof probes->items[0]);
    if (probes == NULL || reeve_spec_copy(&worker->spec, &copy) != REEVE_OK) {
        reeve_log(REEVE_LOG_ERROR, "probe", "worker=%s probes=off error=\"out of memory\"", worker->name);
        free(probes);
        return;
    }
    probes->worker = worker;
    probes->specs = copy.probes; // the spec may change while a question is in flight
    probes->len = len;
    probes->open = len;
    copy.probes = (struct reeve_records){0};
    reeve_spec_done(&copy);
    for (size_t i = 0; i < len; i++) {
        struct probe_state *probe = &probes->items[i];
        probe->probes = probes;
        probe->spec = &((const struct reeve_spec_probe *)probes->specs.items)[i];
        reeve_timer_init(worker->daemon->loop, &probe->timer, is_due, probe);
        reeve_timer_start(&probe->timer, probe->spec->start_after_ms, 0);
    }
    worker->probes = probes;
}
