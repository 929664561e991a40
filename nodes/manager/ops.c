// The table of the manager's ops: names, levels, and the functions behind them. Their arguments are record tables in the
// rooms that carry them out. docs/protocol.md has the list for people; a test compares.
#include "ops.h"

#include "manager.h"

#include <string.h>

#define ROW(name_, level_, id_, flags_, main_arg_, doc_)                                                               \
    {.name = name_, .level = (level_), .flags = (flags_), .main_arg = (main_arg_), .args = &op_##id_##_args,           \
     .run = op_##id_##_run, .doc = doc_}
#define FLEET(id_, flags_, main_arg_, doc_)   ROW(#id_, OP_OF_MANAGER, id_, flags_, main_arg_, doc_)
#define POOL(id_, flags_, main_arg_, doc_)    ROW(#id_, OP_OF_POOL, pool_##id_, flags_, main_arg_, doc_)
#define QUEUE(id_, flags_, main_arg_, doc_)   ROW(#id_, OP_OF_QUEUE, queue_##id_, flags_, main_arg_, doc_)
#define ACCOUNT(id_, flags_, main_arg_, doc_) ROW(#id_, OP_OF_ACCOUNT, account_##id_, flags_, main_arg_, doc_)

static const struct op ops[] = {
    FLEET(list, OP_READS, "workers", "Verdicts of the workers that are meant, 200 at a time from `offset`."),
    FLEET(show, OP_READS, "worker", "Everything known about one worker."),
    FLEET(why, OP_READS, "worker", "Why a worker is in its state, most important first."),
    FLEET(find, OP_READS, "type", "Workers that are idle, may take work and meet everything asked for; the least loaded first."),
    FLEET(stats, OP_READS, NULL, "Totals, and the same by type, exchange, region, state and node."),
    FLEET(health, OP_READS, "workers", "How healthy workers are; without a selector those that are not are listed."),
    FLEET(describe, OP_READS, NULL, "The manager itself: version, counters, holds."),
    FLEET(forget, 0, "worker", "Remove what is retained of a worker that is gone."),
    FLEET(online, 0, "workers", "Take work again. With `all`: ends `global_offline` too."),
    FLEET(offline, 0, "workers",
          "Take no work, stay connected. Kept until changed. With `all`: also who joins later (`global_offline`)."),
    FLEET(pause, 0, "workers", "Take no new work. Kept until `resume`."),
    FLEET(resume, 0, "workers", "Take work again after `pause`."),
    FLEET(start, OP_RERUN, "workers", "Start workers. With `all`: ends an emergency stop."),
    FLEET(stop, OP_RERUN | OP_OVERTAKES, "workers",
          "Stop workers, on all nodes at once; says how many were stopped in how many ms, and who was out of reach. With `all`: "
          "nothing is started by pools and accounts until `start` with `all`."),
    FLEET(kill, OP_RERUN | OP_OVERTAKES, "workers", "The same with SIGKILL."),
    FLEET(restart, OP_RERUN, "workers", "A new run of each."),
    FLEET(shutdown, OP_RERUN | OP_OVERTAKES, "worker", "Stop and keep stopped, also who joins later, until `clear`."),
    FLEET(clear, 0, "worker", "End a `shutdown`."),
    FLEET(alarms, OP_READS, "kind", "Open alarms."),
    FLEET(acknowledge, 0, NULL, "A person has seen an alarm; it stays open until it is over."),
    FLEET(backup, 0, NULL, "A copy of the manager's store, in `backups` of its state directory."),
    FLEET(check, OP_READS, NULL, "Read the whole store back and say what is wrong with it."),
    FLEET(accounts, OP_READS, NULL, "All accounts with their state."),
    FLEET(accounts_validate, OP_READS, "accounts", "Judge account files; nothing changes."),
    FLEET(accounts_start, OP_RERUN, "accounts", "Start accounts; all are validated first."),
    FLEET(accounts_stop, OP_RERUN, "accounts", "Stop accounts."),
    FLEET(accounts_restart, OP_RERUN, "accounts", "A new run of accounts."),
    FLEET(accounts_reload, 0, NULL, "Read the account files again: the plan, and with `apply` its execution."),

    {.name = "apply", .level = OP_OF_POOL, .args_open = true, .run = op_pool_apply_run,
     .doc = "Define the pool: a pool spec as the arguments. A changed template is rolled out."},
    POOL(scale, 0, "size", "Set the size: `5`, or by `+2` and `-1`."),
    POOL(pause, 0, NULL, "Start and end nothing for this pool until `resume`."),
    POOL(resume, 0, NULL, "End a pause or a drain."),
    POOL(drain, 0, NULL, "No workers any more; each goes when it is done with what it has in hand."),
    POOL(delete, 0, "workers", "Forget the pool. `workers`: stop (preset) or keep."),
    POOL(describe, OP_READS, NULL, "Spec, status and workers."),
    POOL(explain, OP_READS, NULL, "Where the next worker would go, and why not elsewhere."),
    POOL(history, OP_READS, NULL, "Versions of the template."),
    POOL(rollback, 0, "version", "Roll out an earlier version; preset: the last good one."),
    POOL(restart, 0, NULL, "Replace every worker, as an update would."),
    POOL(acquire, OP_RERUN, "holder", "An idle worker for exclusive use, under a lease that ends with its holder."),
    POOL(renew, 0, "lease_id", "Prolong such a lease."),
    POOL(release, 0, "lease_id", "End it."),

    ACCOUNT(start, OP_RERUN, NULL, "Validate and start the account."),
    ACCOUNT(stop, OP_RERUN, NULL, "Stop it."),
    ACCOUNT(restart, OP_RERUN, NULL, "A new run."),
    ACCOUNT(status, OP_READS, NULL, "Its state."),
    ACCOUNT(validate, OP_READS, NULL, "Judge its file; nothing changes."),

    {.name = "apply", .level = OP_OF_QUEUE, .args_open = true, .run = op_queue_apply_run,
     .doc = "Make or change the queue: a queue spec as the arguments. Takes effect at once; `durability` only while it is empty."},
    QUEUE(delete, 0, NULL, "Forget the queue, its jobs and their ids."),
    QUEUE(pause, 0, NULL, "Start nothing until `resume`. New jobs are taken."),
    QUEUE(resume, 0, NULL, "End a pause or a drain."),
    QUEUE(drain, 0, NULL, "Take no new jobs until `resume`. What is there is done."),
    QUEUE(purge, 0, "states", "Remove jobs by state, 1,000 in one command; `more` says that there are others. Their ids stay known."),
    QUEUE(describe, OP_READS, NULL, "Spec, status and the workers that take its jobs."),
    QUEUE(list, OP_READS, "state", "Jobs, the newest first; `next` is where to go on."),
    QUEUE(show, OP_READS, "id", "Everything that is known of a job."),
    QUEUE(explain, OP_READS, "id", "Why a job is where it is, the most important first."),
    QUEUE(cancel, 0, "ids", "What waits ends at once; the worker of an active one is told. Refused past a point of no return."),
    QUEUE(retry, 0, "ids", "Failed and cancelled jobs live again, delayed and unknown ones go on now."),
    QUEUE(remove, 0, "ids", "Forget jobs that have ended: body, result, history. Their ids stay known."),
    QUEUE(logs, OP_READS, "id", "The lines that its workers logged with a job, the newest 100."),
};

const struct op *op_at(size_t index)
{
    return index < REEVE_ARRAY_LEN(ops) ? &ops[index] : NULL;
}

const struct op *op_find(const char *name, unsigned level)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(ops); i++) {
        if (ops[i].level == level && strcmp(ops[i].name, name) == 0) {
            return &ops[i];
        }
    }
    return NULL;
}

const char *op_near(const char *name, unsigned level)
{
    const char *names[REEVE_ARRAY_LEN(ops) + 1];
    size_t len = 0;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(ops); i++) {
        if (ops[i].level == level) {
            names[len++] = ops[i].name;
        }
    }
    names[len] = NULL;
    return reeve_near(name, names);
}
