// The one door from other threads: order, bound, and that nothing is lost or run twice (the tsan preset runs this too).
// Must not: need a broker; the worker here is a loop and its posts.
// Threads post until told that the queue is full, and try again.
#include "worker.h"

#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <setjmp.h>

#include <cmocka.h>

#define THREADS 4
#define EACH    20000

static struct reeve_worker *worker;
static uintptr_t last[THREADS];
static size_t ran;

static int setup(void **state)
{
    (void)state;
    worker = calloc(1, sizeof *worker);
    ran = 0;
    for (size_t i = 0; i < THREADS; i++) {
        last[i] = 0;
    }
    if (worker == NULL || uv_loop_init(&worker->loop) != 0 || worker_posts_init(worker) != REEVE_OK) {
        return -1;
    }
    uv_ref((uv_handle_t *)&worker->posts.wake); // here the loop waits for posts and nothing else
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    worker_posts_close(worker);
    reeve_loop_finish(&worker->loop);
    free(worker);
    return 0;
}

static void take(struct reeve_worker *of, void *arg)
{
    uintptr_t number = (uintptr_t)arg;
    size_t thread = number % THREADS;
    assert_ptr_equal(of, worker);
    assert_true(number / THREADS == last[thread] + 1);
    last[thread] = number / THREADS;
    ran++;
}

static void producer(void *arg)
{
    uintptr_t thread = (uintptr_t)arg;
    for (uintptr_t i = 1; i <= EACH;) {
        if (reeve_worker_post(worker, take, (void *)(i * THREADS + thread)) == REEVE_OK) {
            i++;
        } else {
            sched_yield();
        }
    }
}

static void posts_of_many_threads_run_once_each_in_order(void **state)
{
    (void)state;
    uv_thread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(uv_thread_create(&threads[i], producer, (void *)i), 0);
    }
    while (ran < (size_t)THREADS * EACH) {
        assert_true(uv_run(&worker->loop, UV_RUN_ONCE) != 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(uv_thread_join(&threads[i]), 0);
    }
    assert_int_equal(ran, THREADS * EACH);
}

static void a_full_queue_refuses_and_a_closed_one_says_offline(void **state)
{
    (void)state;
    for (uintptr_t i = 1; i <= WORKER_POSTS_MAX; i++) {
        assert_int_equal(reeve_worker_post(worker, take, (void *)(i * THREADS)), REEVE_OK);
    }
    assert_int_equal(reeve_worker_post(worker, take, NULL), REEVE_LIMIT);
    (void)uv_run(&worker->loop, UV_RUN_NOWAIT); /* whether handles are left says nothing here */
    assert_int_equal(ran, WORKER_POSTS_MAX);
    assert_int_equal(reeve_worker_post(worker, take, (void *)(uintptr_t)((WORKER_POSTS_MAX + 1) * THREADS)), REEVE_OK);
    worker_posts_close(worker);
    assert_int_equal(reeve_worker_post(worker, take, NULL), REEVE_OFFLINE);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(posts_of_many_threads_run_once_each_in_order),
        TEST(a_full_queue_refuses_and_a_closed_one_says_offline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
