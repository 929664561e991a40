// Commands that use up time, memory and CPU, and show how a call is finished later.
// A sleep is a timer, a spin is cut into slices of the loop, so that heartbeats and other commands go on.
// Must not: block the loop unless it was asked to (`block: true`).
#include "probe.h"

#include <reeve/clock.h>
#include <reeve/loop.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_MS   3600000
#define SLICE_MS     5  // of a spin: what another command waits at most
#define AT_ONCE_MAX  64 // sleeps and spins
#define SLEEP_GAP_MS 1  // between two slices: the loop's other work

// A sleep or a spin: a call that ends when its time is over.
struct load {
    struct reeve_timer timer;
    struct reeve_worker *worker;
    struct reeve_call *call;
    int64_t until_mono; // spin only
    int64_t ms;
    struct load *next;
};
static struct load *loads;
static size_t loads_len;
static struct block {
    struct block *next;
} * blocks;
static int64_t allocated_bytes;

static enum reeve_err check_ms(int64_t ms, struct reeve_why *why)
{
    return ms <= LONGEST_MS ? REEVE_OK : reeve_fail(why, REEVE_LIMIT, "at most 1h");
}

static void closed(struct reeve_timer *timer, void *arg)
{
    (void)timer; /* inside of arg */
    free(arg);
}

static void forget(struct load *load)
{
    struct load **at = &loads;
    while (*at != load) {
        at = &(*at)->next;
    }
    *at = load->next;
    loads_len--;
    probe_jobs_changed(load->worker);
    reeve_timer_close(&load->timer, closed);
}

static void finish(struct load *load)
{
    struct reeve_value *result = reeve_value_map();
    if (result != NULL) {
        reeve_put_int(result, "ms", load->ms);
    }
    (void)reeve_call_done(load->call, result, NULL); /* always OK */
    forget(load);
}

static void wake(struct reeve_timer *timer, void *arg)
{
    (void)timer; /* inside of arg */
    finish(arg);
}

static void burn(int64_t until_mono)
{
    while (reeve_clock_mono_ms() < until_mono) {
    }
}

static void slice(struct reeve_timer *timer, void *arg)
{
    struct load *load = arg;
    int64_t now = reeve_clock_mono_ms();
    burn(load->until_mono < now + SLICE_MS ? load->until_mono : now + SLICE_MS);
    if (reeve_clock_mono_ms() >= load->until_mono) {
        finish(load);
    } else {
        reeve_timer_start(timer, SLEEP_GAP_MS, 0);
    }
}

static enum reeve_err begin(struct reeve_worker *worker, struct reeve_call *call,
                            void (*fire)(struct reeve_timer *timer, void *arg), int64_t delay_ms, int64_t ms,
                            struct reeve_why *why)
{
    enum reeve_err err = check_ms(ms, why);
    if (err != REEVE_OK) {
        return err;
    }
    if (loads_len >= AT_ONCE_MAX) {
        return reeve_fail(why, REEVE_LIMIT, "%d sleeps and spins are in hand", AT_ONCE_MAX);
    }
    struct load *load = calloc(1, sizeof *load);
    if (load == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "no memory");
    }
    *load = (struct load){
        .worker = worker, .call = call, .until_mono = reeve_clock_mono_ms() + ms, .ms = ms, .next = loads};
    loads = load;
    loads_len++;
    reeve_timer_init(reeve_worker_loop(worker), &load->timer, fire, load);
    reeve_timer_start(&load->timer, delay_ms, 0);
    probe_jobs_changed(worker);
    return REEVE_OK; // the call is finished by the timer
}

enum reeve_err probe_sleep(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    int64_t ms = reeve_get_int(reeve_call_args(call), "ms", 0);
    return begin(worker, call, wake, ms, ms, why);
}

enum reeve_err probe_spin(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    int64_t ms = reeve_get_int(reeve_call_args(call), "ms", 0);
    if (!reeve_get_bool(reeve_call_args(call), "block", false)) {
        return begin(worker, call, slice, 0, ms, why);
    }
    enum reeve_err err = check_ms(ms, why);
    if (err != REEVE_OK) {
        return err;
    }
    burn(reeve_clock_mono_ms() + ms);
    return reeve_call_done(call, NULL, "blocked the loop all the while");
}

static void free_blocks(void)
{
    while (blocks != NULL) {
        struct block *next = blocks->next;
        free(blocks);
        blocks = next;
    }
    allocated_bytes = 0;
}

enum reeve_err probe_allocate(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    int64_t bytes = reeve_get_int(reeve_call_args(call), "bytes", 0);
    struct reeve_value *result = reeve_value_map();
    (void)worker; /* memory is the process' */
    if (bytes == 0) {
        free_blocks();
    } else {
        struct block *block = malloc(sizeof *block + (size_t)bytes);
        if (block == NULL || result == NULL) {
            free(block);
            reeve_value_free(result);
            return reeve_fail(why, REEVE_NOMEM, "no memory for %lld bytes", (long long)bytes);
        }
        memset(block + 1, 0xa5, (size_t)bytes); // untouched pages cost nothing and prove nothing
        block->next = blocks;
        blocks = block;
        allocated_bytes += bytes;
    }
    if (result != NULL) {
        reeve_put_int(result, "allocated_bytes", allocated_bytes);
    }
    return reeve_call_done(call, result, NULL);
}

int64_t probe_loads(void)
{
    return (int64_t)loads_len;
}

void probe_load_stop(void)
{
    while (loads != NULL) {
        struct reeve_why why = {.text = "the worker leaves"};
        (void)reeve_call_fail(loads->call, REEVE_CANCELLED, &why); /* always OK */
        forget(loads);
    }
    free_blocks();
}
