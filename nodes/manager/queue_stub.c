// Stand-ins for rooms of the queues that are being written; a real one takes the place of each. Goes when they are all there.
// Must not: do anything.
#include "queue_room.h"
#define W __attribute__((weak))
W void queue_change(struct queue *queue, struct job *job, enum reeve_job_state state, struct reeve_span error){(void)queue;(void)job;(void)state;(void)error;}
W void queue_status_tick(struct queue *queue){(void)queue;}
W void queue_status_turn(struct queue *queue){(void)queue;}
W void queue_schedules_load(struct queue *queue){(void)queue;}
W void queue_schedules_tick(struct queue *queue){(void)queue;}
W void queue_schedules_free(struct queue *queue){(void)queue;}
W void queue_keep_tick(struct queue *queue){(void)queue;}
W void commands_take(struct manager *manager, const struct reeve_delivery *delivery){(void)manager;(void)delivery;}
