"""The C++ interface: the examples, from the build tree and compiled against an installation as a user would."""
import os
import re
import subprocess
from pathlib import Path

import pytest
from harness import BUILD, IPV4, IPV6, wait_for

SOURCES = Path(__file__).parents[2]


@pytest.fixture
def example(host):
    """example(NAME, ARGS…) starts an example in the host."""
    def start(name, *arguments, env=None, **options):
        libraries = {"LD_LIBRARY_PATH": str(host.tree.hawser.parents[1] / "lib")}
        return host.start(host.tree.hawser.parents[1] / "examples" / name, *arguments, env={**libraries, **(env or {})}, **options)
    return start


@pytest.mark.every_user
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", IPV4, IPV6])
def test_echo(host, example, address):
    server = example("echo", "server", address, 7471, 2)
    server.line("listening on")
    assert any(i["state"] == "LISTEN" and i["pid"] == server.pid for i in host.ids())
    for text in ("good morning", "good night"):
        assert example("echo", "client", address, 7471, text).succeeds() == f"echo: {text}"
    server.succeeds()


def test_beside_c_programs(host, example):
    """The Stacks of a C++ program and of an unmodified librdmacm program share the host."""
    rping = host.run("rping", "-s", "-a", "127.0.0.1", "-p", "7480", "-C", "3")
    server = example("echo", "server", "127.0.0.1", 7471)
    server.line("listening on")
    host.listening(rping, 7480)
    host.run("rping", "-c", "-a", "127.0.0.1", "-p", "7480", "-C", "3").succeeds()
    assert example("echo", "client", "127.0.0.1", 7471, "both").succeeds() == "echo: both"
    rping.succeeds()
    server.succeeds()


def test_nobody_listens(example):
    client = example("echo", "client", "127.0.0.1", 7471, "anybody?")
    assert client.status() == 1
    assert "RDMA_CM_EVENT_REJECTED: invalid service ID (8): nobody listens on this port there" in client.output


def test_port_is_taken(example):
    server = example("echo", "server", "127.0.0.1", 7471)
    server.line("listening on")
    second = example("echo", "server", "127.0.0.1", 7471)
    assert second.status() == 1
    assert "bind: bind_addr on an id in" in second.output and "another id has this port" in second.output


def test_kernel_ulp(example):
    target = example("kernel_ulp", "target", "127.0.0.1", 7472)
    target.line("listening on")
    assert example("kernel_ulp", "initiator", "127.0.0.1", 7472, 100).succeeds() == "counted to 100"
    target.succeeds()


@pytest.mark.every_user
@pytest.mark.parametrize("addresses", [(), (IPV4, "10.72.0.77"), (IPV6, "fd72::77")], ids=["loopback", "ipv4", "ipv6"])
def test_two_stacks_without_an_agent(host, example, addresses):
    for address in addresses[1:]:
        host.start("ip", "addr", "add", f"{address}/32" if "." in address else f"{address}/128", "dev", "hw0",
                   *([] if "." in address else ["nodad"]), administrator=True).succeeds()
    assert "hello from the other Stack of this process" in example("two_stacks", *addresses).succeeds()
    assert host.agent() is None


def test_two_stacks_under_loss(example):
    env = {"HAWSER_FAULT": "loss=15%,duplicate=5%,seed=7"}
    assert "hello from the other Stack" in example("two_stacks", env=env).succeeds()


def test_faults_of_one_port_without_an_agent(example):
    impatient = {"HAWSER_CM_RETRIES": "0", "HAWSER_CM_RESPONSE_TIMEOUT": "16"}
    hit = example("two_stacks", env={**impatient, "HAWSER_FAULT": "drop=REP:port=7471"})
    assert hit.status() == 1 and "unexpected event: RDMA_CM_EVENT_UNREACHABLE: Connection timed out" in hit.output
    assert "hello from" in example("two_stacks", env={"HAWSER_FAULT": "drop=REP:port=7472"}).succeeds()


def test_alone_where_an_agent_is(host, example):
    server = example("echo", "server", "127.0.0.1", 7471)
    server.line("listening on")
    alone = example("two_stacks")
    assert alone.status() == 1
    assert "needs UDP port 4791 of 127.0.0.1 for itself" in alone.output and "hawserd" in alone.output
    assert "open the Stack with the agent" in alone.output
    assert example("echo", "client", "127.0.0.1", 7471, "still here").succeeds() == "echo: still here"
    server.succeeds()


def test_alone_on_an_address_of_another_host(example):
    alone = example("two_stacks", "192.0.2.1", "192.0.2.2")
    assert alone.status() == 1
    assert "no interface of this host has it" in alone.output


@pytest.mark.parametrize("seed", [1, 2])
def test_ids_end_at_any_moment(host, seed):
    libraries = {"LD_LIBRARY_PATH": str(host.tree.hawser.parents[1] / "lib")}
    churn = host.start(host.tree.programs / "cxx_churn", "127.0.0.1", 7473, seed, env=libraries)
    established, ended = map(int, re.search(r"established (\d+), ended by their handlers (\d+)", churn.succeeds()).groups())
    assert established > 0 and ended > 0


