"""Queues and jobs of a whole site, with its own manager and a probe as the worker: from making a queue to looking at the dead letters."""
import json
import os
import signal
import subprocess

import harness
import pytest
from site_under_test import Site

WORKERS = {"workers": [{"name": "probe-1", "type": "probe", "config": {"queues": [{"queue": "mail", "concurrency": 4, "prefetch": 64}]}}]}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("jobs") / "site") as site:
        site.reeve("queue", "create", "mail", "--attempts", "1")  # before who works for it comes
        site.reeve("apply", "-f", "-", input=json.dumps(WORKERS))
        yield site


def counts(site, queue):
    return site.json("queue", "show", queue)["status"]


def test_the_tour(site):
    assert site.reeve("queue", "create", "mail", "--attempts", "1").stdout == "queue mail: unchanged\n"
    assert "differs in attempts" in site.reeve("queue", "create", "mail", check=1).stderr
    assert json.loads(site.reeve("job", "add", "mail", "echo", "-p", '{"to": "kim"}', "--wait").stdout) == {"to": "kim"}
    done = site.reeve("job", "add", "mail", "fail", "-p", '{"error": "no such person"}', "--id", "f1", "--wait", check=1)
    assert "no such person" in done.stderr
    assert site.json("job", "ls", "mail", "--state", "failed")["jobs"][0]["id"] == "f1"
    shown = site.json("job", "show", "mail", "f1")
    assert shown["state"] == "failed" and shown["payload"] == {"error": "no such person"}
    assert "1 job retried" in site.reeve("queue", "retry", "mail", "--error", "*person*").stdout
    assert "0 jobs retried" in site.reeve("queue", "retry", "mail", "--error", "other*").stdout
    assert "added, on disk" in site.reeve("job", "add", "mail", "nobody-does-this", "--id", "lonely").stdout
    assert "nobody-does-this" in site.reeve("job", "explain", "mail", "lonely").stdout
    assert "lonely" in site.reeve("job", "add", "mail", "echo", "--id", "lonely", check=1).stderr  # another body
    assert "1 job cancelled" in site.reeve("job", "cancel", "mail", "lonely").stdout
    done = site.reeve("job", "cancel", "mail", "lonely", "nobody", check=1)
    assert "lonely" in done.stderr and "nobody" in done.stderr
    assert "did you mean" in site.reeve("job", "add", "mial", "echo", check=1).stderr
    done = site.reeve("job", "add", "mail", "log", "-p", '{"lines": 3}', "--id", "talks", "--wait")
    assert len(site.reeve("job", "logs", "mail", "talks").stdout.splitlines()) >= 1


def test_a_queue_is_paused_and_emptied(site):
    site.reeve("queue", "pause", "mail")
    site.reeve("job", "add", "mail", "--file", "-", input='{"type": "echo"}\n' * 25 + '{"type": "echo", "delay_ms": 3600000}\n')
    assert (counts(site, "mail")["waiting"], counts(site, "mail")["delayed"]) == (25, 1)
    assert "paused" in site.reeve("queue", "show", "mail").stdout
    assert "26 jobs removed" in site.reeve("queue", "purge", "mail").stdout
    site.reeve("queue", "resume", "mail")
    harness.wait_until(lambda: [one["state"] for one in site.json("queue", "ls", "mail")["queues"]] == ["running"], what="status of mail")


def test_100000_jobs_of_a_pipe_are_in_the_queue(site):
    """Complete, also when the same import is run again; with the wrong lines told."""
    site.reeve("queue", "create", "bulk")
    text = "".join(json.dumps({"type": "echo", "payload": {"n": i, "text": "x" * 70}}) + "\n" for i in range(100000))
    answer = json.loads(site.reeve("job", "add", "bulk", "--file", "-", "--batch-id", "b", "--json", input=text).stdout)
    assert answer["accepted"] == 100000 and answer["complete"] and answer["ok"], answer
    assert counts(site, "bulk")["waiting"] == 100000
    answer = json.loads(site.reeve("job", "add", "bulk", "--file", "-", "--batch-id", "b", "--json", input=text).stdout)
    assert (answer["accepted"], answer["duplicates"]) == (0, 100000)
    assert counts(site, "bulk")["waiting"] == 100000
    done = site.reeve("job", "add", "bulk", "--file", "-", check=1, input='{"type": "echo"}\n{"type": "echo",}\n')
    assert "standard input:2:17: " in done.stderr and "1 job added" in done.stdout
    assert "force" in site.reeve("queue", "rm", "bulk", check=1).stderr
    site.reeve("queue", "rm", "bulk", "--force")


def test_a_manager_that_is_killed_loses_and_doubles_nothing(site):
    """SIGKILL in the middle of an import: the daemon starts it again, and the import goes on by itself."""
    site.reeve("queue", "create", "risky")
    process = subprocess.Popen([harness.BIN / "reeve", "job", "add", "risky", "echo", "--file", "-", "--batch-id", "b", "--json"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**site.env, "REEVE_SITE": str(site.directory)})
    for part in range(4):
        for i in range(15000):
            process.stdin.write(f'{{"payload": {part * 15000 + i}}}\n')
        process.stdin.flush()
        if part in (1, 2):
            before = site.json("fleet", "show", "manager")["process"]["run"]
            os.kill(site.json("fleet", "show", "manager")["process"]["pid"], signal.SIGKILL)
            harness.wait_until(lambda: site.worker("manager")["run"] > before and site.run("fleet", "stats").returncode == 0,
                               60, what="the next run of the manager", interval=0.1)
    out, err = process.communicate(timeout=60)
    answer = json.loads(out)
    assert process.returncode == 0 and answer["accepted"] + answer["duplicates"] == 60000 and answer["rejected"] == 0, out + err
    assert counts(site, "risky")["waiting"] == 60000
    answer = json.loads(site.reeve("job", "add", "risky", "echo", "--file", "-", "--batch-id", "b", "--json",
                                   input="".join(f'{{"payload": {i}}}\n' for i in range(60000))).stdout)
    assert (answer["accepted"], answer["duplicates"]) == (0, 60000)  # each of them, as it was
    site.reeve("queue", "rm", "risky", "--force")


def test_an_import_is_waited_for(site):
    text = "".join(json.dumps({"type": "fail" if i % 50 == 7 else "echo", "payload": {"n": i}}) + "\n" for i in range(500))
    answer = json.loads(site.reeve("job", "add", "mail", "--file", "-", "--wait", "--json", input=text, check=1).stdout)
    assert (answer["accepted"], answer["completed"], answer["failed"]) == (500, 490, 10)


def test_a_full_queue_is_waited_for(site):
    """More jobs than the queue may have: the import goes as fast as they are done."""
    file = site.directory.parent / "small.yaml"
    file.write_text("kind: queue\nname: mail\nattempts: 1\njobs_max: 300\n")
    site.reeve("queue", "update", "-f", file)
    answer = json.loads(site.reeve("job", "add", "mail", "echo", "--file", "-", "--json", input='{"payload": 1}\n' * 3000).stdout)
    assert answer["accepted"] == 3000 and answer["sent_again"] > 0, answer
