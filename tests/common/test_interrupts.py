"""One line and exit code 130 or 143, from any moment: while modules are imported, while others are waited for, in every room."""

import subprocess
import sys
from pathlib import Path

import pytest

from common.interrupts import MESSAGE

ROOMS = sorted(path.parent.name for path in Path(__file__).parents[2].glob("*/__main__.py"))
IMPORTING = """
import builtins, os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell hands down that it is ignored
original = builtins.__import__
def fatal(name, *rest, **more):
    if name == {module!r}:
        builtins.__import__ = original
        os.kill(os.getpid(), {number})
    return original(name, *rest, **more)
builtins.__import__ = fatal
sys.argv = [{room!r}, *{arguments!r}]
runpy.run_module({room!r}, run_name="__main__", alter_sys=True)
"""
RUNNING = """
import os, signal, sys, time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from common import interrupts
interrupts.listen()
from common.console import Command, Json, main
interrupts.GRACE = 0.2

@dataclass(frozen=True, kw_only=True)
class Work(Command):
    json: Json = False
    def run(self, out):
        kill = lambda number=signal.SIGTERM: os.kill(os.getpid(), number)
{body}

sys.argv = ["room", *sys.argv[1:]]
main("room", {{"work": Work, "other": Work}}, "test")
"""
BODIES = {
    "plain": "kill(); time.sleep(30)",
    "twice": "\n".join(["try: kill(); time.sleep(30)", "finally: kill(2); time.sleep(0.05)"]),
    "waiting for a thread": "with ThreadPoolExecutor(1) as pool: pool.submit(time.sleep, 30); time.sleep(0.1); kill()",
    "turned into another error": "\n".join(["try: kill(); time.sleep(30)", "except BaseException: raise ImportError"]),
    "taken for its own": "\n".join(["try: kill(); time.sleep(30)", "except BaseException: time.sleep(30)"]),
    "in a destructor": "type('T', (), {'__del__': lambda _: (kill(), time.sleep(30))})(); time.sleep(30)",
}


def ended(code, *arguments):
    """Exit code, standard output and standard error of a process that runs some code."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_every_room_is_tried():
    assert {"benchmarks", "figures", "gallery", "lm_experiments", "paper", "sims", "theory"} <= set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_an_interrupt_while_modules_are_imported(room):
    begun = ["solvers"] if room == "benchmarks" else ["--help"]  # whose help needs no module of its own
    code = IMPORTING.format(module="tyro", number=2, room=room, arguments=begun)
    assert ended(code) == (130, "", f"error: {MESSAGE}\n")


@pytest.mark.parametrize("way", BODIES)
def test_an_interrupt_while_a_command_works(way):
    code = RUNNING.format(body="\n".join(" " * 8 + line for line in BODIES[way].splitlines()))
    assert ended(code, "work") == (143, "", f"error: {MESSAGE}\n")


def test_an_interrupt_with_json_is_one_document():
    code = RUNNING.format(body=" " * 8 + BODIES["plain"])
    assert ended(code, "work", "--json") == (143, f'{{"error": "{MESSAGE}"}}\n', f"error: {MESSAGE}\n")
    code = RUNNING.format(body=" " * 8 + BODIES["taken for its own"].replace("\n", "\n" + " " * 8))
    assert ended(code, "work", "--json") == (143, f'{{"error": "{MESSAGE}"}}\n', f"error: {MESSAGE}\n")


def test_a_signal_after_the_end_changes_nothing():
    code = RUNNING.format(body="        import atexit; atexit.register(kill); return {}")
    assert ended(code, "work", "--json") == (0, "{}\n", "")
