#!/usr/bin/env python3
"""usage: check_mutant.py [--row] [--unit PROGRAM]… PATCH ORIGINAL MUTANT

Explores the scenarios that the head of PATCH names, with its strategy, in both programs. Passes if
  - ORIGINAL is clean within the bounds, from the same seeds;
  - MUTANT is clean in the schedule without preemptions, the one that an ordinary test runs, unless the head says
    "Race: no": that mistake needs no race, only somebody who tries everything (or a unit test, which it may name,
    replays the race);
  - each PROGRAM passes, again unless "Race: no": unit tests with the mutated files in place of the original ones;
  - MUTANT has a finding that matches, which its own replay line then reproduces. "Finds: crash" and "Finds: abort" are for
    a mutant that uses a wild pointer, or that a library catches in the act.
--row prints a line of the table of `make explore` instead of what was run."""
import argparse
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

FOUND = 3  # exit status, see main.cpp
INCOMPLETE = 4
CRASHES = {"crash": -signal.SIGSEGV, "abort": -signal.SIGABRT}
FIRST_SEED = 1
UNIT_TEST_LIVENESS_S = 120


def head(patch):
    fields = {}
    for line in patch.splitlines():
        if line.startswith("--- "):
            break
        if match := re.match(r"(Mutant|Scenario|Strategy|Runs|Race|Finds): (.*)", line):
            fields[match.group(1)] = match.group(2).strip()
    for field in ("Mutant", "Scenario", "Strategy", "Finds"):
        if field not in fields:
            sys.exit(f"the head of the patch has no \"{field}:\" line")
    return fields


def origin(mistake):
    """Whose mistake it was: "3/8" is the third of the eight patches [spec 3.3], "#27" a later one [spec 4 #27]."""
    if patch := re.search(r"\bspec 3\.(\d)", mistake):
        return f"{patch.group(1)}/8"
    if later := re.search(r"\bspec [^\]]*4 (#\d+)", mistake):
        return later.group(1)
    return "-"


def explore(program, arguments):
    result = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def check_without_preemptions(mutant, fields):
    status, output = explore(mutant, ["--scenario", fields["Scenario"], "--strategy", "dfs:0", "--runs", "1"])
    if status not in (0, INCOMPLETE):
        sys.exit(f"no race: found in the schedule without preemptions (exit status {status}):\n{output[-3000:]}")


def check_unit_tests(programs):
    for program in programs:
        try:
            result = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                                    timeout=UNIT_TEST_LIVENESS_S)
        except subprocess.TimeoutExpired:
            sys.exit(f"no race: {program} does not come to its end")
        if result.returncode != 0:
            sys.exit(f"no race: {program} fails (exit status {result.returncode}):\n{result.stdout[-3000:]}")


def check_crash(mutant, expected, output, status):
    """(seed, schedules)"""
    at = re.search(r"^schedule: (\S+)\nseed: (\d+)\nscenario: (\S+)\nschedules before: (\d+)$", output, re.M)
    if status != expected or not at:
        sys.exit(f"the mutant did not crash as it should (exit status {status})")
    schedule, seed, scenario, before = at.groups()
    again, output = explore(mutant, ["--scenario", scenario, "--seed", seed, "--replay", schedule])
    if again != expected:
        sys.exit(f"the replay did not crash (exit status {again}):\n{output}")
    return seed, int(before) + int(seed) - FIRST_SEED + 1


def check_found(mutant, finds, output, status):
    """(seed, schedules)"""
    if status != FOUND:
        sys.exit(f"the mutant was not found (exit status {status})")
    found = re.search(r"FOUND .*", output).group(0)
    if not re.search(finds, found):
        sys.exit(f"something else was found than \"{finds}\": {found}")
    again = re.search(r"^replay: +hawser-explore (.*)$", output, re.M)
    status, repeated = explore(mutant, shlex.split(again.group(1)))
    if status != FOUND or found not in repeated:
        sys.exit(f"the replay found something else:\n{repeated}")
    schedules = re.search(r"^total: \d+ scenarios, (\d+) schedules", output, re.M).group(1)
    return re.search(r"--seed (\d+)", again.group(1)).group(1), int(schedules)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--row", action="store_true")
    parser.add_argument("--unit", action="append", default=[], metavar="PROGRAM")
    parser.add_argument("patch", type=Path)
    parser.add_argument("original")
    parser.add_argument("mutant")
    asked = parser.parse_args()
    fields = head(asked.patch.read_text(encoding="utf-8"))
    arguments = ["--scenario", fields["Scenario"], "--strategy", fields["Strategy"], "--seed", str(FIRST_SEED)]
    if "Runs" in fields:
        arguments += ["--runs", fields["Runs"]]

    status, output = explore(asked.original, arguments)
    if not asked.row:
        print(f"--- unchanged ---\n{output}")
    if status != 0:
        sys.exit("the unchanged sources are not clean")
    race = not fields.get("Race", "").startswith("no")
    if race:
        check_without_preemptions(asked.mutant, fields)
        check_unit_tests(asked.unit)
    status, output = explore(asked.mutant, arguments + ["--stop"])
    if not asked.row:
        print(f"--- mutant: {fields['Mutant']} ---\n{output}")
    if fields["Finds"] in CRASHES:
        seed, schedules = check_crash(asked.mutant, CRASHES[fields["Finds"]], output, status)
    else:
        seed, schedules = check_found(asked.mutant, fields["Finds"], output, status)
    if asked.row:
        units = "pass" if race and asked.unit else "-"
        print(f"{asked.patch.stem:36} {origin(fields['Mutant']):>6} {schedules:>9} {seed:>6} "
              f"{'yes' if race else 'no':>4} {units:>5}  {fields['Mutant']}")


if __name__ == "__main__":
    main()
