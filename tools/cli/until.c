// Turning a loop until something holds; see until.h.
// Must not: know what is waited for.
#include "until.h"

#include <stddef.h>

static void on_look(uv_prepare_t *look)
{
    struct until *until = look->data;
    if (until->holds != NULL && until->holds(until->arg)) {
        uv_stop(until->loop); // it looks for events once more, and does not wait for them
    }
}

void until_init(struct until *until, uv_loop_t *loop)
{
    *until = (struct until){.loop = loop};
    (void)uv_prepare_init(loop, &until->look); /* can't fail */
    until->look.data = until;
}

void until_run(struct until *until, bool (*holds)(void *arg), void *arg)
{
    until->holds = holds;
    until->arg = arg;
    (void)uv_prepare_start(&until->look, on_look); /* fails without a callback only */
    while (!holds(arg)) {
        (void)uv_run(until->loop, UV_RUN_ONCE); /* whether handles are left says nothing here */
    }
    (void)uv_prepare_stop(&until->look); /* can't fail */
    until->holds = NULL;
}
