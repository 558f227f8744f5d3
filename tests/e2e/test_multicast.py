"""Multicast groups: Debian's mckey, unmodified, and what librdmacm programs are told of their memberships
[spec 6.4.10, 6.4.16, 6.4.17]."""
import re

import pytest

from harness import IPV4, PEER_IPV4, wait_for

GROUP = "239.1.2.3"
GROUP_IN_PROC = "030201EF"  # as /proc/net/igmp writes it


def members(host):
    """How often the interfaces of a host are in GROUP."""
    return len(re.findall(rf"^\s+{GROUP_IN_PROC}\s", host.read("/proc/net/igmp"), re.M))


# -- mckey

def receiver(host, address, *options):
    # mckey does not flush what it says; a sender that starts before its receivers have joined sends to nobody.
    process = host.run("stdbuf", "-oL", "mckey", "-m", GROUP, "-b", address, "-C", 20, *options)
    process.line("receiving data transfers")
    return process


def finished(process):
    output = process.succeeds()
    assert "data transfers complete" in output and "test complete" in output
    assert f"dgid: ::ffff:{GROUP}" in output


@pytest.mark.every_user
@pytest.mark.parametrize("options", [[], ["-o"]], ids=["full-member", "send-only"])
def test_mckey_between_processes(host, options):
    receivers = [receiver(host, IPV4) for _ in range(2)]
    assert members(host) == 1
    finished(host.run("mckey", "-m", GROUP, "-b", IPV4, "-C", 20, "-s", *options))
    for process in receivers:
        finished(process)
    wait_for("the group is left", lambda: members(host) == 0)


@pytest.mark.parametrize("options", [[], ["-o"]], ids=["full-member", "send-only"])
def test_mckey_between_hosts(hosts, options):
    near, far = hosts
    receivers = [receiver(near, IPV4), receiver(far, PEER_IPV4)]
    finished(near.run("mckey", "-m", GROUP, "-b", IPV4, "-C", 20, "-s", *options))
    for process in receivers:
        finished(process)


def test_mckey_with_several_connections(host):
    process = receiver(host, IPV4, "-c", 3)
    finished(host.run("mckey", "-m", GROUP, "-b", IPV4, "-C", 20, "-s", "-c", 3))
    finished(process)


# -- a program of ours

@pytest.fixture(params=[[], ["qp"]], ids=["without-qp", "with-qp"])
def program(request, host):
    program = host.run("cm_multicast", IPV4, *request.param)
    program.line("^ready$")
    return program


def say(program, command, *lines):
    """Gives a command and waits for these lines, one more of each than there were."""
    before = {line: program.count(line) for line in lines}
    program.say(command)
    for line in lines:
        program.line(line, count=before[line] + 1)


def test_events_and_errors(host, program):
    joined = "^EVENT RDMA_CM_EVENT_MULTICAST_JOIN 0$"
    say(program, f"join {GROUP}", "^join: ok$", joined, f"^group ::ffff:{GROUP} qpn 0xffffff qkey 0x1234567 context plain$")
    assert members(host) == 1
    say(program, f"join_ex 3 1 {GROUP}", "^join_ex: ok$", joined, f"^group ::ffff:{GROUP} .* context ex$")
    say(program, f"leave {GROUP}", "^leave: ok$")
    assert members(host) == 0, "what is left is a send-only membership"
    say(program, f"leave {GROUP}", "^leave: ok$")
    say(program, f"leave {GROUP}", "^leave: EADDRNOTAVAIL$")
    say(program, "join ff0e::1", "^join: EOPNOTSUPP$")
    say(program, f"join {IPV4}", "^join: ENODEV$")
    say(program, "join 0.0.0.0", "^join: EINVAL$")
    say(program, f"join_ex 7 0 {GROUP}", "^join_ex: EOPNOTSUPP$")
    say(program, f"join_ex 1 0 {GROUP}", "^join_ex: EINVAL$")
    say(program, f"join_ex 3 2 {GROUP}", "^join_ex: EINVAL$")
    say(program, f"join {GROUP}", "^join: ok$", joined)
    say(program, f"join {GROUP}", "^join: ok$", joined)
    assert members(host) == 1
    say(program, f"leave {GROUP}", "^leave: ok$")
    assert members(host) == 1, "the other membership is left to the end of the id"
    program.say("quit")
    program.succeeds()
    wait_for("the group is left", lambda: members(host) == 0)


def test_synchronous_mode(host):
    program = host.run("cm_multicast", IPV4, "sync")
    program.line("^ready$")
    say(program, f"join {GROUP}", "^join: ok$", "^EVENT RDMA_CM_EVENT_MULTICAST_JOIN 0$")
    say(program, f"leave {GROUP}", "^leave: ok$")  # acknowledges what the join left in id->event
    assert members(host) == 0
    program.say("quit")
    program.succeeds()


def test_address_that_has_gone(host, program):
    host.ip(f"addr del {IPV4}/24 dev hw0")
    wait_for("the GID has gone", lambda: IPV4 not in str(host.devices()["devices"]))
    say(program, f"join {GROUP}", "^join: ok$", "^EVENT RDMA_CM_EVENT_MULTICAST_ERROR -22$")


def test_events_of_the_program_and_names(program):
    say(program, "user 18 -7 123456789012", "^write_cm_event: ok$", "^EVENT RDMA_CM_EVENT_USER -7$", "^arg 123456789012$")
    say(program, "user 19 0 5", "^EVENT RDMA_CM_EVENT_INTERNAL 0$", "^arg 5$")
    say(program, "user 9 0 5", "^write_cm_event: EINVAL$")
    say(program, "lookup 0 127.0.0.1 7471", "^resolve_addrinfo: ok$", "^EVENT RDMA_CM_EVENT_ADDRINFO_RESOLVED 0$", "^query_addrinfo: ok$",
        "^port 7471$")
    say(program, "lookup 2 no-number 7471", "^EVENT RDMA_CM_EVENT_ADDRINFO_ERROR -2$", "^query_addrinfo: ENODATA$")
    say(program, "lookup 16 - a-service", "^resolve_addrinfo: EOPNOTSUPP$")
    program.say("quit")
    program.succeeds()
