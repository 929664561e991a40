"""Log lines on request: the tail in a reply, new ones on the worker's `log` topic for as long as somebody asks."""
import re

import harness
import msgpack

import nodes
from conftest import three_brokers


def counting(pause="0.01", text="line"):
    return ["sh", "-c", f"i=0; while :; do i=$((i+1)); echo {text} $i; sleep {pause}; done"]


def pieces(admin, worker):
    return admin.history.get(f"worker/{admin.node_name}/{worker}/log", [])


def followed(admin, worker):
    """Numbers of the lines that came by following, in order."""
    return [int(line["text"].split()[1]) for piece in pieces(admin, worker) for line in piece["lines"]
            if re.fullmatch(r"line \d+", line["text"])]


@three_brokers
def test_the_tail_has_the_last_lines_with_time_and_stream(node, admin):
    """`tail` n: the last n, oldest first, each with `at`, `stream` out or err, and its text."""
    admin.apply({"name": "a", "command": ["sh", "-c", "for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; sleep 0.03; done; exec sleep 1000"]})
    lines = harness.wait_until(lambda: (found := admin.log_lines("a")) and found[-1]["text"] == "err 5" and found, what="lines")
    own = [(line["stream"], line["text"]) for line in lines if line["stream"] != "shim"]
    assert set(own) == {(s, f"{s} {i}") for s in ("out", "err") for i in range(1, 6)}, own
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", line["at"]) for line in lines), lines
    assert admin.log_lines("a", 3) == lines[-3:]
    assert admin.log_lines("a", 0) == []


@three_brokers
def test_following_brings_every_new_line_in_order(node, admin):
    """`follow`: new lines on the log topic without a gap, numbered by seq; nothing is published before somebody asks."""
    admin.apply({"name": "a", "command": counting()})
    harness.wait_until(lambda: len(admin.logs("a")) > 5, what="lines")
    assert not pieces(admin, "a")
    reply = admin.do("a", "logs", {"tail": 5, "follow": "1m"})
    assert reply["result"]["follow_ms"] == 60000
    admin.wait(lambda: len(followed(admin, "a")) >= 50)
    numbers = followed(admin, "a")
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), numbers
    last_of_tail = int(reply["result"]["workers"]["a"][-1]["text"].split()[1])
    assert numbers[0] <= last_of_tail + 2, "lines between the tail and the first followed one are lost"
    seqs = [piece["seq"] for piece in pieces(admin, "a")]
    assert seqs == sorted(set(seqs)) and all(piece["dropped"] == 0 for piece in pieces(admin, "a"))


def test_following_ends_with_its_lease(node, admin):
    """follow 200ms, not renewed: it ends; asked again it goes on."""
    admin.apply({"name": "a", "command": counting()})
    admin.do("a", "logs", {"tail": 0, "follow": "200ms"})
    admin.wait(lambda: followed(admin, "a"))

    def quiet():
        """Thirty more lines are written without a piece being published."""
        count = len(pieces(admin, "a"))
        first = len(admin.logs("a", 2000))
        harness.wait_until(lambda: len(admin.logs("a", 2000)) >= first + 30, what="lines")
        return len(pieces(admin, "a")) == count
    harness.wait_until(quiet, what="following ends")
    count = len(pieces(admin, "a"))
    admin.do("a", "logs", {"tail": 0, "follow": "1m"})
    admin.wait(lambda: len(pieces(admin, "a")) > count)


def test_following_goes_on_in_the_next_run_and_through_rotation(node, admin):
    """A restart of the worker and log files that are rotated do not end it."""
    admin.apply({"name": "a", "command": counting("0.001"), "log": {"max_size": "8K", "files": 3}})
    admin.do("a", "logs", {"tail": 0, "follow": "1m"})
    admin.wait(lambda: len(followed(admin, "a")) > 300)
    admin.do("a", "restart")
    admin.wait(lambda: any(piece["run"] == 2 and any(line["text"] == "line 100" for line in piece["lines"])
                           for piece in pieces(admin, "a")), what="lines of run 2")
    files = list((node.state / "logs" / "a").iterdir())
    assert len([f for f in files if f.name == "current" or f.name.startswith(".")]) <= 3, files
    assert all(f.stat().st_size <= 8192 + 4096 for f in files), files


def test_a_writer_that_is_too_fast_is_cut_and_counted_not_queued(node, admin):
    """A worker that writes without a pause: following keeps up in pieces of bounded size, `dropped` counts, memory stays
    bounded, other workers are commanded as fast as ever."""
    admin.apply({"name": "y", "command": ["yes", "x" * 60], "log": {"max_size": "1M", "files": 2}},
                {"name": "b", "command": nodes.SLEEPER})
    before = node.rss()
    admin.do("y", "logs", {"tail": 0, "follow": "1m"})
    admin.wait(lambda: sum(piece["dropped"] for piece in pieces(admin, "y")) > 1000, 40)
    for _ in range(5):
        admin.do("b", "restart")
    assert node.rss() < before + 32 * 1024 * 1024
    assert max(len(m.payload) for m in admin.client.messages if m.topic.endswith("/log")) <= 512 * 1024
    admin.do("y", "kill")


def test_lines_that_are_no_text_are_made_text(node, admin):
    """Bytes that are no UTF-8, NUL, escape sequences, one line of 100 kB: every message decodes; no line is longer
    than the bound."""
    program = ("import sys, time\nout = sys.stdout.buffer\nout.write(b'\\xff\\xfe binary \\x00 \\x1b[31m red\\n')\n"
               "out.write(b'z' * 100000 + b'\\n')\nout.write('ok \\u00e4\\n'.encode())\nout.write(b'end\\n')\nout.flush()\ntime.sleep(1000)\n")
    admin.do("", "apply", {"name": "a", "command": ["/usr/bin/python3", "-c", program]})
    admin.do("a", "logs", {"tail": 0, "follow": "1m"})
    harness.wait_until(lambda: "end" in admin.logs("a", 2000), what="lines")
    lines = admin.logs("a", 2000)
    assert "ok ä" in lines and any("binary" in line for line in lines)
    assert all(len(line) <= 8192 and "\x00" not in line for line in lines)
    assert not admin.undecoded


def test_many_workers_share_one_reply(node, admin):
    """Twelve workers in one `logs`: all in one message below a megabyte; more than 16 are refused with the number."""
    names = [f"w{i}" for i in range(17)]
    admin.apply(*({"name": n, "command": ["sh", "-c", f"for i in $(seq 500); do echo {'x' * 200} $i; done; exec sleep 1000"]} for n in names))
    harness.wait_until(lambda: all((node.state / "logs" / n / "current").stat().st_size > 100000 for n in names), what="logs")
    reply = admin.do("", "logs", {"workers": [f"w{i}" for i in range(12)], "tail": 2000})
    assert len(reply["result"]["workers"]) == 12 and len(msgpack.packb(reply)) < 1 << 20
    assert all(lines and lines[-1]["text"].endswith(" 500") for lines in reply["result"]["workers"].values())
    admin.refused("", "logs", {"workers": "w*"}, "limit", "17")
    for n in names:
        admin.command(n, "kill", wait=False)
