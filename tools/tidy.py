#!/usr/bin/env python3
"""clang-tidy over the sources of src/, on all cores. A file that was clean is not looked at again until it, a header of
ours that it includes, its compile command, .clang-tidy or clang-tidy itself has changed.

usage: tidy.py BUILD_DIR [PATTERN…]      PATTERN: only files whose path contains it
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


def commands(build):
    """One compile command per file of src/: the production library's where there are two (see cmake/HawserRoom.cmake)."""
    chosen = {}
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        path = Path(entry["file"])
        if not path.is_relative_to(ROOT / "src") or path.stem.endswith("_test"):
            continue
        simulated = "HAWSER_EXPLORE" in entry["command"]
        if path not in chosen or not simulated:
            chosen[path] = (simulated, entry)
    return {path: entry for path, (_, entry) in sorted(chosen.items())}


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
        if patterns and not any(pattern in str(path) for pattern in patterns):
            continue
        marker = cache / inputs.key(path, entry["command"], settings)
        if marker.exists():
            os.utime(marker)
        else:
            work.append((path, marker))
    # The longest first, so that no core idles at the end.
    work.sort(key=lambda item: -item[0].stat().st_size)

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
