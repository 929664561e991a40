"""Durable jobs of Reeve from Python: put them in, and do them. One file; needs paho-mqtt (1.6 or 2.x) and msgpack.

A producer. What `enqueue` returned for is on the manager's disk; asked again with the same id it adds nothing:

    site = Site("mqtt://127.0.0.1:1883", "operator", password="...")
    with Producer(site) as producer:
        job = producer.enqueue("images", "resize", {"file": "a.png"}, id="resize-a", attempts=5)
        producer.enqueue_many("images", [{"type": "resize", "payload": {"file": name}} for name in names])
        print(producer.wait("images", job)["result"])         # raises JobFailed when it ended otherwise

A worker. Under a daemon everything comes from the environment (REEVE_*); by hand from a Site:

    worker = Worker(type="resizer", queues={"images": 4})     # four jobs at the same time, in threads

    @worker.job("resize")
    def resize(job):
        for n in range(job.saved["page"] if job.saved else 0, 10):
            job.check()                                       # raises Cancelled when this job is to end
            work_on(job.payload["file"], n)
            job.checkpoint({"page": n + 1})                   # returns when it is on disk; a later attempt has it as job.saved
            job.progress((n + 1) / 10, f"page {n + 1}")
        return {"pages": 10}                                  # the result. raise Retry(...) or Fail(...) for other ends

    raise SystemExit(worker.run())

A handler may run more than once for a job (its process may die): job.attempt grows with each, and whoever writes to something shared
sends it along, so that an older attempt can be refused there. What must not happen twice goes after job.no_return(): from then on no
ordinary attempt is made, only one of the type's `@worker.reconcile` handler, which finds out what became of it and returns the
result, or raises NotDone (nothing had happened), Fail, or Retry (can't tell yet). Any other exception is a retry with its text.

A thread can't be ended from outside: a handler that does not look at job.check(), job.cancelled or job.wait_cancelled() runs on; its
word counts for nothing then, and its place is not given to another job before it is done.
"""
import argparse
import collections
import contextlib
import json
import os
import random
import secrets
import signal
import socket
import ssl
import sys
import threading
import time
import urllib.parse

import msgpack
import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

EPOCH_MAX = 2**53 - 1
MESSAGE_BYTES_MAX = 900_000  # below the 1 MiB of [payload-4]
ENTRIES_MAX, REPORT_BYTES_MAX, REPORTS_OPEN_MAX = 500, 256_000, 4
TERMINAL = {"done", "failed", "rejected", "expired", "cancelled", "superseded", "duplicate"}
ENDED = {"completed", "failed", "cancelled"}
DAEMONS_OPS = {"apply", "remove", "start", "stop", "restart", "kill", "signal", "reset", "logs"}


class Error(Exception):
    """Everything that is raised here on purpose."""


class Refused(Error):
    """A command that was not done; `reply` is what came back."""

    def __init__(self, reply):
        super().__init__(f"{reply.get('phase')}: {reply.get('code', '')} {reply.get('message', '')}".strip())
        self.reply, self.code = reply, reply.get("code")


class NoAnswer(Error):
    """Nobody answered in time. The command may have been done: repeat it with the same id."""


class JobFailed(Error):
    """The job ended otherwise than by `completed`; `job` is its record."""

    def __init__(self, job):
        super().__init__(f"job {job.get('id')} is {job.get('state')}: {job.get('error', '')}")
        self.job = job


class Retry(Error):
    """From a handler: not this time. delay_ms None = by the job's back-off."""

    def __init__(self, reason="", delay_ms=None):
        super().__init__(reason)
        self.delay_ms = delay_ms


class Fail(Error):
    """From a handler: never; the job becomes a dead letter."""


class NotDone(Error):
    """From a reconciling handler: nothing had happened, it may be done as an ordinary job."""


class Cancelled(Error):
    """The job is to end: cancelled, timeout, stop; or it is no longer ours: fenced, lease."""


def now_ms():
    return int(time.time() * 1000)


def new_id():
    """A ULID: sorts by time, unlike any other."""
    number = (now_ms() << 80) | secrets.randbits(80)
    return "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[(number >> shift) & 31] for shift in range(125, -1, -5))


def say(level, text):
    print(f"{level} {text}", file=sys.stderr, flush=True)


# ---- the broker -------------------------------------------------------------------------------------------------------

