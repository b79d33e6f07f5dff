"""The second half of scripts/coverage: lines covered by crate, and the verdict."""

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Percent of lines. Crates whose other side is a service are covered where that service runs.
FLOOR = 80.0
FLOOR_OF = {"connect-kafka": 50.0, "connect-postgres": 40.0, "commands": 60.0, "demo": 60.0, "vitral": 60.0}
# Tests are not what is to be covered, nor is code of others.
LEFT_OUT = re.compile(r"/tests/|/tests\.rs$|/benches/|_tests\.rs$|/\.cargo/|/rustc/|/build\.rs$")


def main() -> int:
    folder, llvm_cov, outcome = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    programs = sorted(set(executables(folder / "built.json")))
    if not programs:
        raise SystemExit("coverage: cargo has built no tests")
    objects = [programs[0], *(word for program in programs[1:] for word in ("--object", program))]
    profile = f"--instr-profile={folder / 'all.profdata'}"
    summary = subprocess.run([llvm_cov, "export", "--summary-only", profile, *objects], check=True, capture_output=True, text=True)
    lines = defaultdict(lambda: [0, 0])
    for file in json.loads(summary.stdout)["data"][0]["files"]:
        name = file["filename"]
        if LEFT_OUT.search(name) or not name.startswith(f"{ROOT}/crates/"):
            continue
        crate = Path(name).relative_to(ROOT / "crates").parts[0]
        counts = file["summary"]["lines"]
        lines[crate][0] += counts["covered"]
        lines[crate][1] += counts["count"]
    with open(folder / "lines.txt", "w") as report:
        subprocess.run([llvm_cov, "show", profile, *objects, f"--ignore-filename-regex={LEFT_OUT.pattern}"], check=True, stdout=report)

    below = []
    for crate, (covered, count) in sorted(lines.items()):
        share, floor = 100 * covered / count, FLOOR_OF.get(crate, FLOOR)
        print(f"{crate:20} {covered:6} of {count:6} lines  {share:5.1f} %" + (f"  below {floor:.0f} %" if share < floor else ""))
        if share < floor:
            below.append(crate)
    covered, count = (sum(values) for values in zip(*lines.values()))
    words = f"coverage: {100 * covered / count:.1f} % of {count} lines in {len(lines)} crates"
    if below or outcome != "passed":
        reasons = [f"below their floor: {', '.join(below)}"] * bool(below) + [f"tests failed, see {folder / 'tests.log'}"] * (outcome != "passed")
        print(f"{words}; {'; '.join(reasons)}")
        return 1
    print(f"{words}; every crate has its floor")
    return 0


def executables(built: Path):
    for line in built.read_text().splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("executable"):
            yield message["executable"]


if __name__ == "__main__":
    sys.exit(main())
