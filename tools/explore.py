#!/usr/bin/env python3
"""usage: explore.py BUILD_DIR SECONDS [SEED]

The long form of the exploration: every mutant against the unchanged sources and, if it is a race, the unit tests; then
the scenarios of the unchanged sources from ever new seeds until the time is over. Prints two tables. Exit status: 0 if
every mutant was found and nothing else."""
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MUTANTS = ROOT / "tests/explore/mutants"
INCOMPLETE = 4  # exit status of hawser-explore
RULES = ROOT / "docs/concurrency.md"
CHECK = ROOT / "tests/explore/check_mutant.py"


def mutant_rows(build, explorer, end):
    """Prints a row for each mutant, and what they come to; how many were not found."""
    print(f"{'mutant':36} {'origin':>6} {'schedules':>9} {'seed':>6} {'race':>4} {'unit':>5}  the mistake")
    rows = []
    patches = sorted(MUTANTS.glob("*.patch"))
    for patch in patches:
        if time.monotonic() > end:
            print("the time is over: the rest of the mutants was not run")
            break
        units = sorted((build / "mutants" / patch.stem).glob("*_test"))
        row = subprocess.run([sys.executable, "-B", CHECK, "--row", *(f"--unit={unit}" for unit in units), patch, explorer,
                              build / "bin" / f"hawser-explore-mutant-{patch.stem}"],
                             capture_output=True, text=True, check=False)
        if row.returncode != 0:
            print(f"{patch.stem:36} NOT FOUND: {row.stderr.strip()[:300]}", flush=True)
        else:
            print(row.stdout.rstrip(), flush=True)
            rows.append(row.stdout.split()[1:6])
    summarize(rows, len(patches))
    return len(patches) - len(rows)


def summarize(rows, planted):
    """Rows as printed: origin, schedules, seed, race, unit tests."""
    origins = {row[0] for row in rows}
    races = [row for row in rows if row[3] == "yes"]
    passed = sum(row[4] == "pass" for row in races)
    print(f"mutants: {len(rows)} found of {planted} planted, after {statistics.median(int(row[1]) for row in rows):g} "
          f"schedules (median); {sum(origin.endswith('/8') for origin in origins)} of the eight patches, "
          f"{sum(origin.startswith('#') for origin in origins)} of the later bugs; "
          f"{len(races)} races, of which {passed} passed the unit tests" if rows else "mutants: none found")


def rules():
    """How many rules of the contract are enforced by each means, by the table of docs/concurrency.md."""
    rows = [line.split("|") for line in RULES.read_text(encoding="utf-8").splitlines() if re.match(r"\| \d+ \|", line)]
    compiled, run, explored = (sum(bool(row[column].strip()) for row in rows) for column in (3, 4, 5))
    return f"rules: {len(rows)}, enforced by the compiler {compiled}, at run time {run}, by exploration {explored}"


ROOMS = ("dispatcher-", "cma-", "pair.", "ucm-pair.", "ucm-triple.", "ucm-")  # the first prefix that fits


class Unchanged:
    """What the rounds through the scenarios of the unchanged sources have come to."""

    def __init__(self):
        self.scenarios = {}  # by group, or by name of one that has none
        self.schedules = dict.fromkeys(ROOMS, 0)
        self.findings = dict.fromkeys(ROOMS, 0)
        self.failed = 0

    @staticmethod
    def room(name):
        return next(room for room in ROOMS if name.startswith(room))

    def add(self, output, status):
        groups = re.findall(r"^(\S+): (\d+) scenarios, (\d+) runs", output, re.M)
        alone = re.findall(r"^([^.\s]+): \S+ from seed \d+: (\d+) runs", output, re.M)
        for name, count, runs in groups + [(name, "1", runs) for name, runs in alone]:
            self.scenarios[name] = max(self.scenarios.get(name, 0), int(count))
            self.schedules[self.room(name)] += int(runs)
        for name in re.findall(r"^(\S+): FOUND ", output, re.M):
            self.findings[self.room(name)] += 1
        if status != 0:
            self.failed += 1
            sys.stdout.write(output[-20000:])

    def table(self):
        rows = []
        for room in ROOMS:
            scenarios = sum(count for name, count in self.scenarios.items() if self.room(name) == room)
            rows.append((f"{room}*", scenarios, self.schedules[room], self.findings[room]))
        rows.append(("all", *(sum(row[column] for row in rows) for column in (1, 2, 3))))
        print(f"{'unchanged sources':20} {'scenarios':>9} {'schedules':>10} {'findings':>8}")
        for name, scenarios, schedules, findings in rows:
            print(f"{name:20} {scenarios:>9} {schedules:>10} {findings:>8}")


def explore_unchanged(explorer, seed, end):
    """One round of all scenarios at least, then ever new ones until the time is over, on every processor."""
    unchanged = Unchanged()

    def worker(number):
        round_seed = seed + number * 10_000_000
        first = number == 0
        while first or (time.monotonic() < end and unchanged.failed == 0):
            within = [] if first else ["--within", str(max(1, int(end - time.monotonic())))]
            run = subprocess.run([explorer, "--seed", str(round_seed), *within], capture_output=True, text=True, check=False)
            missed = run.returncode == INCOMPLETE and not first  # a probe, by this seed; the first round reaches them all
            with lock:
                unchanged.add(run.stdout + run.stderr, 0 if missed else run.returncode)
            round_seed += 100_000
            first = False

    lock = threading.Lock()
    workers = [threading.Thread(target=worker, args=(number,)) for number in range(os.cpu_count() or 1)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    return unchanged


def main():
    build, seconds = Path(sys.argv[1]), float(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    end = time.monotonic() + seconds
    explorer = build / "bin" / "hawser-explore"
    missed = mutant_rows(build, explorer, end)
    unchanged = explore_unchanged(explorer, seed, end)
    unchanged.table()
    print(rules())
    sys.exit(1 if missed or unchanged.failed else 0)


if __name__ == "__main__":
    main()
