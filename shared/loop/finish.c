// The end of a loop: everything closed, nothing left running.
// Must not free what the handles belong to: their close callbacks do.
#include <reeve/loop.h>

// A close needs one turn; a close callback may close another handle. More turns than this is a loop that never ends.
#define TURNS_MAX 1000

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

void reeve_loop_finish(uv_loop_t *loop)
{
    int turns = 0;
    do {
        uv_walk(loop, close_handle, NULL);
        REEVE_ASSERT(++turns < TURNS_MAX);
    } while (uv_run(loop, UV_RUN_NOWAIT) != 0);
    int rc = uv_loop_close(loop);
    REEVE_ASSERT(rc == 0);
}
