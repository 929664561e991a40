// The fold of all witnesses into one verdict [fold-1..10], and the liveness of a session under it.
// Pure: the reader's clock comes in as `now`, everything else in the input. The test vectors are shared with
// other languages. Must not: remember anything between calls, or put an age into the verdict's text.
#include <assert.h>

#include <reeve/lifecycle.h>

#include "text.h"

#define TTL_HEARTBEATS 3 // ttl_ms of a status that does not say otherwise [session-6]

// ---- one session -------------------------------------------------------------------------------------

static int64_t heartbeat_ms(const struct reeve_witness *status, int64_t preset_ms)
{
    int64_t said = status->heartbeat_ms;
    return said <= 0 ? preset_ms : said < REEVE_HEARTBEAT_MS_MAX ? said : REEVE_HEARTBEAT_MS_MAX;
}

// The first ms that is more than 2.5 heartbeats after `since`.
static int64_t silent_at(int64_t since, int64_t beat_ms)
{
    return since + beat_ms * 5 / 2 + 1;
}

// Dead or alive as seen at `as_of`; wills that arrived after `wills_until` are not looked at.
static enum reeve_liveness judge(const struct reeve_witness *status, const struct reeve_witness *lwt, int64_t preset_ms,
                                 int64_t as_of, int64_t wills_until)
{
    bool died = lwt->present && lwt->arrived <= wills_until && lwt->epoch >= status->epoch;
    if (status->goodbye) {
        return status->present ? REEVE_LEFT : REEVE_ABSENT;
    }
    if (died) {
        return REEVE_DEAD;
    }
    if (!status->present) {
        return REEVE_ABSENT;
    }
    return as_of >= silent_at(status->arrived, heartbeat_ms(status, preset_ms)) ? REEVE_STALE : REEVE_LIVE;
}

enum reeve_liveness reeve_liveness(const struct reeve_witness *status, const struct reeve_witness *lwt,
                                   int64_t heartbeat_preset_ms, int64_t now)
{
    return judge(status, lwt, heartbeat_preset_ms, now, INT64_MAX);
}

// ---- what the reader's own connection allows to conclude [session-9] -------------------------------------

struct sight {
    int64_t as_of;       // silence is judged at this time
    int64_t wills_until; // and wills up to this one
    int64_t clears_at;   // when that ends by itself; 0 = it does not, or it is clear
    bool clear;
};

static struct sight reader_sight(const struct reeve_fold_input *input, int64_t now)
{
    bool cut_off = input->disconnected > input->reconnected;
    int64_t grace_end = input->reconnected + input->grace_ms;
    if (cut_off || (input->reconnected > 0 && now < grace_end)) {
        return (struct sight){
            .as_of = input->disconnected, .wills_until = input->disconnected, .clears_at = cut_off ? 0 : grace_end};
    }
    return (struct sight){.as_of = now, .wills_until = INT64_MAX, .clear = true};
}

// ---- the rows ------------------------------------------------------------------------------------------

struct view {
    const struct reeve_fold_input *input;
    struct sight sight;
    enum reeve_liveness node, worker;
    // The worker's session is of a former run of the process, or there is none, and since when that is so.
    bool silent_run;
    int64_t silent_since;
};

static struct view view_of(const struct reeve_fold_input *input, int64_t now)
{
    const struct reeve_witness *status = &input->worker_status;
    const struct reeve_process_witness *process = &input->process;
    struct view view = {.input = input, .sight = reader_sight(input, now)};
    int64_t as_of = view.sight.as_of;
    int64_t wills_until = view.sight.wills_until;
    view.node = judge(&input->node_status, &input->node_lwt, REEVE_NODE_HEARTBEAT_MS, as_of, wills_until);
    view.worker = judge(status, &input->worker_lwt, REEVE_WORKER_HEARTBEAT_MS, as_of, wills_until);
    // A will above the status is of a session that never spoke: it may well be this run's, and counts.
    bool will_above = input->worker_lwt.present && input->worker_lwt.epoch > status->epoch;
    bool former_run = status->run > 0 && process->run > status->run && !will_above;
    view.silent_run = view.worker == REEVE_ABSENT || former_run;
    // A status that was just removed was the session's last word.
    bool removed_later = !status->present && status->arrived > process->run_arrived;
    view.silent_since = removed_later ? status->arrived : process->run_arrived;
    return view;
}

// Silence of the worker that is no death yet, judged like any other silence.
static bool silent_too_long(const struct view *view, int64_t since)
{
    return view->sight.as_of >= silent_at(since, heartbeat_ms(&view->input->worker_status, REEVE_WORKER_HEARTBEAT_MS));
}

static void verdict_set(struct reeve_verdict *verdict, int rule, enum reeve_state state, const char *why)
{
    struct reeve_text text = {.buf = verdict->why, .buf_len = sizeof(verdict->why)};
    verdict->rule = rule;
    verdict->state = state;
    verdict->last_known = state;
    verdict->source = REEVE_SOURCE_OBSERVED;
    reeve_text_add(&text, "%s", why);
}

