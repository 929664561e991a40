"""docs/command-worker.md, taken by its word: a script and eight lines of YAML are a worker."""
import json
import re

import harness
from site_under_test import Site

PAGE = (harness.SOURCE / "docs/command-worker.md").read_text()
FOLDER = "/tmp/reeve-demo"


def block(language, number=0):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)[number]


def install(folder, name, text):
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)


def test_a_shell_script_with_eight_lines_of_yaml(tmp_path):
    install(tmp_path, "count.sh", block("sh"))
    yaml = block("yaml")
    assert yaml.count("\n") == 8
    (tmp_path / "file").write_text("one\ntwo\n")
    with Site(tmp_path / "site", config=yaml.replace(FOLDER, str(tmp_path))) as site:
        site.reeve("queue", "create", "files")
        done = site.reeve("job", "add", "files", "count", "--payload", json.dumps({"file": str(tmp_path / "file")}), "--wait")
        assert json.loads(done.stdout) == {"lines": 2, "bytes": 8}
        failed = site.run("job", "add", "files", "count", "--payload", json.dumps({"file": "/etc/nothing"}), "--wait", check=1)
        assert "exit:65: no such file: /etc/nothing" in failed.stderr
        site.json("apply", "-f", "-", input=block("yaml", 1).replace(FOLDER, str(tmp_path)))
        install(tmp_path, "pages.py", block("python"))
        site.reeve("queue", "create", "pages")
        done = site.reeve("job", "add", "pages", "scan", "--id", "scan-1", "--payload", '{"pages": 3, "seconds": 0.01}', "--wait")
        assert json.loads(done.stdout) == {"pages": 3}
        assert "attempt 1 begins behind page 0" in site.reeve("job", "logs", "pages", "scan-1").stdout
