"""What the end-to-end tests stand on: hosts (network namespaces), programs in them, and nothing left behind.

Waiting is always for something observable, looked at again and again, with LIVENESS_S as the bound after which a test
fails: it says "this never happens", not "this takes so long".
"""
import collections
import contextlib
import dataclasses
import itertools
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

LIVENESS_S = 60
ROCE_PORT = 4791
NOBODY = 65534
IPV4, IPV6 = "10.72.0.1", "fd72::1"  # the addresses of a Host besides loopback's
LINK_LOCAL = "fe80::72:1"
# The second of two_hosts()'s.
PEER_IPV4, PEER_IPV6, PEER_LINK_LOCAL = "10.72.0.2", "fd72::2", "fe80::72:2"
BUILD = Path(os.environ.get("HAWSER_BUILD", Path(__file__).parents[2] / "build" / "release")).resolve()


def wait_for(what, look, liveness_s=LIVENESS_S):
    """Looks until `look()` is true, and returns what it returned."""
    end = time.monotonic() + liveness_s
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < end, f"after {liveness_s} s still not: {what}"
        time.sleep(0.01)  # between two looks


def need_namespaces():
    how = "-n" if os.geteuid() == 0 else "-Urn"  # root without CAP_SYS_ADMIN (a container) may not either
    if subprocess.run(["unshare", how, "true"], capture_output=True).returncode != 0:
        pytest.skip(f"needs a user who may make network namespaces (unshare {how})")


# The users whose programs the tests run: as root, root and an unprivileged one; otherwise whoever we are.
USERS = ["root", "nobody"] if os.geteuid() == 0 else ["self"]