def test_threads_that_wait(host):
    libraries = {"LD_LIBRARY_PATH": str(host.tree.hawser.parents[1] / "lib")}
    host.start(host.tree.programs / "cxx_waiters", "127.0.0.1", 7474, env=libraries).succeeds()


@pytest.mark.every_user
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", IPV4])
def test_datagram_service(example, address):
    server = example("datagrams", "serve", address, 7471, 2)
    server.line("serving on")
    for text in ("good morning", "good night"):
        assert example("datagrams", "ask", address, 7471, text).succeeds() == f"echo: {text}"
    server.succeeds()


def test_datagram_service_says_no(example):
    nobody = example("datagrams", "ask", "127.0.0.1", 7471, "anybody?")
    assert nobody.status() == 1
    assert "RDMA_CM_EVENT_UNREACHABLE: service ID not supported (1): nobody listens" in nobody.output
    server = example("datagrams", "serve", "127.0.0.1", 7471, 1)
    server.line("serving on")
    nameless = example("datagrams", "ask", "127.0.0.1", 7471, "")
    assert nameless.status() == 1 and "rejected by service provider (2)" in nameless.output
    server.succeeds()


def test_multicast_group(example):
    listeners = [example("datagrams", "listen", IPV4, "239.1.2.3", 2) for _ in range(2)]
    for listener in listeners:
        listener.line("listening to")
    for text in ("one", "two"):
        assert example("datagrams", "tell", IPV4, "239.1.2.3", text).succeeds() == f"heard: {text}"
    for listener in listeners:
        assert listener.succeeds().splitlines()[-2:] == ["one", "two"]


def test_faults_of_other_processes(host, example):
    """HostFaults: a C++ program does what `hawser fault` does, and the command sees it."""
    server = example("echo", "server", "127.0.0.1", 7471, 2)
    server.line("listening on")
    libraries = {"LD_LIBRARY_PATH": str(host.tree.hawser.parents[1] / "lib")}
    fault = host.start(host.tree.programs / "cxx_faults", server.pid, env=libraries)
    fault.line("^set$")
    assert host.faults() == {"delay=REP:nth=1:by=1500ms": 0}
    assert example("echo", "client", "127.0.0.1", 7471, "late").succeeds() == "echo: late"
    wait_for("it is counted", lambda: host.faults() == {"delay=REP:nth=1:by=1500ms": 1})
    fault.say("")
    fault.line("^effects 1$")
    fault.succeeds()
    assert host.faults() == {}
    assert example("echo", "client", "127.0.0.1", 7471, "in time").succeeds() == "echo: in time"
    server.succeeds()


def test_deterministic_case_repeats(example):
    runs = {example("deterministic_test", 11).succeeds() for _ in range(2)}
    assert len(runs) == 1 and "DEVICE_REMOVAL" in runs.pop()


@pytest.fixture(scope="session")
def installation(tmp_path_factory):
    """make install DESTDIR=…, as `cmake --install` does it below the Makefile."""
    destination = tmp_path_factory.mktemp("installation")
    os.chmod(destination, 0o755)
    subprocess.run(["cmake", "--install", BUILD, "--prefix", "/usr/local"], check=True, capture_output=True,
                   env={**os.environ, "DESTDIR": str(destination)})
    return destination / "usr" / "local"


def test_installed_with_pkg_config(host, installation, tmp_path):
    environment = {**os.environ, "PKG_CONFIG_PATH": str(installation / "lib" / "pkgconfig")}
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "hawser"], check=True, capture_output=True, text=True,
                           env=environment).stdout.split()
    program = tmp_path / "echo"
    compiled = subprocess.run(["g++-12", "-std=c++23", "-O1", "-Wall", "-Werror", SOURCES / "examples" / "echo.cpp", "-o", program, *flags],
                              capture_output=True, text=True)
    assert compiled.returncode == 0, compiled.stderr
    user = {"user": "root"} if os.geteuid() == 0 else {}  # pytest's folders are their owner's
    server = host.start(program, "server", "127.0.0.1", 7471, **user)
    server.line("listening on")
    assert host.start(program, "client", "127.0.0.1", 7471, "installed", **user).succeeds() == "echo: installed"
    server.succeeds()


def test_installed_with_cmake(installation, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(user LANGUAGES CXX)\nset(CMAKE_CXX_EXTENSIONS OFF)\n"
        "find_package(hawser 0.1 REQUIRED)\nadd_executable(user user.cpp)\ntarget_link_libraries(user PRIVATE hawser::hawser)\n")
    (tmp_path / "user.cpp").write_text(
        '#include <hawser/reject.hpp>\n#include <cstdio>\n'
        'int main() { std::puts(hawser::explain(hawser::RejectReason::invalid_mtu).c_str()); }\n')
    build = tmp_path / "build"
    for command in (["cmake", "-S", tmp_path, "-B", build, f"-DCMAKE_PREFIX_PATH={installation}", "-DCMAKE_CXX_COMPILER=g++-12"],
                    ["cmake", "--build", build]):
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
    assert "invalid payload MTU (26)" in subprocess.run([build / "user"], check=True, capture_output=True, text=True).stdout
