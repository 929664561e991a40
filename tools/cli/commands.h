// The commands' entries: each takes what was typed and gives the exit code. One file per command or family of commands.
// Must not: hold anything else than declarations.
#ifndef REEVE_CLI_COMMANDS_H
#define REEVE_CLI_COMMANDS_H

struct invocation;

int cmd_up(const struct invocation *inv);
int cmd_ls(const struct invocation *inv);
int cmd_show(const struct invocation *inv);
int cmd_apply(const struct invocation *inv);
int cmd_act(const struct invocation *inv); // start stop restart kill signal reset rm
int cmd_call(const struct invocation *inv);
int cmd_drain(const struct invocation *inv); // drain, undrain, of nodes and workers
int cmd_logs(const struct invocation *inv);
int cmd_watch(const struct invocation *inv);
int cmd_top(const struct invocation *inv);
int cmd_node_ls(const struct invocation *inv);
int cmd_node_show(const struct invocation *inv);
int cmd_node_act(const struct invocation *inv); // reload, shutdown
int cmd_encode(const struct invocation *inv);
int cmd_decode(const struct invocation *inv);
int cmd_doctor(const struct invocation *inv);
int cmd_bench(const struct invocation *inv);
int cmd_fleet(const struct invocation *inv); // stats to forget: one question each
int cmd_fleet_ls(const struct invocation *inv);
int cmd_fleet_watch(const struct invocation *inv);
int cmd_pool(const struct invocation *inv);
int cmd_pool_ls(const struct invocation *inv);
int cmd_pool_show(const struct invocation *inv);
int cmd_pool_apply(const struct invocation *inv);
int cmd_pool_watch(const struct invocation *inv);
int cmd_account(const struct invocation *inv);
int cmd_alarm(const struct invocation *inv);
int cmd_manager(const struct invocation *inv);
int cmd_manager_ls(const struct invocation *inv);
int cmd_manager_restore(const struct invocation *inv);
int cmd_queue(const struct invocation *inv);
int cmd_queue_ls(const struct invocation *inv);
int cmd_queue_apply(const struct invocation *inv); // create, update
int cmd_job(const struct invocation *inv); // show, explain, logs: one question each
int cmd_job_ls(const struct invocation *inv);
int cmd_job_add(const struct invocation *inv);
int cmd_job_bulk(const struct invocation *inv); // what is done to many: job cancel, retry, rm, queue purge, retry
int cmd_version(const struct invocation *inv);

#endif
