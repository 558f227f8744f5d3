#!/usr/bin/env python3
"""Figures of Hawser on this machine, side by side in one run: `make bench`.

Connects with Debian's cmtime, unmodified, over Hawser, and next to it a plain TCP connect/accept/close loop of the same
count; prints cmtime's table, the ratio, context switches per connection, and memory per idle connected id.
"""
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import time

COUNTS = (1000, 10000)
DESCRIPTORS_PER_CONNECTION = 2  # cmtime makes two completion channels for each connection and side
STOCK_RCVBUF = "212992"
LIVENESS_S = 300


def own_network_namespace() -> None:
    """As root, run in a network namespace of our own: nothing of the machine's is in the way, nothing stays behind."""
    if os.geteuid() == 0 and "HAWSER_BENCH_NAMESPACE" not in os.environ and shutil.which("unshare"):
        os.environ["HAWSER_BENCH_NAMESPACE"] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])
    if "HAWSER_BENCH_NAMESPACE" in os.environ:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def raise_descriptor_limit(wanted: int) -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (wanted, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(hard, limit)))
            break
        except (ValueError, PermissionError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Program:
    """A child whose context switches are known after it ended."""

    def __init__(self, argv: list[str]):
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def switches_now(self) -> int:
        status = pathlib.Path(f"/proc/{self.process.pid}")
        total = 0
        for task in (status / "task").iterdir():
            total += sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", (task / "status").read_text()))
        return total

    def finish(self) -> str:
        output, _ = self.process.communicate(timeout=LIVENESS_S)
        if self.process.returncode != 0:
            raise SystemExit(f"{self.process.args} failed:\n{output}")
        return output

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def wait_until_listening(hawser: str, port: int) -> None:
    deadline = time.monotonic() + LIVENESS_S
    while time.monotonic() < deadline:
        shown = subprocess.run([hawser, "ids", "--json"], capture_output=True, text=True)
        if shown.returncode == 0 and any(
                i["state"] == "LISTEN" and i["source"].endswith(f":{port}") for i in json.loads(shown.stdout)["ids"]):
            return
        time.sleep(0.01)  # between two looks at an observable state, not a hope
    raise SystemExit(f"no listener appeared on port {port}")


def cmtime(hawser: str, count: int) -> dict:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    server = Program([hawser, "run", "--", "cmtime"])
    try:
        wait_until_listening(hawser, 7471)
        base = server.switches_now()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        client = Program([hawser, "run", "--", "cmtime", "-s", "127.0.0.1", "-c", str(count)])
        table = client.finish()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        server_switches = server.switches_now() - base
    finally:
        server.kill()
    client_switches = (after.ru_nvcsw + after.ru_nivcsw) - (before.ru_nvcsw + before.ru_nivcsw)
    steps = {m[1].strip(): float(m[2]) for m in
             re.finditer(r"^([a-z ]+?)\s*:\s+[\d.]+\s+[\d.]+\s+[\d.]+\s+([\d.]+)\s*$", table, re.M)}
    return {"table": table, "steps": steps, "switches": (client_switches + server_switches) / count}


def main() -> None:
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/release").resolve()
    own_network_namespace()
    hawser = str(build / "bin" / "hawser")
    os.environ["HAWSER_RCVBUF"] = STOCK_RCVBUF
    limit = raise_descriptor_limit(COUNTS[-1] * DESCRIPTORS_PER_CONNECTION + 1000)
    print(f"machine: {os.cpu_count()} cores, Linux {os.uname().release}; descriptor limit {limit}; "
          f"SO_RCVBUF {STOCK_RCVBUF} (net.core.rmem_max "
          f"{pathlib.Path('/proc/sys/net/core/rmem_max').read_text().strip()})\n")
    for wanted in COUNTS:
        count = min(wanted, (limit - 100) // DESCRIPTORS_PER_CONNECTION)
        if count < wanted:
            print(f"{wanted} connections need {wanted * DESCRIPTORS_PER_CONNECTION} descriptors a side: {count} instead\n")
        hawser_run = cmtime(hawser, count)
        tcp = json.loads(Program([str(build / "bin" / "tcp_connect"), str(count)]).finish())["us_per_connection"]
        print(f"== {count} connections: cmtime (unmodified) on 127.0.0.1\n{hawser_run['table'].rstrip()}\n")
        connect = hawser_run["steps"].get("connect")
        whole = sum(hawser_run["steps"].values())
        print(f"plain TCP connect/accept/close: {tcp:.2f} us per connection")
        if connect is not None:
            print(f"ratio connect / TCP: {connect / tcp:.2f}   ratio all steps / TCP: {whole / tcp:.2f}")
        print(f"context switches per connection, client and server: {hawser_run['switches']:.1f}\n")
    idle = json.loads(Program([hawser, "run", "--", str(build / "bin" / "idle_ids"), "1000"]).finish().splitlines()[-1])
    print(f"memory per idle connected id, without queues: {idle['bytes_per_id']:.0f} bytes (aim: under 2048)")


if __name__ == "__main__":
    main()