static const char *lost_why(enum reeve_liveness worker, bool process_runs)
{
    static const char *const whys[][2] = {
        [REEVE_ABSENT] = {"", "process runs, but has not spoken"},
        [REEVE_LIVE] = {"", ""},
        [REEVE_STALE] = {"its status is not renewed", "process runs, but its status is not renewed"},
        [REEVE_DEAD] = {"its session died", "process runs, but its session died"},
        [REEVE_LEFT] = {"", "process runs, but said goodbye"},
    };
    static_assert(REEVE_ARRAY_LEN(whys) == REEVE_LEFT + 1, "a reason per liveness");
    return whys[worker][process_runs];
}

static bool may_speak(const struct view *view)
{
    return view->input->process.speaks || view->worker != REEVE_ABSENT;
}

// Rows 2, 3, 4: the process runs, under a live node.
static void fold_running(const struct view *view, struct reeve_verdict *verdict)
{
    const struct reeve_witness *status = &view->input->worker_status;
    if (view->silent_run) {
        if (!may_speak(view)) {
            verdict_set(verdict, 4, REEVE_STATE_RUNNING, "does not speak Reeve");
        } else if (!silent_too_long(view, view->silent_since)) {
            verdict_set(verdict, 4, REEVE_STATE_RUNNING, "this run has not spoken yet");
        } else {
            verdict_set(verdict, 3, REEVE_STATE_LOST, lost_why(REEVE_ABSENT, true));
        }
    } else if (view->worker == REEVE_LIVE) {
        verdict_set(verdict, 2, REEVE_STATE_RUNNING, reeve_availability_text(status->availability));
        verdict->availability = status->availability;
    } else if (view->worker == REEVE_LEFT && !silent_too_long(view, status->arrived)) {
        verdict_set(verdict, 2, REEVE_STATE_RUNNING, "said goodbye, process still runs");
        verdict->availability = REEVE_AVAILABILITY_OFFLINE;
    } else {
        verdict_set(verdict, 3, REEVE_STATE_LOST, lost_why(view->worker, true));
    }
}

static const char *node_why(enum reeve_liveness node, bool unsupervised)
{
    static const char *const whys[][2] = {
        [REEVE_ABSENT] = {"node is not known", "node is not known, the worker goes on"},
        [REEVE_LIVE] = {"", ""},
        [REEVE_STALE] = {"node is silent", "node is silent, the worker goes on"},
        [REEVE_DEAD] = {"node died", "node died, the worker goes on"},
        [REEVE_LEFT] = {"node has left", "node has left, the worker goes on"},
    };
    static_assert(REEVE_ARRAY_LEN(whys) == REEVE_LEFT + 1, "a reason per liveness");
    return whys[node][unsupervised];
}

// What the worker was when last heard of, for row 6.
static enum reeve_state last_known(const struct view *view)
{
    if (view->input->process.present) {
        return view->input->process.state;
    }
    return view->worker == REEVE_LEFT ? REEVE_STATE_STOPPED : REEVE_STATE_LOST;
}

// Rows 5, 6: nobody supervises it any more.
static void fold_nodeless(const struct view *view, struct reeve_verdict *verdict)
{
    bool speaks = view->worker == REEVE_LIVE;
    verdict_set(verdict, speaks ? 5 : 6, speaks ? REEVE_STATE_RUNNING : REEVE_STATE_UNKNOWN,
                node_why(view->node, speaks));
    verdict->unsupervised = speaks;
    if (speaks) {
        verdict->availability = view->input->worker_status.availability;
    } else {
        verdict->source = REEVE_SOURCE_INFERRED;
        verdict->last_known = last_known(view);
    }
}

// Rows 7, 8: started by hand.
static void fold_by_hand(const struct view *view, struct reeve_verdict *verdict)
{
    if (view->worker == REEVE_LIVE) {
        verdict_set(verdict, 7, REEVE_STATE_RUNNING, "no daemon runs it");
        verdict->availability = view->input->worker_status.availability;
    } else if (view->worker == REEVE_LEFT) {
        verdict_set(verdict, 7, REEVE_STATE_STOPPED, "said goodbye");
        verdict->availability = REEVE_AVAILABILITY_OFFLINE;
    } else {
        verdict_set(verdict, 8, REEVE_STATE_LOST, lost_why(view->worker, false));
    }
}

static bool node_gone(const struct view *view)
{
    bool dead = view->node == REEVE_DEAD || view->node == REEVE_STALE;
    return dead || (view->input->process.present && view->node != REEVE_LIVE);
}

