"""A Debian kernel in QEMU, with rdma_rxe and Debian's own RDMA programs, at the same switch as the hosts of the tests.

The guest is its kernel and an initramfs of nothing but busybox, the modules that it needs, and the programs of this
machine's packages with their libraries. It runs what is asked of it over TCP: one connection a program, which is its
standard input and output (`init` says the rest).
"""
import lzma
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from harness import (BUILD, PEER_IPV4, PEER_IPV6, PEER_LINK_LOCAL, Process, wait_for)

IPV4, IPV6, LINK_LOCAL = PEER_IPV4, PEER_IPV6, PEER_LINK_LOCAL  # the second of two hosts
SWITCH_IPV4 = "10.72.0.254"
CONTROL_PORT = 7000
BOOT_S = 300  # under software emulation, on a machine that is busy
HERE = Path(__file__).parent
IMAGES = BUILD / "kernel"

# The last is the checksum of rdma_rxe, which asks for it by name while it runs.
MODULES = ["virtio_pci", "virtio_net", "ib_uverbs", "rdma_cm", "rdma_ucm", "rdma_rxe", "crc32_generic"]
PROGRAMS = ["stdbuf", "rping", "ucmatose", "udaddy", "mckey", "cmtime", "rdma_server", "rdma_client",
            "ibv_devinfo", "ibv_rc_pingpong", "ibv_ud_pingpong", "ibv_srq_pingpong", "rdma"]
PROVIDER = ["/etc/libibverbs.d/rxe.driver", "/usr/lib/x86_64-linux-gnu/libibverbs/librxe-rdmav34.so"]
UNWINDER = "/lib/x86_64-linux-gnu/libgcc_s.so.1"  # loaded when a thread ends
STDBUF = "/usr/libexec/coreutils/libstdbuf.so"  # what programs say shall come line by line


def output_of(*argv, **options):
    return subprocess.run([str(word) for word in argv], check=True, capture_output=True, text=True, **options).stdout


class Kernel:
    """A kernel package of Debian, unpacked, not installed: HAWSER_KERNEL (a file), or else the newest kernel of this
    Debian, downloaded once."""

    def __init__(self):
        given = os.environ.get("HAWSER_KERNEL")
        package = Path(given).stem if given else re.search(
            r"Depends: (linux-image-\S+)", output_of("apt-cache", "depends", "linux-image-amd64"))[1]
        self.folder = IMAGES / package
        if not self.folder.exists():
            IMAGES.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=IMAGES) as fresh:
                self._unpack(given or self._download(package, fresh), Path(fresh) / "root")
                os.rename(Path(fresh) / "root", self.folder)
        self._find(self.folder)

    @staticmethod
    def _download(package, folder):
        os.chmod(folder, 0o755)  # apt-get may download as another user
        subprocess.run(["apt-get", "-q", "download", package], cwd=folder, check=True)
        [file] = Path(folder).glob("*.deb")
        return file

    def _unpack(self, file, folder):
        folder.mkdir()
        members = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", file], stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", folder, "./boot", "./lib/modules"], stdin=members.stdout, check=True)
        self._find(folder)
        subprocess.run(["depmod", "-b", folder, self.version], check=True)

    def _find(self, folder):
        [self.image] = folder.glob("boot/vmlinuz-*")
        self.version = self.image.name.removeprefix("vmlinuz-")

    def modules(self):
        """The files of MODULES and of all that they need, in an order in which they can be loaded."""
        files = {}
        for module in MODULES:
            shown = output_of("modprobe", "-d", self.folder, "-S", self.version, "--show-depends", module)
            files |= {Path(word): None for word in re.findall(r"^insmod (\S+)", shown, re.M)}
        return list(files)


def libraries(path):
    """What the loader loads for a program or a library."""
    return re.findall(r"(/\S+) \(0x", output_of("ldd", path))


