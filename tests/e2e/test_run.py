"""hawser run: the launcher itself."""
import os

import pytest


def test_libraries_come_first(host):
    program = host.hawser("run", "--", "printenv", "LD_LIBRARY_PATH", env={"LD_LIBRARY_PATH": "/elsewhere"})
    first, second = program.succeeds().split(":")
    assert os.path.exists(os.path.join(first, "librdmacm.so.1")) and os.path.exists(os.path.join(first, "libibverbs.so.1"))
    assert second == "/elsewhere"


def test_agent_is_named(host):
    agent = host.hawser("run", "--", "printenv", "HAWSER_AGENT").succeeds()
    assert agent.endswith("/hawserd") and os.access(agent, os.X_OK)


def test_exit_status_is_the_programs(host):
    assert host.hawser("run", "--", "sh", "-c", "exit 3").status() == 3


def test_arguments_arrive_as_they_are(host):
    program = host.hawser("run", "--", "printf", "[%s]", "--", "-h", "--version", "a b", "")
    assert program.succeeds() == "[--][-h][--version][a b][]"


@pytest.mark.parametrize("command, status, message", [
    (["no-such-program"], 127, "cannot start 'no-such-program': No such file or directory"),
    (["/etc/passwd"], 126, "cannot start '/etc/passwd': Permission denied"),
    ([], 125, "no program given"),
])
def test_errors(host, command, status, message):
    program = host.hawser("run", "--", *command)
    assert program.status() == status
    assert message in program.output


def test_a_program_that_uses_no_rdma_leaves_no_trace(host):
    host.run("ldd", "/usr/bin/rping").succeeds()
    assert host.agent() is None