class Site:
    """Where the broker is, as whom, and below which root. Connects to nothing by itself."""

    def __init__(self, url="mqtt://127.0.0.1:1883", username=None, password=None, root="reeve/v1/local", version="5",
                 password_file=None, ca_file=None, cert_file=None, key_file=None, **_other):
        if not urllib.parse.urlsplit(url).hostname:
            raise ValueError(f"{url!r} is no address such as mqtt://127.0.0.1:1883")
        self.url, self.username, self.password, self.root, self.version = url, username, password, root, str(version)
        self.password_file, self.tls = password_file, (ca_file, cert_file, key_file)

    @classmethod
    def from_file(cls, path, root="reeve/v1/local"):
        """A broker file as a daemon writes it for its workers."""
        with open(path, encoding="utf-8") as file:
            return cls(**{**json.load(file), "root": root})

    @classmethod
    def from_environment(cls):
        return cls.from_file(os.environ["REEVE_BROKER_FILE"], os.environ.get("REEVE_ROOT", "reeve/v1/local"))

    @classmethod
    def from_directory(cls, directory, role="operator"):
        """A site of `reeve up`."""
        with open(os.path.join(directory, "site.json"), encoding="utf-8") as file:
            site = json.load(file)
        user = site["users"][role]
        return cls(f"mqtt://127.0.0.1:{site['broker']['port']}", user["username"], user["password"], site["root"])

    def topic(self, below):
        return f"{self.root}/{below}"

    def make_client(self, client_id):
        """A paho client that is not connected, of either version of the library."""
        address, mqtt5 = urllib.parse.urlsplit(self.url), self.version == "5"
        options = {"client_id": client_id, "protocol": paho.MQTTv5 if mqtt5 else paho.MQTTv311, "reconnect_on_failure": False,
                   "transport": "websockets" if address.scheme in ("ws", "wss") else "tcp"}
        if not mqtt5:
            options["clean_session"] = True
        if hasattr(paho, "CallbackAPIVersion"):
            options["callback_api_version"] = paho.CallbackAPIVersion.VERSION2
        client = paho.Client(**options)
        if address.scheme in ("mqtts", "wss"):
            client.tls_set(*self.tls, tls_version=ssl.PROTOCOL_TLS_CLIENT)
        if options["transport"] == "websockets":
            client.ws_set_options(path=address.path or "/mqtt")
        if self.username is not None:
            password = self.password
            if self.password_file:
                with open(self.password_file, encoding="utf-8") as file:
                    password = file.read().strip()
            client.username_pw_set(self.username, password)
        client.max_inflight_messages_set(200)
        return client

    def address(self):
        parts = urllib.parse.urlsplit(self.url)
        return parts.hostname, parts.port or {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}[parts.scheme]


class Session:
    """One connection after the other, for as long as it is open: subscribed and heard its own probe = ready [session-3, 8].

    `owner` has topics(), received(topic, payload, retained), opened(epoch), and next_epoch() -> (epoch, will topic or None)."""

    def __init__(self, site, owner, name):
        self.site, self.owner, self.name = site, owner, name
        self.client, self.ready, self.heard = None, threading.Event(), 0.0
        self._closing, self._lost, self._probe = False, threading.Event(), None
        self._dropping, self._renewed = False, 0.0
        self._thread = threading.Thread(target=self._run, name="reeve-session", daemon=True)

    def start(self):
        """Apart from making it: its thread asks its owner, who has to know it by then."""
        self._thread.start()

    def _run(self):
        delay = 0.1
        while not self._closing:
            self._lost.clear()
            self._dropping = False
            self._probe = self.site.topic(f"reply/{self.site.username or self.name}/probe-{secrets.token_hex(6)}")
            try:
                self._connect()
                if self._hold():
                    delay = 0.1
            except Exception as error:  # refused, no route, wrong files: all of them may get better
                say("warning", f"session url={self.site.url} why={error} retrying")
            self.ready.clear()
            self._lost.set()  # whatever ended it: nothing is published on this one any more
            if self.client is not None:
                self.client.loop_stop()
            if not self._closing:
                time.sleep(delay * random.uniform(0.8, 1.2))
                delay = min(delay * 2, 30)

    def _connect(self):
        epoch, will = self.owner.next_epoch()
        client = self.site.make_client(f"{self.name}-{secrets.token_hex(4)}")
        if will:
            client.will_set(will, msgpack.packb({"epoch": epoch}), 1, True)
        wanted, granted = set(), set()

        def on_connect(_client, _data, _flags, reason, *_more):
            if getattr(reason, "value", reason) != 0:
                return self._lost.set()
            for topic, kept in [*self.owner.topics(), (self._probe, False)]:
                if self.site.version == "5":
                    wanted.add(client.subscribe(topic, options=SubscribeOptions(1, retainHandling=0 if kept else 2))[1])
                else:
                    wanted.add(client.subscribe(topic, 1)[1])

        def on_subscribe(_client, _data, mid, *_more):
            granted.add(mid)
            if len(granted) == len(wanted):
                self.owner.opened(epoch)
                client.publish(self._probe, b"", 1)

        def on_message(_client, _data, message):
            self.heard = time.monotonic()
            if message.topic == self._probe:
                self.ready.set()
                return
            try:
                self.owner.received(message.topic, message.payload, bool(message.retain))
            except Exception as error:  # a message that is not what it should be ends nothing [payload-4]
                say("warning", f"message topic={message.topic} why={error!r} ignoring")

        client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
        client.on_disconnect = lambda *_: self._lost.set()
        client.on_socket_open = lambda _client, _data, sock: sock.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client, self.heard = client, time.monotonic()
        client.connect(*self.site.address(), keepalive=10)
        client.loop_start()

    def _hold(self):
        """Until the session is over; a session proves every minute that it still hears. Was it ever ready?"""
        ready = False
        while not self._lost.wait(1):
            ready = ready or self.ready.is_set()
            silent = time.monotonic() - self.heard
            if self._dropping or silent > (60 if ready else 20):
                self._cut()
            elif ready and silent > 30:
                self.client.publish(self._probe, b"", 1)
        return ready or self.ready.is_set()

    def publish(self, topic, value, retain=False, expiry_s=None):
        """A value as msgpack, bytes as they are; False when there is no session."""
        client = self.client
        if client is None or self._lost.is_set():
            return False
        properties = None
        if expiry_s and self.site.version == "5":
            properties = Properties(PacketTypes.PUBLISH)
            properties.MessageExpiryInterval = int(expiry_s)
        payload = value if isinstance(value, bytes) else msgpack.packb(value)
        return client.publish(topic, payload, 1, retain, properties).rc == paho.MQTT_ERR_SUCCESS

    def drop(self):
        """End this connection without a goodbye; the next has a higher epoch. At most once a second."""
        self._dropping = True
        if time.monotonic() - self._renewed >= 1:
            self._cut()

    def _cut(self):
        self._renewed = time.monotonic()
        sock = self.client.socket()
        with contextlib.suppress(OSError):  # it may be gone already
            if sock is not None:
                sock.shutdown(socket.SHUT_RDWR)
        self._lost.set()

    def close(self, flush=None):
        """With DISCONNECT, so without the will. `flush`: the last message, which is waited for."""
        self._closing = True
        client = self.client
        if client is not None and not self._lost.is_set():
            if flush is not None:
                info = client.publish(flush[0], msgpack.packb(flush[1]), 1, True)
                end = time.monotonic() + 2
                while info.rc == 0 and not info.is_published() and time.monotonic() < end and not self._lost.is_set():
                    time.sleep(0.005)
            client.disconnect()
        self._lost.set()
        self._thread.join(5)