static void fold_rows(const struct view *view, struct reeve_verdict *verdict)
{
    const struct reeve_process_witness *process = &view->input->process;
    if (!process->present && view->worker == REEVE_ABSENT) {
        verdict_set(verdict, 0, REEVE_STATE_UNKNOWN, "nothing is known about it");
        verdict->source = REEVE_SOURCE_INFERRED;
    } else if (node_gone(view)) {
        fold_nodeless(view, verdict);
    } else if (!process->present) {
        fold_by_hand(view, verdict);
    } else if (process->state == REEVE_STATE_RUNNING) {
        fold_running(view, verdict);
    } else {
        verdict_set(verdict, 1, process->state, "");
    }
}

// ---- beside the state ------------------------------------------------------------------------------------

// The reason of the row, then what the daemon said: `process runs, but its session died · run 4`.
static void add_process_why(const struct view *view, struct reeve_verdict *verdict)
{
    struct reeve_text text = {.buf = verdict->why, .buf_len = sizeof(verdict->why)};
    char reason[sizeof(verdict->why)];
    struct reeve_text kept = {.buf = reason, .buf_len = sizeof(reason)};
    const char *said = view->input->process.present ? view->input->process.why : "";
    reeve_text_add(&kept, "%s", verdict->why);
    reeve_text_add(&text, "%s%s%.*s", reason, reason[0] && said[0] ? " · " : "",
                   (int)sizeof(view->input->process.why) - 1, said);
}

static void earlier(int64_t *look, int64_t at, int64_t now)
{
    if (at > now && (*look == 0 || at < *look)) {
        *look = at;
    }
}

// Silence is the only thing that time alone brings, and only to those whose word the row rests on; while the
// reader's sight is not clear, not even that.
static int64_t next_look(const struct view *view, int rule, int64_t now)
{
    const struct reeve_fold_input *input = view->input;
    int64_t node_beat_ms = heartbeat_ms(&input->node_status, REEVE_NODE_HEARTBEAT_MS);
    int64_t beat_ms = heartbeat_ms(&input->worker_status, REEVE_WORKER_HEARTBEAT_MS);
    int64_t look = 0;
    if (!view->sight.clear) {
        return view->sight.clears_at;
    }
    if (view->node == REEVE_LIVE && rule != 0) {
        earlier(&look, silent_at(input->node_status.arrived, node_beat_ms), now);
    }
    if (rule == 2 || rule == 5 || (rule == 7 && view->worker == REEVE_LIVE)) {
        earlier(&look, silent_at(input->worker_status.arrived, beat_ms), now);
    }
    if (rule == 4 && may_speak(view)) {
        earlier(&look, silent_at(view->silent_since, beat_ms), now);
    }
    return look;
}

struct reeve_verdict reeve_fold(const struct reeve_fold_input *input, int64_t now)
{
    struct view view = view_of(input, now);
    struct reeve_verdict verdict = {0};
    fold_rows(&view, &verdict);
    add_process_why(&view, &verdict);
    verdict.next_look = next_look(&view, verdict.rule, now);
    return verdict;
}

// ---- taking records in [fold-9] ----------------------------------------------------------------------------

static bool same_record(const struct reeve_witness *slot, const struct reeve_witness *newer)
{
    bool comparable = newer->will || newer->written_at != 0;
    return comparable && slot->present && slot->epoch == newer->epoch && slot->written_at == newer->written_at;
}

// A status that was silent for its time to live would be gone from the broker: an epoch below it may begin anew.
static bool outlived(const struct reeve_witness *slot, const struct reeve_witness *newer)
{
    int64_t ttl_ms = TTL_HEARTBEATS * heartbeat_ms(slot, REEVE_WORKER_HEARTBEAT_MS);
    return !newer->will && newer->arrived - slot->arrived > ttl_ms;
}

bool reeve_fold_take(struct reeve_fold_input *input, struct reeve_witness *slot, const struct reeve_witness *newer)
{
    if (!newer->present) {
        slot->present = false;
        slot->arrived = newer->arrived;
        return true;
    }
    if (newer->epoch < slot->epoch && !outlived(slot, newer)) {
        input->stale_counts++;
        return false;
    }
    int64_t arrived = same_record(slot, newer) ? slot->arrived : newer->arrived;
    *slot = *newer;
    slot->arrived = arrived;
    return true;
}

bool reeve_fold_take_process(struct reeve_fold_input *input, const struct reeve_process_witness *newer)
{
    struct reeve_process_witness *slot = &input->process;
    if (!newer->present) {
        *slot = (struct reeve_process_witness){.epoch = slot->epoch, .arrived = newer->arrived};
        return true;
    }
    if (newer->epoch < slot->epoch || (newer->epoch == slot->epoch && newer->run < slot->run)) {
        input->stale_counts++;
        return false;
    }
    bool same_run = slot->present && slot->run == newer->run;
    int64_t run_arrived = same_run ? slot->run_arrived : newer->arrived;
    *slot = *newer;
    slot->run_arrived = run_arrived;
    return true;
}
