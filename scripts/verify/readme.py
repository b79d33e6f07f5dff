"""Runs what README.md shows between its marks `path`, as somebody would who pastes it into a terminal, and compares what it shows.

Only addresses are replaced, by free ports. A block of JSON is what the block before it has to answer; the last answer has to have the
event that was sent, in the metric that was written after it.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 300
PATH = re.compile(r"<!-- path -->\n(.*?)<!-- end of the path -->", re.DOTALL)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    binary = parser.parse_args().binary.resolve()
    blocks = BLOCK.findall(PATH.search((ROOT / "README.md").read_text())[1])
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        answers = run(script(blocks), Path(folder), binary)
    compared = 0
    last = None
    for number, (language, text) in enumerate(blocks):
        if language == "json":
            expect(json.loads(text), last)
            compared += 1
        else:
            last = answers[number]
    if not compared:
        raise SystemExit("readme: no answer was compared")
    rows = json.loads(last.splitlines()[-1])["linhas"]
    ours = sum(row["eventos"] for row in rows if row["canal"] == "totem")
    if ours != 1:
        raise SystemExit(f"readme: {ours} events of `totem` in {rows}, and one was sent")
    print(f"readme: {len(answers)} blocks in {time.monotonic() - began:.0f} s, every answer as it is shown")
    return 0


def script(blocks: list[tuple[str, str]]) -> str:
    """One shell for all, so that its jobs and folder stay; each block's answer goes to a file of its own."""
    lines = ["set -eo pipefail", "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT"]
    for number, (language, text) in enumerate(blocks):
        match language:
            case "sh":
                lines.append(f"{{\n{text}}} > answer-{number}")
            case "json":
                pass
            case _:
                raise SystemExit(f"readme: a block of {language} cannot be run")
    kafka, api = free_port(), free_port()
    text = "\n".join(lines) + "\n"
    text = text.replace("vitral demo", f"vitral demo --kafka 127.0.0.1:{kafka} --api 127.0.0.1:{api} --sql 127.0.0.1:0")
    return text.replace("localhost:9092", f"127.0.0.1:{kafka}").replace("127.0.0.1:8080", f"127.0.0.1:{api}")


def run(text: str, folder: Path, binary: Path) -> dict[int, str]:
    programs = folder / "programs"
    programs.mkdir()
    (programs / "vitral").symlink_to(binary)
    work = folder / "work"
    shutil.copytree(ROOT / "examples", work / "examples")
    # As for somebody new: no configuration of ours.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VITRAL")}
    environment["PATH"] = f"{programs}:{Path(sys.executable).parent}:{environment['PATH']}"
    shell = subprocess.Popen(["bash", "-c", text], cwd=work, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        _, errors = shell.communicate(timeout=PATIENCE_SECONDS)
        why = f"exit {shell.returncode}"
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGTERM)
        _, errors = shell.communicate()
        why = f"not done within {PATIENCE_SECONDS} s"
    answers = {int(path.name.partition("-")[2]): path.read_text() for path in sorted(work.glob("answer-*"))}
    if shell.returncode != 0:
        log = (work / "demo.log").read_text() if (work / "demo.log").exists() else ""
        raise SystemExit(f"readme: {why}\n{errors[-3000:]}\n{log[-3000:]}\nanswers: {answers}")
    return answers


def expect(shown: object, answer: str) -> None:
    seen = json.loads(answer.splitlines()[-1])
    if seen != shown:
        raise SystemExit(f"readme: shows {json.dumps(shown)}, and the answer is {json.dumps(seen)}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
