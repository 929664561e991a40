"""A worker in Python that writes down what it does: the truth of the chaos tests, beside that of the probe's jobs_file.

Started by a daemon or by hand with the same environment; its configuration says queues and the file:
{"queues": {"q": 4}, "jobs_file": "/path", "prefetch": 4, "reconciles": true}. One line per event, in one write(2) to a file opened with O_APPEND, so that a
kill -9 cuts nothing; times are CLOCK_MONOTONIC, the same for all processes of a machine.

Types as the probe has them: echo · sleep {ms} · busy {ms} · fail {times, for_good} · exit {attempts} (kills itself with the job in hand while the
attempt is not above that) · steps {steps, ms, die_after} · pay {crash, ask_again} with reconcile · hold (until cancelled)."""
import json
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, os.environ.get("REEVE_CLIENTS", str(pathlib.Path(__file__).parents[3] / "clients/python")))
import reeve_client as reeve  # noqa: E402


OPTIONS = json.loads(pathlib.Path(os.environ["REEVE_CONFIG_FILE"]).read_text())
OUT = os.open(OPTIONS["jobs_file"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
worker = reeve.Worker("journal", OPTIONS["queues"], prefetch=OPTIONS.get("prefetch"), drain_ms=OPTIONS.get("drain_ms", 5000))


def write(event, job, **more):
    line = {"event": event, "queue": job.queue, "job": job.id, "attempt": job.attempt, "worker": f"{worker.node}/{worker.name}",
            "pid": os.getpid(), "at": time.monotonic(), **more}
    os.write(OUT, (json.dumps(line) + "\n").encode())


def journaled(run):
    """A handler whose start and end are written down."""
    def handler(job):
        payload = job.payload or {}
        write("start", job, key=payload.get("key"), reconcile=job.reconciling, checkpoint=job.saved)
        try:
            result = run(job, payload)
        except reeve.Error as error:
            write("end", job, outcome=type(error).__name__.lower(), reason=job.cancelled)
            raise
        write("end", job, outcome="done")
        return {"attempt": job.attempt, "value": result}
    return handler


def sleep(job, seconds):
    if job.wait_cancelled(seconds):
        job.check()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


@worker.job("echo")
@journaled
def echo(_job, payload):
    return payload.get("value")


@worker.job("sleep")
@journaled
def sleeper(job, payload):
    sleep(job, payload.get("ms", 100) / 1000)


@worker.job("busy")
@journaled
def busy(_job, payload):
    """Does not look whether it is to end."""
    time.sleep(payload.get("ms", 100) / 1000)


@worker.job("fail")
@journaled
def fail(job, payload):
    if payload.get("for_good"):
        raise reeve.Fail(payload.get("error", "as told"))
    if job.attempt <= payload.get("times", 1):
        raise reeve.Retry(payload.get("error", "as told"), payload.get("delay_ms"))


@worker.job("exit")
@journaled
def leave(job, payload):
    if job.attempt <= payload.get("attempts", 1):
        die()


@worker.job("steps")
@journaled
def steps(job, payload):
    done = (job.saved or {}).get("step", 0)
    for step in range(done + 1, payload.get("steps", 5) + 1):
        sleep(job, payload.get("ms", 0) / 1000)
        job.progress(step / payload.get("steps", 5), f"step {step}")
        job.checkpoint({"step": step})
        write("checkpoint", job, number=step)
        if step in payload.get("die_after", ()):
            if not pathlib.Path(f"{OPTIONS['jobs_file']}.{job.id}.{step}").exists():
                pathlib.Path(f"{OPTIONS['jobs_file']}.{job.id}.{step}").touch()
                die()
    return payload.get("steps", 5)


@worker.job("pay")
@journaled
def pay(job, payload):
    if payload.get("crash") == "at once":
        if job.attempt == 1:
            die()
    job.no_return({"pay": job.id})
    write("no_return", job)
    if payload.get("crash") == "before":
        if not paid(job) and not pathlib.Path(f"{OPTIONS['jobs_file']}.{job.id}.died").exists():
            pathlib.Path(f"{OPTIONS['jobs_file']}.{job.id}.died").touch()
            die()
    write("paid", job)
    if payload.get("crash") == "after":
        die()


def paid(job):
    """What the outside world says: was it paid?"""
    text = pathlib.Path(OPTIONS["jobs_file"]).read_text()
    return any(line.get("event") == "paid" and line["job"] == job.id
               for line in (json.loads(one) for one in text.splitlines() if one.endswith("}")))


@journaled
def find_out(job, payload):
    if payload.get("ask_again") and job.attempt < payload["ask_again"]:
        raise reeve.Retry("the bank does not answer", 50)
    if not paid(job):
        raise reeve.NotDone()


if OPTIONS.get("reconciles", True):
    worker.reconcile("pay")(find_out)


@worker.job("hold")
@journaled
def hold(job, payload):
    while not job.wait_cancelled(1):
        pass
    if payload.get("stubborn"):
        time.sleep(payload["stubborn"])
    job.check()


raise SystemExit(worker.run())
