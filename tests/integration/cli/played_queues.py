"""A manager's queues, played: what `reeve queue` and `reeve job` ask for is kept in memory and answered. A test may put another
answer in its place (`answers`, by op), also one that a real manager rarely gives."""
import fnmatch
import time

import harness
import msgpack


def now():
    return int(time.time() * 1000)


class Refused(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


class PlayedQueues:
    """`queues`: {name: {"spec", "state", "jobs": {id: job}}}; `commands`: what was sent, as (topic below the root, args, id)."""

    def __init__(self, broker, *names, name="main"):
        self.broker, self.name, self.commands, self.answers = broker, name, [], {}
        self.queues, self.events, self.silent = {}, True, set()
        self.client = broker.client("manager")
        self.client.paho.on_message = self._on_message
        self.client.subscribe(broker.topic("queue/+/cmd/+"))
        self.client.publish(broker.topic(f"manager/{name}/status"), msgpack.packb({
            "epoch": 7, "state": "online", "at": now(), "heartbeat_ms": 60000}), retain=True)
        for queue in names:
            self.make(queue)

    def make(self, queue, **spec):
        self.queues[queue] = {"spec": spec, "state": "running", "jobs": {}}

    def close(self):
        for queue in self.queues:
            self.client.publish(self.broker.topic(f"queue/{queue}/status"), b"", retain=True)
        self.client.publish(self.broker.topic(f"manager/{self.name}/status"), b"", retain=True)

    def take(self):
        commands, self.commands = self.commands, []
        return [(topic, args) for topic, args, _ in commands]

    # ---- what a test does with a job

    def end(self, queue, job_id, state="completed", result=None, error=None):
        job = self.queues[queue]["jobs"][job_id]
        job.update({"state": state, "ended_at": now(), "attempt": 1, "result": result, "error": error})
        if self.events:
            self.client.publish(self.broker.topic(f"queue/{queue}/event"), msgpack.packb({
                "queue": queue, "at": now(), "more": False,
                "changes": [{"id": job_id, "state": state, "attempt": 1, **({"error": error} if error else {})}]}), qos=0)

    def publish_status(self, queue, **more):
        self.client.publish(self.broker.topic(f"queue/{queue}/status"), msgpack.packb({**self.status(queue), **more}), retain=True)

    def status(self, queue):
        counts = {state: 0 for state in ("waiting", "delayed", "active", "unknown", "completed", "failed", "cancelled")}
        for job in self.queues[queue]["jobs"].values():
            counts[job["state"]] += 1
        return {"queue": queue, "state": self.queues[queue]["state"], "durability": "commit", **counts, "oldest_ms": 0,
                "added_per_s": 0.0, "completed_per_s": 0.0, "workers": 0, "at": now()}

    # ---- commands

    def _on_message(self, mqtt, _data, message):
        below = message.topic[len(self.broker.root) + 1:]
        _, queue, _, op = below.split("/")
        command = msgpack.unpackb(message.payload)
        args = command.get("args") or {}
        self.commands.append((below, args, command["id"]))
        if op in self.silent or "reply_to" not in command:
            return
        mqtt.publish(command["reply_to"], msgpack.packb({"id": command["id"], "seq": 1, "by": self.name, "epoch": 7, "at": now(),
                                                         **self._answer(queue, op, args, command)}), 1)

    def _answer(self, queue, op, args, command):
        answer = self.answers.get(op)
        answer = answer(queue, args, command) if callable(answer) else answer
        if answer is not None:
            return {"phase": "done", **answer}
        try:
            if op != "apply" and queue not in self.queues:
                raise Refused("not_found", f'no queue "{queue}", did you mean \'{next(iter(self.queues), "?")}\'?')
            result = getattr(self, f"op_{op}")(queue, args, command)
        except Refused as refused:
            return {"phase": "rejected", "code": refused.code, "message": refused.message}
        if op == "enqueue" and result["rejected"] and not result["accepted"] and not result["duplicates"]:
            return {"phase": "rejected", "code": result["others"][0]["code"], "message": result["others"][0]["message"],
                    "result": result}
        return {"phase": "done", "result": result}

    def op_enqueue(self, queue, args, command):
        jobs = args.get("jobs", [args])
        reply = {"durability": "commit", "accepted": 0, "duplicates": 0, "rejected": 0, "others": []}
        ids = []
        known = self.queues[queue]["jobs"]
        room = self.room - sum(job["state"] == "waiting" for job in known.values())
        for index, job in enumerate(jobs):
            job_id = job.get("id") or (f"{command['id']}-{index}" if "jobs" in args else command["id"])
            ids.append(job_id)
            body = (job.get("type"), job.get("payload"), job.get("key"))
            old = known.get(job_id)
            if old is None and reply["accepted"] >= room:
                reply["rejected"] += 1
                reply["others"].append({"index": index, "id": job_id, "outcome": "rejected", "code": "limit",
                                        "message": f"the queue is full: {self.room} jobs (jobs_max)"})
            elif old is None:
                reply["accepted"] += 1
                if not command.get("dry_run"):
                    known[job_id] = {"id": job_id, "state": "waiting", "priority": 5, "attempt": 0, "added_at": now(),
                                     "number": len(known) + 1, **job, "body": body}
            elif old["body"] == body:
                reply["duplicates"] += 1
                reply["others"].append({"index": index, "id": job_id, "outcome": "duplicate", "state": old["state"]})
            else:
                reply["rejected"] += 1
                reply["others"].append({"index": index, "id": job_id, "outcome": "rejected", "code": "conflict",
                                        "message": f"job {job_id} is there with another body"})
        return reply if args.get("brief") else {**reply, "ids": ids}

    def op_apply(self, queue, args, command):
        old = self.queues.get(queue)
        before = old["spec"] if old else {}
        changed = sorted(key for key in {*before, *args} if before.get(key) != args.get(key)) if old else []
        if not command.get("dry_run"):
            if old is None:
                self.make(queue)
            self.queues[queue]["spec"] = args
        return {"created": old is None, "changed": changed}

    def op_describe(self, queue, _args, _command):
        return {"queue": queue, "spec": self.queues[queue]["spec"], "status": self.status(queue),
                "workers": [{"worker": "alpha/mm-1", "capacity": 4, "in_hand": 1, "types": ["send"]}]}

    def _set_state(self, queue, state):
        self.queues[queue]["state"] = state
        return {}

    def op_pause(self, queue, _args, _command):
        return self._set_state(queue, "paused")

    def op_resume(self, queue, _args, _command):
        return self._set_state(queue, "running")

    def op_drain(self, queue, _args, _command):
        return self._set_state(queue, "draining")

    def op_delete(self, queue, args, _command):
        if not args.get("force") and any(job["state"] in ("waiting", "delayed", "active") for job in
                                         self.queues[queue]["jobs"].values()):
            raise Refused("conflict", f"queue {queue} has jobs that have not ended")
        del self.queues[queue]
        return {}

    def op_purge(self, queue, args, command):
        jobs = self.queues[queue]["jobs"]
        gone = [job_id for job_id, job in jobs.items() if job["state"] in args["states"]][:self.bound]
        if not command.get("dry_run"):
            for job_id in gone:
                del jobs[job_id]
        return {"removed": len(gone), "more": any(job["state"] in args["states"] for job in jobs.values())}

    room = 1 << 60  # for jobs that wait
    bound = 1000  # of jobs per command of op_purge and of those with a filter

    def _job(self, queue, args):
        job = self.queues[queue]["jobs"].get(args["id"])
        if job is None:
            raise Refused("not_found", f'no job "{args["id"]}" in queue {queue}')
        return job

    def op_show(self, queue, args, _command):
        return {key: value for key, value in self._job(queue, args).items() if value is not None and key != "body"}

    def op_explain(self, queue, args, _command):
        return {"id": args["id"], "state": self._job(queue, args)["state"], "why": "no worker does jobs of type send",
                "details": ["2 workers are there", "none of them says send"]}

    def op_logs(self, queue, args, _command):
        self._job(queue, args)
        return {"lines": [{"at": 1700000000000, "attempt": 1, "text": "first line"}, {"at": 1700000001000, "attempt": 2, "text": "\x1b[2J"}]}

    def op_list(self, queue, args, _command):
        jobs = [job for job in reversed(self.queues[queue]["jobs"].values())
                if self._fits(job, args) and job["number"] < args.get("before", 1 << 60)]
        page = jobs[:args.get("limit", 100)]
        return {"jobs": [{k: v for k, v in job.items() if k not in ("body", "payload")} for job in page],
                "more": len(jobs) > len(page), "next": page[-1]["number"] if page else 0}

    @staticmethod
    def _fits(job, wanted):
        return all(key not in wanted or fnmatch.fnmatch(str(job.get(key, "")), wanted[key]) for key in ("state", "type", "key", "error"))

    def _bulk(self, queue, args, command, may, change):
        jobs, refused, done = self.queues[queue]["jobs"], [], 0
        wanted = args.get("filter")
        if wanted is None:
            chosen = args["ids"]
        else:
            chosen = [job_id for job_id, job in jobs.items() if self._fits(job, wanted) and job["state"] in may]
        limit = min(self.bound, (wanted or {}).get("limit", self.bound))
        for job_id in chosen[:limit]:
            job = jobs.get(job_id)
            if job is None:
                refused.append({"id": job_id, "code": "not_found", "message": f'no job "{job_id}"'})
            elif job["state"] not in may:
                refused.append({"id": job_id, "code": "conflict", "message": f"job {job_id} is {job['state']}"})
            else:
                done += 1
                if not command.get("dry_run"):
                    change(jobs, job)
        return {"done": done, "refused": refused, "more": wanted is not None and len(chosen) > limit}

    def op_cancel(self, queue, args, command):
        return self._bulk(queue, args, command, ("waiting", "delayed", "active"), lambda _jobs, job: job.update(state="cancelled"))

    def op_retry(self, queue, args, command):
        return self._bulk(queue, args, command, ("failed", "cancelled"), lambda _jobs, job: job.update(state="waiting"))

    def op_remove(self, queue, args, command):
        return self._bulk(queue, args, command, ("waiting", "delayed", "failed", "cancelled", "completed"),
                          lambda jobs, job: jobs.pop(job["id"]))
