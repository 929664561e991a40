// Timers that carry the generation they were armed for.
// Must not allocate: a timer lives inside what it belongs to.
#include <reeve/loop.h>

static void on_fire(uv_timer_t *handle)
{
    struct reeve_timer *timer = handle->data;
    timer->fire(timer, timer->arg);
}

static void on_closed(uv_handle_t *handle)
{
    struct reeve_timer *timer = handle->data;
    if (timer->closed != NULL) {
        timer->closed(timer, timer->arg);
    }
}

void reeve_timer_init(uv_loop_t *loop, struct reeve_timer *timer, void (*fire)(struct reeve_timer *timer, void *arg),
                      void *arg)
{
    *timer = (struct reeve_timer){.fire = fire, .arg = arg};
    int rc = uv_timer_init(loop, &timer->handle);
    REEVE_ASSERT(rc == 0); // fails for no reason known to libuv's documentation
    timer->handle.data = timer;
}

void reeve_timer_start(struct reeve_timer *timer, int64_t delay_ms, uint64_t generation)
{
    timer->generation = generation;
    // The loop's clock stands still during a turn: without this a long turn would shorten the delay.
    uv_update_time(timer->handle.loop);
    int rc = uv_timer_start(&timer->handle, on_fire, delay_ms > 0 ? (uint64_t)delay_ms : 0, 0);
    REEVE_ASSERT(rc == 0); // only a closing handle is refused: a programmer's mistake
}

void reeve_timer_stop(struct reeve_timer *timer)
{
    int rc = uv_timer_stop(&timer->handle);
    REEVE_ASSERT(rc == 0);
}

bool reeve_timer_armed(const struct reeve_timer *timer)
{
    return uv_is_active((const uv_handle_t *)&timer->handle) != 0;
}

void reeve_timer_close(struct reeve_timer *timer, void (*closed)(struct reeve_timer *timer, void *arg))
{
    timer->closed = closed;
    uv_close((uv_handle_t *)&timer->handle, on_closed);
}
