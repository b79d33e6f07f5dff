"""The command: which faults to run, one line for each, and the verdict."""

import argparse
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "verify"))

import crashes  # noqa: E402, F401
import deliveries  # noqa: E402, F401
import kafka_faults  # noqa: E402, F401
import snapshots  # noqa: E402, F401
import stores  # noqa: E402, F401
from faults import FAULTS, Failed, LeftOut  # noqa: E402
from services import Services  # noqa: E402
from stream import VITRAL  # noqa: E402
from world import World  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/faults", description="Makes things fail, and judges what the stream made of it.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--list", action="store_true", help="what each fault does, and what is expected")
    parser.add_argument("--keep", action="store_true", help="leave the data and logs of failed ones")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in FAULTS]:
        parser.error(f"no fault is named {', '.join(unknown)}; --list names them")
    names = options.names or list(FAULTS)
    if options.list:
        for name in names:
            print(f"{name:<{WIDTH}} {FAULTS[name].does}. Expected: {FAULTS[name].expected}.")
        return 0
    if not VITRAL.is_file():
        parser.error(f"{VITRAL} is missing: build it, or name another by VITRAL")
    services = Services()
    outcomes = [run(name, services, options.keep) for name in names]
    survived, failed = outcomes.count("ok"), outcomes.count("FAILED")
    left_out = f", {outcomes.count('left out')} left out" if "left out" in outcomes else ""
    print(f"VERDICT: {survived} of {survived + failed} survived{left_out}")
    return 1 if failed or not survived else 0


WIDTH = max(map(len, FAULTS))


def run(name: str, services: Services, keep: bool) -> str:
    world, started = World(name, services), time.monotonic()
    try:
        outcome, words = "ok", FAULTS[name].run(world)
    except LeftOut as reason:
        outcome, words = "left out", reason
    except (Failed, SystemExit) as reason:
        outcome, words = "FAILED", reason
    except Exception:  # A fault in this program does not count as survival either.
        outcome, words = "FAILED", traceback.format_exc(limit=-3)
    world.close(keep=keep and outcome == "FAILED")
    print(f"{outcome:<8} {name:<{WIDTH}} {words} [{time.monotonic() - started:.0f} s]", flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
