#!/usr/bin/env python3
"""usage: explore.py BUILD_DIR SECONDS [SEED]

The long form of the exploration: every mutant against the unchanged sources and, if it is a race, the unit tests; then
the scenarios of the unchanged sources from ever new seeds until the time is over. Prints one table. Exit status: 0 if every mutant was found and nothing else."""
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MUTANTS = ROOT / "tests/explore/mutants"
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
    print(f"mutants: {len(rows)} found of {planted} planted, after {statistics.median(int(row[1]) for row in rows):g} "
          f"schedules (median); {sum(origin.endswith('/8') for origin in origins)} of the eight patches, "
          f"{sum(origin.startswith('#') for origin in origins)} of the later bugs; "
          f"{len(races)} races, which pass the unit tests" if rows else "mutants: none found")


def rules():
    """How many rules of the contract are enforced by each means, by the table of docs/concurrency.md."""
    rows = [line.split("|") for line in RULES.read_text(encoding="utf-8").splitlines() if re.match(r"\| \d+ \|", line)]
    compiled, run, explored = (sum(bool(row[column].strip()) for row in rows) for column in (3, 4, 5))
    return f"rules: {len(rows)}, enforced by the compiler {compiled}, at run time {run}, by exploration {explored}"


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
    explorer = build / "bin" / "hawser-explore"
    missed = mutant_rows(build, explorer, end)
    scenarios, schedules, findings = explore_unchanged(explorer, seed, end)
    print(f"unchanged: {scenarios} scenarios, {schedules} schedules from seed {seed}, {findings} findings")
    print(rules())
    sys.exit(1 if missed or findings else 0)


if __name__ == "__main__":
    main()