def make_initramfs(kernel, target):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)

        def put(source, inside=None):
            to = root / str(inside or source).lstrip("/")
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, to)

        for folder in ("proc", "sys", "dev", "tmp"):
            (root / folder).mkdir()
        put(HERE / "init", "init")
        put(shutil.which("busybox", path="/bin:/usr/bin"), "bin/busybox")
        (root / "modules").mkdir()
        for number, module in enumerate(kernel.modules()):
            opened = lzma.open(module) if module.suffix == ".xz" else open(module, "rb")
            with opened as source, open(root / f"modules/{number:02}-{module.stem}", "wb") as loadable:
                shutil.copyfileobj(source, loadable)
        path = "/usr/bin:/usr/sbin:/bin:/sbin"
        programs = [shutil.which(program, path=path) for program in PROGRAMS]
        for program in BUILD.glob("e2e/cm_*"):
            put(program, f"bin/{program.name}")
        for file in {*programs, *PROVIDER, STDBUF, UNWINDER}:
            put(file)
        for file in {library for file in (*programs, PROVIDER[1], STDBUF) for library in libraries(file)}:
            put(file)
        names = subprocess.run(["find", ".", "-print"], cwd=root, check=True, capture_output=True).stdout
        with open(target, "wb") as archive:
            subprocess.run(["busybox", "cpio", "-o", "-H", "newc"], cwd=root, input=names, stdout=archive,
                           stderr=subprocess.DEVNULL, check=True)


def accelerator():
    """KVM where the processor has what it takes: a /dev/kvm alone may belong to a machine that is virtual itself."""
    virtualizes = re.search(r"^flags\s*:.* (vmx|svm)\b", Path("/proc/cpuinfo").read_text(), re.M)
    return "kvm" if virtualizes and os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg,thread=multi"


class GuestProgram(Process):
    """A program in the guest, by the connection that it talks through. The first and the last line that comes are
    of `init`: its pid and its exit status."""

    def __init__(self, guest, argv):
        self._guest = guest
        super().__init__([*guest.switch._enter, "busybox", "nc", IPV4, str(CONTROL_PORT)], "guest: " + " ".join(argv))
        self.say(shlex.join(argv))

    def _take(self, line):
        super()._take(line)
        if line.startswith("guest-status "):
            self._popen.stdin.close()  # the guest closes its end after ours: what we said last must not reset the connection

    def status(self, *options):
        super().status(*options)
        found = re.search(r"^guest-status (\d+)$", self.output, re.M)
        assert found, f"{self.name}: the connection to the guest broke:\n{self.newest_output()}"
        return int(found[1])

    def succeeds(self):
        return re.sub(r"^guest-.*\n?", "", super().succeeds(), flags=re.M)

    def send_signal(self, signal_number):
        pid = self.line(r"^guest-pid (\d+)$")[1]
        self._guest.do(f"kill -{int(signal_number)} {pid} || true")  # it may just have ended

    def kill(self, signal_number=9):
        if self.running:
            self.send_signal(signal_number)
        return self.status()


class Guest:
    def __init__(self, switch):
        """Boots. `switch`: a host whose bridge br0 is to be the guest's network."""
        self.switch, self.programs = switch, []
        self.kernel = Kernel()
        initramfs = IMAGES / f"initramfs-{os.getpid()}"
        make_initramfs(self.kernel, initramfs)
        switch.ip("tuntap add tap0 mode tap")
        switch.ip("link set tap0 master br0 up")
        self._qemu = switch.start(
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", "q35,hpet=off", "-accel", accelerator(),
            "-cpu", "max,la57=off", "-smp", "2", "-m", "1024", "-display", "none", "-serial", "stdio", "-no-reboot",
            "-kernel", self.kernel.image, "-initrd", initramfs,
            "-append", "console=ttyS0 quiet panic=-1 mitigations=off net.ifnames=0",
            "-netdev", "tap,id=net,ifname=tap0,script=no,downscript=no",
            "-device", "virtio-net-pci,netdev=net,mac=52:54:00:48:00:02",
            "-object", "rng-random,filename=/dev/urandom,id=random", "-device", "virtio-rng-pci,rng=random",
            administrator=True)
        self._qemu.line("^guest-ready", liveness_s=BOOT_S)
        initramfs.unlink()

    def run(self, *argv):
        """A program, started."""
        program = GuestProgram(self, [str(word) for word in argv])
        self.programs.append(program)
        return program

    def do(self, command):
        """A line of shell, done; its output."""
        return GuestProgram(self, ["sh", "-c", command]).succeeds()

    def listening(self, program, port):
        def look():
            assert program.running, f"ended before it listened:\n{program.describe()}"
            return re.search(rf"LISTEN.*:{port}\b", self.do("rdma resource show cm_id"))
        wait_for(f"{program.name} listens on {port}", look)

    def tcp_listening(self, program, port):
        wait_for(f"{program.name} listens on TCP {port}", lambda: re.search(rf":{port}\s.*LISTEN", self.do("netstat -ltn")))

    def console(self):
        return self._qemu.output

    def end_programs(self):
        """Those of the test that is over."""
        for program in self.programs:
            program.kill()
        self.programs.clear()