class Process:
    """A program of a test: its output line by line (stdout and stderr together), its input, its end."""

    def __init__(self, argv, name, **popen):
        self.name, self.argv = name, argv
        self._lines, self._news, self._ended = [], threading.Condition(), False
        self._popen = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       text=True, errors="replace", bufsize=1, **popen)
        self.pid = self._popen.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._popen.stdout:
            self._take(line.rstrip("\n"))
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _take(self, line):
        with self._news:
            self._lines.append(line)
            self._news.notify_all()

    @property
    def output(self):
        with self._news:
            return "\n".join(self._lines)

    @property
    def running(self):
        return self._popen.poll() is None

    def describe(self):
        state = "running" if self.running else f"exit status {self._popen.returncode}"
        return f"--- {self.name} ({state})\n{self.newest_output()}\n"

    def newest_output(self, lines_max=60):
        with self._news:
            omitted = len(self._lines) - lines_max
            return "\n".join([f"({omitted} lines before)"] * (omitted > 0) + self._lines[-lines_max:])

    def line(self, pattern, count=1, liveness_s=LIVENESS_S):
        """Waits for the `count`-th line in which `pattern` is found; returns the match."""
        end = time.monotonic() + liveness_s
        seen = found = 0
        with self._news:
            while True:
                for line in self._lines[seen:]:
                    seen += 1
                    if match := re.search(pattern, line):
                        found += 1
                        if found == count:
                            return match
                left = end - time.monotonic()
                assert left > 0 and not self._ended, (
                    f"{self.name} {'ended' if self._ended else 'lives, but'} with {found} lines of /{pattern}/ "
                    f"instead of {count}:\n{self.newest_output()}")
                self._news.wait(left)

    def count(self, pattern):
        with self._news:
            return sum(1 for line in self._lines if re.search(pattern, line))

    def say(self, text):
        """One line to its standard input."""
        self._popen.stdin.write(text + "\n")
        self._popen.stdin.flush()

    def status(self, liveness_s=LIVENESS_S):
        """Waits for its end and returns its exit status (negative: the signal)."""
        try:
            status = self._popen.wait(liveness_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {liveness_s} s:\n{self.newest_output()}") from None
        self._reader.join(5)
        return status

    def succeeds(self):
        status = self.status()
        assert status == 0, f"{self.name}: exit status {status}:\n{self.newest_output()}"
        return self.output

    def send_signal(self, signal_number):
        self._popen.send_signal(signal_number)

    def kill(self, signal_number=signal.SIGKILL):
        """By pid; it is our child and not reaped yet, so the pid is its own."""
        if self.running:
            self._popen.send_signal(signal_number)
        return self.status()


@dataclasses.dataclass
class Tree:
    """The programs under test, where every user of a test can execute them."""
    hawser: Path
    programs: Path

    @staticmethod
    def open_to_all(path):
        return all(parent.stat().st_mode & stat.S_IXOTH for parent in (path, *path.parents))

    @classmethod
    @contextlib.contextmanager
    def readable(cls):
        """The build tree, or a copy of it if it lies where only its owner may go."""
        if os.geteuid() != 0 or cls.open_to_all(BUILD / "bin"):
            yield cls(BUILD / "bin" / "hawser", BUILD / "e2e")
            return
        with tempfile.TemporaryDirectory(prefix="hawser-e2e-") as copy:
            os.chmod(copy, 0o755)
            for part in ("bin/hawser", "bin/hawserd", "lib", "e2e", "examples"):
                source, target = BUILD / part, Path(copy) / part
                target.parent.mkdir(exist_ok=True)
                if source.is_dir():
                    shutil.copytree(source, target, symlinks=True)
                elif source.exists():
                    shutil.copy2(source, target)
            yield cls(Path(copy) / "bin" / "hawser", Path(copy) / "e2e")


class Host:
    """A network namespace with lo, and with hw0 (IPV4, IPV6) once it is wired, in which programs run as one user."""

    _numbers = itertools.count()

    def __init__(self, tree, user, beside=None):
        """`beside`: a host in whose user namespace this one shall be, so that an interface can go from one to the other."""
        self.tree, self.user = tree, user
        self.processes, self._shm = [], self._leavable_files()
        if os.geteuid() == 0:
            self.name = f"hwt{os.getpid()}-{next(self._numbers)}"
            subprocess.run(["ip", "netns", "add", self.name], check=True)
            self._holder = None
            self._enter = ["nsenter", f"--net=/run/netns/{self.name}"]
            self._netns = os.stat(f"/run/netns/{self.name}").st_ino
        else:
            self.name = f"user-namespace-{next(self._numbers)}"
            unshare = [*beside._enter, "unshare", "-n", "cat"] if beside else ["unshare", "-Urn", "cat"]
            self._holder = subprocess.Popen(unshare, stdin=subprocess.PIPE)
            # It becomes cat once it has its namespaces, and its uid in them.
            wait_for("a network namespace", lambda: Path(f"/proc/{self._holder.pid}/comm").read_text() == "cat\n")
            self._netns = os.stat(f"/proc/{self._holder.pid}/ns/net").st_ino
            self._enter = ["nsenter", "--user", "--net", "--preserve-credentials", f"--target={self._holder.pid}"]
        self.ip("link set lo up")

    def ip(self, command):
        """`ip …` in this host, done."""
        subprocess.run([*self._enter, "ip", *command.split()], check=True)

    def sysctl(self, assignment):
        subprocess.run([*self._enter, "sysctl", "-qw", assignment], check=True)

    def give(self, interface, host):
        """Moves one of our interfaces to another host."""
        self.ip(f"link set {interface} netns {host.name if host._holder is None else host._holder.pid}")

    def wire(self):
        """hw0, whose other end is ours too."""
        self.ip("link add hw0 type veth peer name hw1")
        self.address(IPV4, IPV6)
        self.ip("link set hw1 up")

    def wire_to(self, host):
        """hw0, and the other end of the cable is hw0 of the other host."""
        self.ip("link add hw0 type veth peer name hw1")
        self.give("hw1", host)
        host.ip("link set hw1 name hw0")
        self.address(IPV4, IPV6, LINK_LOCAL)
        host.address(PEER_IPV4, PEER_IPV6, PEER_LINK_LOCAL)

    def plug_into(self, switch):
        """hw0, by a cable into the bridge br0 of `switch`. Its MAC address is the same each time, as a host's is."""
        self.ip("link add hw0 address 52:54:00:48:00:01 type veth peer name cable")
        self.give("cable", switch)
        switch.ip("link set cable master br0 up")
        self.address(IPV4, IPV6, LINK_LOCAL)

    def address(self, ipv4, ipv6, link_local=None):
        """Gives hw0 its addresses, usable at once (no duplicate detection), and sets it up."""
        self.ip(f"addr add {ipv4}/24 dev hw0")
        self.ip(f"addr add {ipv6}/64 dev hw0 nodad")
        if link_local:
            self.ip("link set hw0 addrgenmode none")
            self.ip(f"addr add {link_local}/64 dev hw0 nodad")
        self.ip("link set hw0 up")

    # -- programs

    def _as(self, user):
        return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if user == "nobody" else []

    def start(self, *argv, user=None, env=None, limits=None, administrator=False):
        """Starts a program in this host. Its pid is the program's own: everything in between execs."""
        argv = [str(word) for word in argv]
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8", "HOME": "/nonexistent", **(env or {})}
        command = [*self._enter, *([] if administrator else self._as(user or self.user)), *argv]
        name = " ".join(word.rsplit("/", 1)[-1] if "/" in word else word for word in argv)
        process = Process(command, name, env=environment, preexec_fn=limits)
        self.processes.append(process)
        return process

    def run(self, *argv, **options):
        """`hawser run -- PROGRAM ARGS…`, started; a PROGRAM of tests/e2e/programs by its name."""
        program = self.tree.programs / str(argv[0])
        return self.start(self.tree.hawser, "run", "--", program if program.exists() else argv[0], *argv[1:], **options)

    def hawser(self, *arguments, **options):
        """`hawser …`, started."""
        return self.start(self.tree.hawser, *arguments, **options)

    def read(self, path):
        """A file of this network namespace's /proc."""
        return subprocess.run([*self._enter, "cat", path], check=True, capture_output=True, text=True).stdout

    # -- what can be observed

    def ids(self):
        """The connection ids of this host, as `hawser ids` shows them; [] while no agent runs."""
        process = self.hawser("ids", "--json")
        self.processes.remove(process)
        assert process.status() == 0, process.describe()
        return json.loads(process.output or "{}").get("ids", [])

    def reaches(self, process, *connections):
        """Waits until the newest id of `process` is in one of these states of the IB connection manager ("": none)."""
        def look():
            own = [i for i in self.ids() if i["pid"] == process.pid and i["state"] != "LISTEN"]
            return bool(own) and own[-1]["connection"] in connections
        wait_for(f"{process.name} is in {' or '.join(connections)}", look)

    def devices(self):
        """The devices of this host and the counters of its processes, as `hawser devices -v` shows them."""
        process = self.hawser("devices", "-v", "--json")
        self.processes.remove(process)
        assert process.status() == 0, process.describe()
        return json.loads(process.output)

    def fault(self, *arguments):
        """`hawser fault …`, done."""
        process = self.hawser("fault", *arguments)
        self.processes.remove(process)
        return process.succeeds()

    def faults(self):
        """{fault: how often it has had an effect}, as `hawser fault list` shows them."""
        return {f["fault"]: f["effects"] for f in json.loads(self.fault("list", "--json"))["faults"]}

    def listening(self, server, port):
        """Waits until `server` listens on `port`."""
        def look():
            assert server.running, f"ended before it listened:\n{server.describe()}"
            return any(i["state"] == "LISTEN" and i["pid"] == server.pid and i["source"].endswith(f":{port}") for i in self.ids())
        wait_for(f"{server.name} listens on {port}", look)

    def tcp_listening(self, server, port):
        def look():
            assert server.running, f"ended before it listened:\n{server.describe()}"
            return any(re.search(rf":{port:04X} 0+:0000 0A ", self.read(f"/proc/net/{name}")) for name in ("tcp", "tcp6"))
        wait_for(f"{server.name} listens on TCP {port}", look)

    def pids(self, program=None):
        """The processes in this network namespace (those of `program` if given), with their command lines."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or (self._holder and int(entry.name) == self._holder.pid):
                continue
            with contextlib.suppress(OSError):  # it ends while we look
                if os.stat(entry / "ns" / "net").st_ino != self._netns:
                    continue
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if command and (program is None or (entry / "comm").read_text().strip() == program):
                    found[int(entry.name)] = command
        return found

    def agent(self):
        """The pid of this host's hawserd; None if none runs."""
        agents = self.pids("hawserd")
        assert len(agents) <= 1, f"more than one agent: {agents}"
        return next(iter(agents), None)

    @staticmethod
    def _leavable_files():
        return {path for place in ("/dev/shm", "/tmp", "/run") for path in Path(place).glob("*hawser*")
                if not path.name.startswith("hawser-e2e-")}

    def left_behind(self):
        """What a Hawser that is gone would not leave."""
        left = [f"process {pid}: {command}" for pid, command in self.pids().items()]
        left += [f"abstract socket {line.split()[-1]}" for line in self.read("/proc/net/unix").splitlines() if " @" in line]
        left += [f"UDP {ROCE_PORT} in {name}: {line}" for name in ("udp", "udp6")
                 for line in self.read(f"/proc/net/{name}").splitlines() if re.search(rf"^\s*\d+: \w+:{ROCE_PORT:04X} ", line)]
        # Other tests may run beside this one, and theirs come and go.
        left += [f"file {path}" for path in self._leavable_files() - self._shm if path.exists()]
        return left

    def close(self, check):
        try:
            for process in self.processes:
                process.kill()
            if check:
                seen = collections.deque(maxlen=1)
                try:
                    wait_for("nothing is left behind", lambda: seen.append(self.left_behind()) or not seen[0])
                except AssertionError:
                    raise AssertionError("left behind:\n  " + "\n  ".join(seen[0])) from None
        finally:
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self._holder:
                self._holder.kill()
                self._holder.wait()
            else:
                subprocess.run(["ip", "netns", "del", self.name], check=False)


class Capture:
    """Everything on UDP 4791 of an interface, from now until stop()."""

    def __init__(self, host, path, interface="lo", snapshot_bytes=262144):
        """`snapshot_bytes` of each frame are kept; tcpdump's buffer holds the more frames, the smaller it is."""
        self.path = path
        # No segmentation offload: the interface shall show what a wire would.
        if shutil.which("ethtool", path="/usr/sbin:/sbin:/usr/bin"):
            host.start("ethtool", "-K", interface, "gso", "off", "gro", "off", "tx-udp-segmentation", "off", administrator=True).status()
        self._tcpdump = host.start("tcpdump", "-Z", "root", "-i", interface, "-n", "-U", "--immediate-mode", "-B", "65536", "-s", snapshot_bytes, "-w", path,
                                   "udp", "port", ROCE_PORT, administrator=True)
        self._tcpdump.line(f"listening on {interface}")

    def stop(self):
        self._tcpdump.kill(signal.SIGINT)
        assert "0 packets dropped by kernel" in self._tcpdump.output

    def tshark(self, *arguments):
        return subprocess.run(["tshark", "-r", self.path, "--disable-protocol", "rpcordma", *arguments], check=True,
                              capture_output=True, text=True).stdout.splitlines()


def gids(host):
    """{GID: (device, index)} out of ibv_devinfo -v."""
    found, device = {}, None
    for line in host.run("ibv_devinfo", "-v").succeeds().splitlines():
        if match := re.match(r"hca_id:\s*(\S+)", line):
            device = match[1]
        elif match := re.match(r"\s*GID\[\s*(\d+)\]:\s*([0-9a-f:.]+)", line):
            found[match[2]] = (device, int(match[1]))
    return found


def run_pair(host, server_argv, client_argv, port, server_ends=True, clients=1, peer=None):
    """A server, and clients (on `peer`, if given) all at once as soon as it listens; all must succeed. Returns
    (server, [client…])."""
    server = host.run(*server_argv)
    host.listening(server, port)
    running = [(peer or host).run(*client_argv) for _ in range(clients)]
    for client in running:
        client.succeeds()
    if server_ends:
        server.succeeds()
    else:
        assert server.running, server.describe()
        server.kill()
    return server, running