# ---- who puts jobs in --------------------------------------------------------------------------------------------------

class Pending:
    """A command that was sent, until its terminal reply. It is sent again, the same bytes, while nobody answers."""

    def __init__(self, producer, topic, body):
        self.producer, self.topic, self.id, self.bytes = producer, topic, body["id"], msgpack.packb(body)
        self.reply, self.done = None, threading.Event()

    def send(self):
        return self.producer.session.publish(self.topic, self.bytes)

    def wait(self, timeout=60.0, again=2.0):
        """The reply, `done`; anything else raises Refused, silence NoAnswer. timeout None = as long as it takes."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if end is None else end - time.monotonic()
            if self.done.wait(again if left is None else max(0, min(again, left))):
                break
            if left is not None and left <= again:
                self.producer.forget(self)
                raise NoAnswer(f"{self.topic}: no answer to {self.id} within {timeout:g} s")
            self.send()  # no session: the next time round
        if self.reply["phase"] != "done":
            raise Refused(self.reply)
        return self.reply


class Producer:
    """Puts jobs in and asks about them; any number of threads may use one."""

    def __init__(self, site, ready=20.0):
        self.site, self._lock, self._pending = site, threading.Lock(), {}
        self.name = site.username or f"client-{secrets.token_hex(4)}"
        self.session = Session(site, self, self.name)
        self.session.start()
        if ready and not self.session.ready.wait(ready):
            self.close()
            raise NoAnswer(f"{site.url}: no session within {ready:g} s")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.session.close()

    # what Session asks its owner for
    def next_epoch(self):
        return 0, None

    def topics(self):
        return [(self.site.topic(f"reply/{self.name}/+"), False)]

    def opened(self, _epoch):
        with self._lock:
            pending = list(self._pending.values())
        for one in pending:
            one.send()

    def received(self, topic, payload, _retained):
        with self._lock:
            pending = self._pending.get(topic.rpartition("/")[2])
        reply = msgpack.unpackb(payload) if pending and payload else None
        if reply and reply.get("phase") in TERMINAL:
            pending.reply = reply
            self.forget(pending)
            pending.done.set()

    def forget(self, pending):
        with self._lock:
            self._pending.pop(pending.id, None)

    def send(self, path, op, args, id=None):
        """A command to `path` ("queue/images"), not waited for."""
        id = id or new_id()
        body = {"id": id, "reply_to": self.site.topic(f"reply/{self.name}/{id}"), "issuer": self.name, "args": args}
        pending = Pending(self, self.site.topic(f"{path}/cmd/{op}"), body)
        with self._lock:
            self._pending[id] = pending
        pending.send()
        return pending

    def ask(self, queue, op, args=None, id=None, timeout=60.0):
        """Any op of a queue; the result of its reply."""
        return self.send(f"queue/{queue}", op, args or {}, id).wait(timeout).get("result") or {}

    def enqueue(self, queue, type, payload=None, id=None, timeout=60.0, **options):
        """One job; its id, once it is on disk. options: priority delay_ms run_at attempts backoff timeout_ms key requires after dedupe."""
        result = self.enqueue_many(queue, [{"type": type, "payload": payload, "id": id, **options}], timeout=timeout)
        return (result.get("ids") or [id])[0]

    def enqueue_many(self, queue, jobs, id=None, timeout=60.0, brief=False):
        """Up to 4,096 of them in one message: `{durability, accepted, duplicates, rejected, ids, others}`."""
        return self.enqueue_send(queue, jobs, id, brief).wait(timeout)["result"]

    def enqueue_send(self, queue, jobs, id=None, brief=False):
        """The same, not waited for: .wait() of what it returns."""
        jobs = [{key: value for key, value in job.items() if value is not None} for job in jobs]
        return self.send(f"queue/{queue}", "enqueue", {"jobs": jobs, **({"brief": True} if brief else {})}, id)

    def show(self, queue, job, timeout=60.0):
        """Everything about one job."""
        return self.ask(queue, "show", {"id": job}, timeout=timeout)

    def wait(self, queue, job, timeout=None):
        """The record of the job once it is completed; JobFailed when it failed or was cancelled."""
        end, pause = None if timeout is None else time.monotonic() + timeout, 0.02
        while True:
            record = self.show(queue, job)
            if record["state"] == "completed":
                return record
            if record["state"] in ENDED:
                raise JobFailed(record)
            if end is not None and time.monotonic() > end:
                raise NoAnswer(f"job {job} is {record['state']} after {timeout:g} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 1)


# ---- who does jobs -----------------------------------------------------------------------------------------------------

class Job:
    """One attempt at a job, in the hands of a handler. `saved` is the last checkpoint of earlier attempts, or None."""

    def __init__(self, worker, link, item):
        self._worker, self._link = worker, link
        self.id, self.attempt, self.type, self.queue = item["id"], item["attempt"], item["type"], link.queue
        self.payload, self.saved = item.get("payload"), item.get("checkpoint")
        self.reconciling, self.timeout_ms = bool(item.get("reconcile")), item.get("timeout_ms") or 0
        self.cancelled = None  # the reason, once it is to end
        self._cancel, self._begun, self._over, self._end_at = threading.Event(), False, False, None

    def progress(self, fraction, text=None):
        """0..1; may be dropped, the newest wins."""
        self._worker._note(self, {"outcome": "progress", "progress": float(fraction), **({"text": str(text)} if text else {})})

    def log(self, line):
        """A line that is kept with the job."""
        self._worker._note(self, {"outcome": "log", "text": str(line)})

    def checkpoint(self, data):
        """Returns when it is on disk; raises Cancelled when this attempt no longer counts."""
        self._worker._store(self, {"outcome": "checkpoint", "data": data})

    def no_return(self, data=None):
        """The same; and no ordinary attempt is made at this job any more."""
        if self.type not in self._worker._reconciles:
            raise Fail(f"type {self.type} has no reconcile handler")
        self._worker._store(self, {"outcome": "no_return", "data": data})

    def check(self):
        if self.cancelled:
            raise Cancelled(self.cancelled)

    def wait_cancelled(self, seconds):
        """Sleep, but not longer than this job is wanted; True when it is to end."""
        return self._cancel.wait(seconds)


class _Link:
    """What passes between this worker's session and one queue [job-12, 13]. Under the worker's lock."""

    def __init__(self, queue, concurrency, prefetch):
        self.queue, self.concurrency, self.prefetch = queue, concurrency, concurrency if prefetch is None else prefetch
        self.hand, self.waiting, self.recent = {}, collections.deque(), collections.OrderedDict()
        self.stuck = 0  # handlers that run on for nobody
        self.pending, self.progress, self.sent = collections.deque(), {}, collections.OrderedDict()
        self.seq = self.got = self.manager_epoch = 0
        self.lease, self.confirmed, self.said, self.tell, self.hello = 15.0, 0.0, 0.0, False, True

    def send_again(self, seqs=None):
        """What was sent and not acknowledged goes to the head of what is to be sent, in its order."""
        entries = [entry for seq in list(self.sent) if seqs is None or seq in seqs for entry in self.sent.pop(seq)[1]]
        self.pending.extendleft(reversed(entries))

    def forget(self, job):
        """Nothing of this attempt is said any more; who waits for its checkpoint hears that."""
        self.hand.pop((job.id, job.attempt), None)
        self.progress.pop((job.id, job.attempt), None)
        lists = [self.pending, *(entries for _, entries in self.sent.values())]
        for entries in lists:
            for entry in [e for e in entries if (e["id"], e["attempt"]) == (job.id, job.attempt)]:
                entries.remove(entry)
                if entry.waiter:
                    entry.waiter.set()


class _Entry(dict):
    """Of a report; what ends an attempt, checkpoints and points of no return are kept until they are acknowledged."""

    waiter, stored, ends, size = None, False, False, 0


class Worker:
    """queues: {name: jobs at the same time}; prefetch: jobs beyond them that wait here already (preset: as many)."""

    def __init__(self, type, queues, site=None, node=None, name=None, version="1", capabilities=(), prefetch=None,
                 heartbeat_ms=None, drain_ms=5000):
        env = os.environ
        self.site = site or Site.from_environment()
        self.type, self.version, self.capabilities, self.drain_ms = type, version, list(capabilities), drain_ms
        self.node = node or env.get("REEVE_NODE") or os.uname().nodename.split(".")[0].lower()
        self.name = name or env.get("REEVE_WORKER") or type
        self.run_number, self.fence = int(env.get("REEVE_RUN", 0)), int(env.get("REEVE_FENCE", 0))
        self.heartbeat = (heartbeat_ms or int(env.get("REEVE_HEARTBEAT_MS", 20000))) / 1000
        self._handlers, self._reconciles = {}, {}
        self._lock = threading.Condition(threading.RLock())
        self._links = {queue: _Link(queue, jobs, prefetch) for queue, jobs in queues.items()}
        self._epoch = self._floor = 0
        self._started_at, self._status_at, self._status_due = now_ms(), 0.0, 0.0
        self._paused = self._offline = self._draining = False
        self._leave, self._exit, self._replies = threading.Event(), 0, collections.OrderedDict()
        self._done = self._failed = 0
        self.session = None

    # ---- what a program says

    def job(self, type):
        """Decorator: the handler of a type of jobs; "*" = of whatever has none."""
        return lambda handler: self._handlers.setdefault(type, handler)

    def reconcile(self, type):
        return lambda handler: self._reconciles.setdefault(type, handler)

    def leave(self, exit_code=0):
        self._exit = self._exit or exit_code
        self._leave.set()

    def run(self, signals=True):
        """Until SIGTERM, SIGINT or leave(); the exit code."""
        if signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: os._exit(1) if self._leave.is_set() else self.leave())
        self._notify = int(os.environ.get("REEVE_NOTIFY_FD", -1))
        self.session = Session(self.site, self, self.name)
        self.session.start()
        for target in [self._tend, *(lambda link=link: self._work(link) for link in self._links.values()
                                     for _ in range(link.concurrency))]:
            threading.Thread(target=target, daemon=True).start()
        while not self._leave.wait(3600):
            pass
        if self._exit != 125:
            self._drain()
        # Of two holders the other's status stands now: no goodbye over it [session-7].
        self.session.close(None if self._exit == 125 else (self._topic("status"), self._status(offline=True)))
        return self._exit

    def _drain(self):
        with self._lock:
            self._draining = True
            for link in self._links.values():
                link.tell = True
                while link.waiting:
                    self._end(link.waiting.popleft(), {"outcome": "released"})
            self._lock.notify_all()
            running = lambda: [j for l in self._links.values() for j in l.hand.values() if j._begun and not j._over]
            self._lock.wait_for(lambda: not running(), self.drain_ms / 1000)
            for job in running():
                self._tell_cancel(job, "stop", 1000)
            self._lock.wait_for(lambda: not running(), 1.5)
            said = lambda: not any(l.pending or any(e for _, e in l.sent.values()) for l in self._links.values())
            self._lock.wait_for(said, 2)

    # ---- presence [session-1..8]

    def _topic(self, leaf):
        return self.site.topic(f"worker/{self.node}/{self.name}/{leaf}")

    def next_epoch(self):
        with self._lock:
            # From here on it is ours: what the broker kept of the session before arrives ahead of opened().
            self._epoch = self._floor = min(max(now_ms(), self._floor + 1), EPOCH_MAX)
            return self._epoch, self._topic("lwt")

    def topics(self):
        return [(self._topic("cmd/+"), False), (self._topic("job"), False), (self._topic("lwt"), True), (self._topic("status"), True)]

    def opened(self, _epoch):
        with self._lock:
            self._publish_status()
            for link in self._links.values():
                link.send_again()
                link.seq, link.got, link.hello = 0, 0, True
            self._lock.notify_all()

    def received(self, topic, payload, retained):
        leaf = topic[len(self._topic("")):]
        with self._lock:
            if leaf == "job" and not retained:
                self._on_batch(msgpack.unpackb(payload))
            elif leaf == "lwt" and payload and self._epoch <= msgpack.unpackb(payload)["epoch"] < EPOCH_MAX:
                self._outbid(msgpack.unpackb(payload)["epoch"])
            elif leaf == "status":
                self._on_status(msgpack.unpackb(payload) if payload else None, retained)
            elif leaf.startswith("cmd/"):
                self._on_command(leaf[4:], payload, retained)

    def _outbid(self, epoch):
        self._floor = max(self._floor, epoch)
        self.session.drop()

    def _on_status(self, seen, retained):
        if seen is None:
            self._status_due = max(self._status_at + 1, time.monotonic())
            return
        own = (self._epoch, self._started_at, os.getpid())
        other = (seen["epoch"], seen.get("started_at", 0), seen.get("pid", 0))
        if seen["epoch"] >= EPOCH_MAX or (other <= own and (retained or other[1:] == own[1:])):
            return
        if other < own:
            self._status_due = max(self._status_at + 1, time.monotonic())
        elif retained or seen.get("state") == "offline":
            self._outbid(seen["epoch"])
        else:
            say("error", f"session cause=duplicate worker={self.name} epoch={self._epoch} other_epoch={seen['epoch']} leaving")
            self.session.publish(self.site.topic(f"alarm/duplicate/{self.name}"), {
                "kind": "duplicate", "node": self.node, "worker": self.name, "epoch": self._epoch, "pid": os.getpid(),
                "other_epoch": seen["epoch"], "other_pid": seen.get("pid", 0), "at": now_ms()}, True, 600)
            self.leave(125)

    def _jobs(self):
        return sum(not job._over for link in self._links.values() for job in link.hand.values())

    def _status(self, offline=False):
        availability = ("offline" if offline or self._offline else "draining" if self._draining else "paused" if self._paused
                        else "processing" if self._jobs() else "idle")
        return {"epoch": self._epoch, "run": self.run_number, "state": "offline" if offline else "online",
                "availability": availability, "pid": os.getpid(), "type": self.type, "version": self.version,
                "capabilities": self.capabilities, "queues": sorted(self._links), "jobs": self._jobs(), "safe_to_stop": True,
                "work": {"done": self._done, "failed": self._failed},
                "heartbeat_ms": int(self.heartbeat * 1000), "ttl_ms": int(self.heartbeat * 3000),
                "started_at": self._started_at, "at": now_ms()}

    def _publish_status(self):
        self._status_at = time.monotonic()
        self._status_due = self._status_at + self.heartbeat * random.uniform(0.9, 1.1)
        self.session.publish(self._topic("status"), self._status(), True, self.heartbeat * 3 + 1)

    def _status_soon(self):
        """A change: at once, at most 20 a second."""
        self._status_due = min(self._status_due, self._status_at + 0.05)
        self._lock.notify_all()

    # ---- commands: those that a manager needs to steer it [cmd-1..4]

    def _on_command(self, op, payload, retained):
        if op in DAEMONS_OPS or retained:
            return
        command = msgpack.unpackb(payload) if payload[:1] and payload[0] >= 0x80 else json.loads(payload) if payload[:1] == b"{" else {}
        id, reply_to = command.get("id") or new_id(), command.get("reply_to")
        reply = self._replies.get(id)
        if reply is None:
            phase, more = "done", {}
            if command.get("expires_at", now_ms()) < now_ms():
                phase = "expired"
            elif op in ("pause", "resume", "offline", "online", "drain"):
                self._paused = {"pause": True, "resume": False}.get(op, self._paused)
                self._draining = {"drain": True, "resume": False}.get(op, self._draining)
                self._offline = {"offline": True, "online": False}.get(op, self._offline)
                for link in self._links.values():
                    link.tell = True
                self._status_soon()
            elif op == "describe":
                more = {"result": {"type": self.type, "queues": {q: l.concurrency for q, l in self._links.items()},
                                   "types": sorted(self._handlers), "jobs": self._jobs()}}
            else:
                phase, more = "rejected", {"code": "not_found", "message": f"a worker of type {self.type} has no command {op}"}
            reply = {"id": id, "seq": 1, "phase": phase, **more, "by": f"{self.node}/{self.name}", "epoch": self._epoch, "at": now_ms()}
            self._replies[id] = reply
            if len(self._replies) > 1024:
                self._replies.popitem(last=False)
        if reply_to:
            self.session.publish(reply_to, reply)

    # ---- jobs come in

    def _on_batch(self, batch):
        link = self._links.get(batch["queue"])
        if link is None or batch["worker_epoch"] != self._epoch or batch["manager_epoch"] < link.manager_epoch:
            return
        now = time.monotonic()
        if batch["manager_epoch"] > link.manager_epoch:
            if link.manager_epoch:  # it may have nothing of what the one before had
                link.send_again()
            link.manager_epoch, link.got = batch["manager_epoch"], 0
            link.recent.clear()  # what it gives is new: a queue in memory has begun to count anew with it
        link.lease = batch.get("lease_ms", 15000) / 1000
        seq, counted = batch.get("seq", 0), any(batch.get(key) for key in ("jobs", "cancels", "abandons"))
        missed = seq > link.got + counted  # one before it was lost: what that abandoned may be confirmed by this one's ack
        link.got = seq if batch.get("hello") else max(link.got, seq)
        for notice in batch.get("abandons", ()):
            self._abandon(link, (notice["id"], notice["attempt"]), notice.get("reason") or "fenced")
        if batch.get("hello") or missed:  # the report that answers is followed by all that it has not acknowledged
            link.hello = True
            link.send_again()
        else:
            self._on_ack(link, batch.get("ack", 0))
        for item in batch.get("jobs", ()):
            self._take(link, item, now)
        for notice in batch.get("cancels", ()):
            job = link.hand.get((notice["id"], notice["attempt"]))
            if job is not None and not job._over:
                self._tell_cancel(job, notice.get("reason") or "cancelled", notice.get("grace_ms", 10000))
        if batch.get("jobs"):
            link.tell = True
        self._status_soon()

    def _on_ack(self, link, ack):
        for seq in [seq for seq in link.sent if seq <= ack]:
            at, entries = link.sent.pop(seq)
            link.confirmed = max(link.confirmed, at)
            for entry in entries:
                entry.stored = True
                if entry.waiter:
                    entry.waiter.set()
                if entry.ends:
                    link.hand.pop((entry["id"], entry["attempt"]), None)

    def _take(self, link, item, now):
        key = (item["id"], item["attempt"])
        if key in link.hand or link.recent.get(item["id"], 0) >= item["attempt"]:
            return  # the same attempt twice is one
        for other in [k for k in link.hand if k[0] == item["id"]]:
            self._abandon(link, other, "fenced")
        if not any(not job._over for job in link.hand.values()):
            link.confirmed = max(link.confirmed, now)
        link.recent[item["id"]] = item["attempt"]
        if len(link.recent) > 10000:
            link.recent.popitem(last=False)
        job = Job(self, link, item)
        link.hand[key] = job
        handlers = self._reconciles if job.reconciling else self._handlers
        if job.type not in handlers and "*" not in handlers:
            self._end(job, {"outcome": "released"})
        else:
            link.waiting.append(job)

    def _tell_cancel(self, job, reason, grace_ms):
        if not job._begun:
            job._link.waiting.remove(job)
            self._end(job, {"outcome": "cancelled" if reason == "cancelled" else "released"})
            return
        job.cancelled = reason
        job._end_at = min(job._end_at or 1e18, time.monotonic() + grace_ms / 1000)
        job._cancel.set()

    def _abandon(self, link, key, reason):
        """No longer ours: what it says is dropped."""
        job = link.hand.get(key)
        if job is None:
            return
        link.forget(job)
        if job in link.waiting:
            link.waiting.remove(job)
        if not job._over:
            job._over, job.cancelled = True, reason
            link.stuck += job._begun
            job._cancel.set()
        self._lock.notify_all()

    # ---- jobs are done

    def _work(self, link):
        while True:
            with self._lock:
                self._lock.wait_for(lambda: link.waiting)
                job = link.waiting.popleft()
                job._begun = True
                if job.timeout_ms:
                    job._end_at = time.monotonic() + job.timeout_ms / 1000
            end = self._call(job)
            with self._lock:
                if job._over:
                    link.stuck, link.tell = link.stuck - 1, True
                    self._lock.notify_all()
                else:
                    self._end(job, end)

    def _call(self, job):
        handlers = self._reconciles if job.reconciling else self._handlers
        try:
            result = handlers.get(job.type, handlers.get("*"))(job)
            return {"outcome": "done", **({"data": result} if result is not None else {})}
        except Retry as error:
            return {"outcome": "retry", "error": str(error), **({"delay_ms": error.delay_ms} if error.delay_ms is not None else {})}
        except Fail as error:
            return {"outcome": "failed", "error": str(error)}
        except NotDone:
            return {"outcome": "not_done"} if job.reconciling else {"outcome": "retry", "error": "not done"}
        except Cancelled as error:
            return self._end_of_cancelled(job.cancelled or str(error) or "cancelled")
        except BaseException as error:  # SystemExit of a handler ends the attempt, not the worker
            return {"outcome": "retry", "error": f"{type(error).__name__}: {error}"}

    @staticmethod
    def _end_of_cancelled(reason):
        if reason == "cancelled":
            return {"outcome": "cancelled"}
        return {"outcome": "released"} if reason == "stop" else {"outcome": "retry", "error": reason}

    def _end(self, job, end):
        """Under the lock: the one word that ends this attempt."""
        try:
            self._add(job, end, ends=True)
        except Exception as error:  # a result that msgpack can't hold, or that is too large for a message
            self._add(job, {"outcome": "failed", "error": f"its result can't be told: {error}"}, ends=True)
        job._over = True
        self._done += end["outcome"] == "done"
        self._failed += end["outcome"] in ("retry", "failed")
        self._status_soon()

    def _add(self, job, entry, ends=False, waiter=None):
        entry = _Entry(id=job.id, attempt=job.attempt, **entry)
        entry.ends, entry.waiter, entry.size = ends, waiter, len(msgpack.packb(entry))
        if entry.size > MESSAGE_BYTES_MAX:
            raise Error(f"{entry.size} bytes do not fit into a message")
        job._link.pending.append(entry)
        self._lock.notify_all()
        return entry

    def _note(self, job, entry):
        with self._lock:
            if not job._over:
                if entry["outcome"] == "progress":
                    job._link.progress[job.id, job.attempt] = _Entry(id=job.id, attempt=job.attempt, **entry)
                    self._lock.notify_all()
                else:
                    self._add(job, entry)

    def _store(self, job, entry):
        waiter = threading.Event()
        with self._lock:
            if job._over:
                raise Cancelled(job.cancelled or "fenced")
            entry = self._add(job, entry, waiter=waiter)
        waiter.wait()
        if not entry.stored:
            raise Cancelled(job.cancelled or "fenced")

    # ---- the one thread that speaks: reports, status, leases, watchdog

    def _tend(self):
        started, ready_said, watchdog = time.monotonic(), self._notify < 0, int(os.environ.get("REEVE_WATCHDOG_MS", 0)) / 3000
        barked = 0.0
        while True:
            with self._lock:
                now = time.monotonic()
                busy = False
                for link in self._links.values():
                    busy = bool(link.hand or link.pending or link.sent) or busy
                    self._keep_lease(link, now)
                    while self.session.ready.is_set() and self._report(link, now):
                        pass
                if self._status_at and now >= self._status_due and not self._leave.is_set():
                    self._publish_status()
                self._lock.wait(max(0.001, min(0.05 if busy else 0.25, self._status_due - now)))
            if not ready_said and (self.session.ready.is_set() or now - started > 5):
                ready_said = True
                os.write(self._notify, b"READY=1\n")
            if self._notify >= 0 and watchdog and now - barked >= watchdog:
                barked = now
                os.write(self._notify, b"WATCHDOG=1\n")

    def _keep_lease(self, link, now):
        """Out of time, silent, and what nobody acknowledges [job-14]."""
        for key, job in list(link.hand.items()):
            if job._over or not job._begun:
                continue
            if now - link.confirmed > link.lease:
                self._abandon(link, key, "lease")
            elif job._end_at is not None and now >= job._end_at:
                if job.cancelled is None:
                    self._tell_cancel(job, "timeout", 1000)
                    job._end_at = now + 1
                else:  # its grace is over
                    link.stuck += 1
                    self._end(job, self._end_of_cancelled(job.cancelled))
        if link.waiting and now - link.confirmed > link.lease:
            for job in list(link.waiting):
                self._abandon(link, (job.id, job.attempt), "lease")
        late = {seq for seq, (at, entries) in link.sent.items() if entries and now - at > max(1.0, link.lease / 5)}
        if late:
            link.send_again(late)
        while len(link.sent) > 100:  # reports without entries need no answer
            seq = next((seq for seq, (_, entries) in link.sent.items() if not entries), None)
            if seq is None:
                break
            del link.sent[seq]

    def _report(self, link, now):
        """One report, if there is something to say; True when there may be more."""
        in_hand = any(not job._over for job in link.hand.values())
        due = now - link.said >= (min(link.lease / 4, self.heartbeat) if in_hand else self.heartbeat)
        unanswered = sum(1 for at, entries in link.sent.values() if entries and now - at < 0.2)
        if not (link.hello or link.tell or due or link.pending or link.progress):
            return False
        if unanswered >= REPORTS_OPEN_MAX and not (link.hello or due):
            return False  # what piles up meanwhile travels together
        entries, size = [], 0
        while link.pending and len(entries) < ENTRIES_MAX and (not entries or size + link.pending[0].size < REPORT_BYTES_MAX):
            entries.append(link.pending.popleft())
            size += entries[-1].size
        kept = [entry for entry in entries if entry["outcome"] != "log"]
        progress, link.progress = list(link.progress.values())[:ENTRIES_MAX], {}
        takes = not (self._paused or self._offline or self._draining or self._leave.is_set())
        report = {"worker": f"{self.node}/{self.name}", "epoch": self._epoch, "seq": link.seq + 1, "got": link.got,
                  "capacity": max(0, link.concurrency + link.prefetch - link.stuck) if takes else 0, "manager_epoch": link.manager_epoch}
        if link.hello:
            report.update(hello=True, types=sorted(self._handlers), reconciles=sorted(self._reconciles),
                          hand=[list(key) for key in link.hand])
        if entries or progress:
            report["entries"] = [dict(entry) for entry in progress + entries]
        if not self.session.publish(self.site.topic(f"queue/{link.queue}/report"), report):
            link.pending.extendleft(reversed(entries))
            return False
        link.seq += 1
        link.sent[link.seq] = (now, kept)
        link.said, link.tell, link.hello = now, False, False
        return bool(link.pending)


# ---- by hand ------------------------------------------------------------------------------------------------------------

def main(arguments=None):
    parser = argparse.ArgumentParser(prog="reeve_client.py", description="Puts a job into a queue of a Reeve site and waits for it, or "
                                     "does the jobs of a queue by echoing them. As a module: see its docstring.")
    parser.add_argument("--site", default=os.environ.get("REEVE_SITE", ".reeve"), help="directory of `reeve up`")
    parser.add_argument("--broker-file", help="JSON with url, username, password, instead of a site")
    parser.add_argument("--root", default="reeve/v1/local", help="with --broker-file")
    parser.add_argument("--role", default="operator", help="user of the site's broker; worker for echo")
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add", help="put a job in; prints its id")
    add.add_argument("queue")
    add.add_argument("type")
    add.add_argument("payload", nargs="?", default="null", help="JSON")
    add.add_argument("--id")
    add.add_argument("--wait", action="store_true", help="and print its result")
    echo = commands.add_parser("echo", help="a worker that answers each job with its payload")
    echo.add_argument("queue")
    echo.add_argument("--node", default=None)
    given = parser.parse_args(arguments)
    site = Site.from_file(given.broker_file, given.root) if given.broker_file else Site.from_directory(given.site, given.role)
    if given.command == "echo":
        worker = Worker("echo", {given.queue: 1}, site, node=given.node)
        worker.job("*")(lambda job: job.payload)
        return worker.run()
    with Producer(site) as producer:
        job = producer.enqueue(given.queue, given.type, json.loads(given.payload), id=given.id)
        print(job if not given.wait else json.dumps(producer.wait(given.queue, job).get("result")))
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except (Error, OSError, ValueError, KeyError) as problem:
        say("error", str(problem))
        raise SystemExit(1)
