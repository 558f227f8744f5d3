#!/usr/bin/env python3
"""clang-tidy over the sources of src/, on all cores. A file that was clean is not looked at again until it, a header of
ours that it includes, its compile command, .clang-tidy or clang-tidy itself has changed.

usage: tidy.py BUILD_DIR [PATTERN…]      PATTERN: only what compiles a file whose path contains it
"""
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIDY = "clang-tidy-19"
INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*["<]([^">]+)[">]', re.M)


def sources(unit):
    """The files of src/ that a compiled file stands for: those that a unity file includes, or itself."""
    files = [unit]
    if unit.name.startswith("unity_"):
        files = [Path(name.decode()) for name in INCLUDE.findall(unit.read_bytes())]
    return [path for path in files if path.is_relative_to(ROOT / "src")]


def commands(build):
    """Compile commands that together cover src/ but for its tests and what only they use: of what is compiled twice, the
    production library's (see cmake/HawserRoom.cmake)."""
    entries = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    entries = [entry for entry in entries if "_test.dir/" not in entry["command"]]
    entries.sort(key=lambda entry: ("HAWSER_EXPLORE" in entry["command"], entry["file"]))
    chosen, covered = {}, set()
    for entry in entries:
        unit = Path(entry["file"])
        files = set(sources(unit))
        if files - covered:
            covered |= files
            chosen[unit] = entry
    return chosen


class Inputs:
    """Hashes of what a file includes, directly or not, out of our own folders."""

    def __init__(self):
        self.direct = {}

    def read(self, path):
        if path not in self.direct:
            text = path.read_bytes()
            places = [path.parent, ROOT / "src", ROOT / "include"]
            found = {(place / name.decode()).resolve() for name in INCLUDE.findall(text) for place in places}
            self.direct[path] = (hashlib.sha256(text).digest(), sorted(p for p in found if p.is_file() and p.is_relative_to(ROOT)))
        return self.direct[path]

    def all(self, path):
        seen, todo = set(), [path]
        while todo:
            current = todo.pop()
            if current not in seen:
                seen.add(current)
                todo += self.read(current)[1]
        return sorted(seen)

    def key(self, path, command, settings):
        digest = hashlib.sha256(settings + command.encode())
        for each in self.all(path):
            digest.update(str(each).encode() + self.read(each)[0])
        return digest.hexdigest()


def main():
    build = Path(sys.argv[1]).resolve()
    patterns = sys.argv[2:]
    cache = ROOT / "build" / "tidy-cache"
    cache.mkdir(parents=True, exist_ok=True)
    settings = (ROOT / ".clang-tidy").read_bytes() + subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout
    inputs, work = Inputs(), []
    database = commands(build)
    (cache / "compile_commands.json").write_text(json.dumps(list(database.values())), encoding="utf-8")
    for path, entry in database.items():
        if patterns and not any(pattern in str(source) for pattern in patterns for source in sources(path)):
            continue
        marker = cache / inputs.key(path, entry["command"], settings)
        if marker.exists():
            os.utime(marker)
        else:
            work.append((path, marker))
    # The longest first, so that no core idles at the end.
    work.sort(key=lambda item: -len(sources(item[0])))

    def check(item):
        path, marker = item
        begin = time.monotonic()
        result = subprocess.run([TIDY, "--quiet", "-p", str(cache), str(path)], capture_output=True, text=True)
        if result.returncode == 0:
            marker.touch()
        return path, result, time.monotonic() - begin

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for path, result, seconds in pool.map(check, work):
            if result.returncode != 0:
                failed += 1
                print(f"{path.relative_to(ROOT)}:\n{result.stdout}{result.stderr}", flush=True)
            elif os.environ.get("TIDY_TIMES"):
                print(f"{seconds:6.1f} s  {path.relative_to(ROOT)}", flush=True)
    for old in cache.iterdir():  # keep what this month used
        if time.time() - old.stat().st_mtime > 30 * 86400:
            old.unlink()
    print(f"clang-tidy: {len(work)} files checked, {failed} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
