#!/usr/bin/env python3
"""usage: fuzz.py SECONDS SEED FUZZ_BUILD [TSAN_BUILD]      SEED: 0 for a new one

Runs every fuzzer for its share of the time, as many at once as there are processors: libFuzzer's on the bytes that come
from outside, the programs of user commands, simulated and with threads, and those of C calls (with threads also under
ThreadSanitizer if there is that build). New inputs are kept in FUZZ_BUILD/corpora, from one run to the next; findings in FUZZ_BUILD/findings. Prints one
table. Exit status: 0 if nothing was found."""
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORPORA = ROOT / "tests/corpora"
SKIPPED = 77  # the machine allows no network namespaces; libFuzzer's own for a finding, unless it is told otherwise
# Shares of the time; the rest have 1 each. The connection manager is what this is for.
SHARES = {"program": 6, "programs, simulated": 4, "programs, threads": 4, "programs, tsan": 4, "calls": 4, "calls, tsan": 4, "mad": 3, "rc_qp": 2, "daemon": 2}


class LibFuzzer:
    """A program with libFuzzer's main."""

    def __init__(self, build, program):
        self.name = program.name.removesuffix("_fuzzer")
        self.program = program
        self.kept = build / "corpora" / self.name
        self.findings = build / "findings" / self.name
        self.log = build / "findings" / f"{self.name}.log"

    def run(self, seconds, seed):
        for folder in (self.kept, self.findings):
            folder.mkdir(parents=True, exist_ok=True)
        seeds = CORPORA / self.name
        with self.log.open("wb") as log:
            status = subprocess.run(
                [self.program, "-error_exitcode=1", f"-max_total_time={seconds}", f"-seed={seed}", "-timeout=60", "-rss_limit_mb=4096",
                 "-print_final_stats=1", f"-artifact_prefix={self.findings}/", self.kept, *([seeds] if seeds.is_dir() else [])],
                stdout=log, stderr=subprocess.STDOUT, check=False, timeout=seconds + 300).returncode
        return status, self.log.read_text(errors="replace")

    def row(self, status, text):
        def number(pattern):
            found = re.findall(pattern, text, re.M)
            return int(found[-1]) if found else 0
        return {"runs": number(r"^stat::number_of_executed_units:\s+(\d+)") or number(r"^#(\d+)\s"),
                "new": number(r"^stat::new_units_added:\s+(\d+)"), "features": number(r" ft: (\d+)"),
                "corpus": number(r" corp: (\d+)"), "findings": int(status not in (0, SKIPPED))}


class Programs:
    """hawser-fuzz-simulated, hawser-fuzz-threads or hawser-fuzz-calls."""

    def __init__(self, name, program, log):
        self.name, self.program, self.log = name, program, log

    def run(self, seconds, seed):
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            status = subprocess.run([self.program, "--time", str(seconds), "--seed", str(seed)], stdout=log,
                                    stderr=subprocess.STDOUT, check=False, timeout=seconds + 600).returncode
        return status, self.log.read_text(errors="replace")

    def row(self, status, text):
        total = re.search(r"^total: (\d+) programs", text, re.M)
        return {"runs": int(total.group(1)) if total else 0, "findings": int(status not in (0, SKIPPED))}


def fuzzers(build, tsan):
    found = [LibFuzzer(build, program) for program in sorted((build / "bin").glob("*_fuzzer"))]
    folder = build / "findings"
    found += [Programs("programs, simulated", build / "bin/hawser-fuzz-simulated", folder / "simulated.log"),
              Programs("programs, threads", build / "bin/hawser-fuzz-threads", folder / "threads.log"),
              Programs("calls", build / "bin/hawser-fuzz-calls", folder / "calls.log")]
    if tsan:
        found += [Programs("programs, tsan", tsan / "bin/hawser-fuzz-threads", folder / "tsan.log"),
                  Programs("calls, tsan", tsan / "bin/hawser-fuzz-calls", folder / "calls-tsan.log")]
    return found


def run(fuzzer, seconds, seed):
    begin = time.monotonic()
    try:
        status, text = fuzzer.run(seconds, seed)
    except subprocess.TimeoutExpired:
        status, text = 1, fuzzer.log.read_text(errors="replace")
    row = {"new": "", "features": "", "corpus": "", **fuzzer.row(status, text), "seconds": round(time.monotonic() - begin)}
    outcome = "skipped" if status == SKIPPED else row["findings"]
    print(f"{fuzzer.name:22}{row['runs']:>11}{row['seconds']:>9}{row['corpus']:>8}{row['new']:>6}{row['features']:>10}"
          f"{outcome:>10}", flush=True)
    if row["findings"]:
        print(f"  {fuzzer.log} ends with:\n" + "\n".join("  | " + line for line in text.splitlines()[-60:]), flush=True)
    return row


def main():
    seconds, seed = float(sys.argv[1]), int(sys.argv[2]) or int(time.time())
    build = Path(sys.argv[3]).resolve()
    tsan = Path(sys.argv[4]).resolve() if len(sys.argv) > 4 else None
    chosen = fuzzers(build, tsan)
    shares = [SHARES.get(fuzzer.name, 1) for fuzzer in chosen]
    jobs = os.cpu_count() or 1
    print(f"seed {seed}\n{'fuzzer':22}{'runs':>11}{'seconds':>9}{'corpus':>8}{'new':>6}{'features':>10}{'findings':>10}")
    with ThreadPoolExecutor(jobs) as pool:
        times = [max(1, round(seconds * jobs * share / sum(shares))) for share in shares]
        order = sorted(range(len(chosen)), key=lambda i: -times[i])  # the long ones first: they end together
        rows = list(pool.map(lambda i: run(chosen[i], times[i], seed), order))
    findings = sum(row["findings"] for row in rows)
    programs = sum(row["runs"] for row, i in zip(rows, order) if chosen[i].name.startswith(("program", "calls")))
    print(f"total: {len(rows)} fuzzers, {sum(row['runs'] for row in rows)} runs ({programs} programs), {findings} findings")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
