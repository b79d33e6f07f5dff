"""Two processes that share a Redis are asked more often than one key may: how many requests they allow together in a window."""

import bisect
import re
import subprocess
import threading
import time
from pathlib import Path

from processes import VITRAL, Failure, Vitral, demo, serve, until

# So long a window that a hundredth of it is more than a busy machine is late.
REQUESTS, WINDOW_SECONDS, SECONDS = 1000, 30, 100
TOLERANCE = 0.01
THREADS, PAUSE_SECONDS = 4, 0.008
PATH = "/metricas?limite=1"
# In the log, once a minute.
ALONE = b"rates are not shared"


def check_rates(folder: Path, redis: str) -> tuple[str, list[str]]:
    config = folder / "rates.toml"
    # With a patience that a busy machine keeps.
    config.write_text(
        f'[cache]\nredis_url = "{redis}"\nredis_timeout_ms = 200\n[access]\nmode = "keys"\n'
        f"[access.rate]\nrequests = {REQUESTS}\nper_seconds = {WINDOW_SECONDS}\n"
    )
    line = [VITRAL, "keys", "create", "--name", "taxas", "--scope", "*:read", "--config", str(config), "--data-dir", str(folder / "data")]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    id, secret = re.search(r"^id\s+(\S+)", said, re.M), re.search(r"^secret\s+(\S+)", said, re.M)
    if id is None or secret is None:
        raise Failure(f"no id and secret in: {said}")
    stream, _ = demo(folder, config, 0)
    processes = [stream, serve("rates", folder, config)]
    try:
        processes[1].start()
        for process in processes:
            process.authorization = {"Authorization": f"Bearer {id[1]}.{secret[1]}"}
            until(f"{process.name} knows the key", lambda process=process: process.answers(PATH))
        # All of them may come again.
        time.sleep(WINDOW_SECONDS + 1)
        known = {process.name: process.log.stat().st_size for process in processes}
        said, faults = judge(asked_for(processes))
        for process in processes:
            for line in process.log.read_bytes()[known[process.name] :].splitlines():
                if ALONE in line:
                    faults.insert(0, f"rates: {process.name} counted by itself: {line.decode(errors='replace')}")
        return said, faults
    finally:
        for process in processes:
            process.kill()


def asked_for(processes: list[Vitral]) -> list[tuple[float, int, str]]:
    """When each request was answered, how, and by whom."""
    seen: list[tuple[float, int, str]] = []
    end = time.monotonic() + SECONDS

    def ask(process: Vitral) -> None:
        while time.monotonic() < end:
            asked = process.ask(PATH)
            seen.append((asked.ended, asked.status, process.name))
            time.sleep(PAUSE_SECONDS if asked.status == 429 else 0)

    threads = [threading.Thread(target=ask, args=(process,)) for process in processes for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(seen)


def judge(seen: list[tuple[float, int, str]]) -> tuple[str, list[str]]:
    faults = [f"rates: answered {status} by {name}" for _, status, name in seen if status not in (200, 429)]
    began, allowed = seen[0][0], [at for at, status, _ in seen if status == 200]
    refused = [at for at, status, _ in seen if status == 429]
    if not refused:
        return "", [*faults, f"rates: none of {len(seen)} requests was refused"]
    # Those that may come at once are used up once one is refused.
    used = refused[0]
    burst = bisect.bisect_left(allowed, used)
    expected = REQUESTS + REQUESTS * (used - began) / WINDOW_SECONDS
    if abs(burst - expected) > TOLERANCE * REQUESTS:
        faults.append(f"rates: {burst} at once before the first was refused, and should be {expected:.0f}")
    windows, start = [], used
    while start + WINDOW_SECONDS <= seen[-1][0]:
        windows.append(bisect.bisect_left(allowed, start + WINDOW_SECONDS) - bisect.bisect_left(allowed, start))
        start += WINDOW_SECONDS / 4
    for count in windows:
        if abs(count - REQUESTS) > TOLERANCE * REQUESTS:
            faults.append(f"rates: {count} allowed in a window of {WINDOW_SECONDS} s, and should be {REQUESTS}")
    by = {name: sum(status == 200 and of == name for _, status, of in seen) for name in {name for _, _, name in seen}}
    if min(by.values()) < REQUESTS / 10:
        faults.append(f"rates: one process has hardly answered: {by}")
    said = f"rates: {min(windows)} to {max(windows)} of {REQUESTS} allowed in {len(windows)} windows, {burst} before the first refusal, {len(refused)} refused"
    return said, faults
