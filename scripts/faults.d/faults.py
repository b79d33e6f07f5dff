"""The register of faults. A fault is a function that gets a World, makes something fail, and returns what was seen."""

import time
from collections.abc import Callable
from typing import NamedTuple


class Failed(Exception):
    """The stream did not survive, or not as it should."""


class LeftOut(Exception):
    """This machine cannot make it fail."""


class Fault(NamedTuple):
    does: str
    expected: str
    run: Callable


FAULTS: dict[str, Fault] = {}


def fault(expected: str, name: str | None = None, does: str | None = None) -> Callable:
    """Registers a function under its name; the first line of its text says what it does."""

    def register(run: Callable) -> Callable:
        FAULTS[name or run.__name__.replace("_", "-")] = Fault(does or run.__doc__.strip().rstrip("."), expected, run)
        return run

    return register


def until(what: str, condition: Callable, within: float = 60) -> object:
    """Polls until the condition holds, and returns what it gave."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise Failed(f"not within {within:.0f} s: {what}")
        time.sleep(0.05)
    return found


def expect(holds: object, why: str) -> None:
    if not holds:
        raise Failed(why)
