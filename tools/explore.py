#!/usr/bin/env python3
"""usage: explore.py BUILD_DIR SECONDS [SEED]

The long form of the exploration: every mutant against the unchanged sources, then the scenarios of the unchanged sources
from ever new seeds until the time is over. Prints one table. Exit status: 0 if every mutant was found and nothing else."""
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MUTANTS = ROOT / "tests/explore/mutants"
CHECK = ROOT / "tests/explore/check_mutant.py"


def mutant_rows(programs, explorer, end):
    failed = 0
    print(f"{'mutant':34} {'schedules':>9} {'seed':>6}  the mistake")
    for patch in sorted(MUTANTS.glob("*.patch")):
        if time.monotonic() > end:
            print("the time is over: the rest of the mutants was not run")
            return failed + 1
        row = subprocess.run([sys.executable, "-B", CHECK, "--row", patch, explorer,
                              programs / f"hawser-explore-mutant-{patch.stem}"],
                             capture_output=True, text=True, check=False)
        if row.returncode != 0:
            failed += 1
            print(f"{patch.stem:34} NOT FOUND: {row.stderr.strip()[:200]}")
        else:
            print(row.stdout.rstrip(), flush=True)
    return failed


def explore_unchanged(explorer, seed, end):
    """(scenarios, schedules, findings) of all rounds; each round has seeds of its own."""
    scenarios = schedules = findings = 0
    while findings == 0 and (scenarios == 0 or time.monotonic() < end):
        run = subprocess.run([explorer, "--seed", str(seed)], capture_output=True, text=True, check=False)
        total = re.search(r"^total: (\d+) scenarios, (\d+) schedules, (\d+) findings", run.stdout, re.M)
        if not total or int(total.group(3)) > 0:
            sys.stdout.write(run.stdout[-20000:] + run.stderr[-20000:])
            findings += 1
        if total:
            scenarios = int(total.group(1))
            schedules += int(total.group(2))
        seed += 100_000
    return scenarios, schedules, findings


def main():
    build, seconds = Path(sys.argv[1]), float(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    end = time.monotonic() + seconds
    programs = build / "bin"
    explorer = programs / "hawser-explore"
    missed = mutant_rows(programs, explorer, end)
    scenarios, schedules, findings = explore_unchanged(explorer, seed, end)
    print(f"unchanged: {scenarios} scenarios, {schedules} schedules from seed {seed}, {findings} findings")
    sys.exit(1 if missed or findings else 0)


if __name__ == "__main__":
    main()
