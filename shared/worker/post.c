// The one door from other threads: functions queued here are called on the loop, in order.
// Bounded; a full queue is the caller's to handle.
// Must not: hold the lock while anything of the program runs.
#include "worker.h"

static bool take(struct worker_posts *posts, struct worker_post *ret)
{
    uv_mutex_lock(&posts->lock);
    bool found = posts->len > 0;
    if (found) {
        *ret = posts->items[posts->first];
        posts->first = (posts->first + 1) % WORKER_POSTS_MAX;
        posts->len--;
    }
    uv_mutex_unlock(&posts->lock);
    return found;
}

static void on_wake(uv_async_t *handle)
{
    struct reeve_worker *worker = handle->data;
    struct worker_post post;
    // What is posted while these run waits for its own wake-up: the loop's other work gets its turn.
    for (size_t left = WORKER_POSTS_MAX; left > 0 && take(&worker->posts, &post); left--) {
        post.fn(worker, post.arg);
    }
}

enum reeve_err worker_posts_init(struct reeve_worker *worker)
{
    struct worker_posts *posts = &worker->posts;
    if (uv_mutex_init(&posts->lock) != 0) {
        return REEVE_NOMEM;
    }
    if (uv_async_init(&worker->loop, &posts->wake, on_wake) != 0) {
        uv_mutex_destroy(&posts->lock);
        return REEVE_NOMEM;
    }
    posts->wake.data = worker;
    uv_unref((uv_handle_t *)&posts->wake); // a door is no reason to go on living
    posts->open = true;
    return REEVE_OK;
}

enum reeve_err reeve_worker_post(struct reeve_worker *worker, void (*fn)(struct reeve_worker *worker, void *arg),
                                 void *arg)
{
    struct worker_posts *posts = &worker->posts;
    enum reeve_err err = REEVE_OK;
    uv_mutex_lock(&posts->lock);
    if (!posts->open) {
        err = REEVE_OFFLINE;
    } else if (posts->len == WORKER_POSTS_MAX) {
        err = REEVE_LIMIT;
    } else {
        posts->items[(posts->first + posts->len++) % WORKER_POSTS_MAX] = (struct worker_post){fn, arg};
        if (uv_async_send(&posts->wake) != 0) {
            err = REEVE_INTERNAL;
        }
    }
    uv_mutex_unlock(&posts->lock);
    return err;
}

void worker_posts_close(struct reeve_worker *worker)
{
    if (!worker->posts.open) {
        return; // never made, or closed before
    }
    uv_mutex_lock(&worker->posts.lock);
    worker->posts.open = false; // the lock stays: a thread of the program's may still come
    uv_mutex_unlock(&worker->posts.lock);
}
