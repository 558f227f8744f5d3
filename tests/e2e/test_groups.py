"""Datagrams to multicast groups, with plain verbs: who hears them, and that a membership ends with its process."""
import pytest

from harness import IPV4, IPV6, PEER_IPV4, wait_for

GROUP, GROUP_V6 = "239.1.2.3", "ff05::4791"


def member_of(host, group_hex):
    return any(line.split()[:1] == [group_hex] for line in host.read("/proc/net/igmp").splitlines())


GROUP_HEX = "030201EF"  # as the kernel prints 239.1.2.3


def receiver(host, source, group):
    process = host.run("ud_group", "receive", source, group)
    process.line("ready")
    return process


@pytest.mark.every_user
@pytest.mark.parametrize("source, group", [("127.0.0.1", GROUP), (IPV4, GROUP), (IPV6, GROUP_V6)])
def test_each_member_on_the_host_hears_it_once(host, source, group):
    receivers = [receiver(host, source, group) for _ in range(2)]
    elsewhere = receiver(host, source, group[:-1] + "9")
    for text in ("one", "two", "end"):
        host.run("ud_group", "send", source, group, text).succeeds()
    shown = source if ":" in source else f"::ffff:{source}"
    for process in receivers:
        output = process.succeeds()
        assert [line for line in output.splitlines() if "from" in line] == [f'"{text}" from {shown}' for text in ("one", "two", "end")]
    assert elsewhere.count("from") == 0


def test_members_on_two_hosts_hear_it(hosts):
    here, there = hosts
    receivers = [receiver(here, IPV4, GROUP), receiver(there, PEER_IPV4, GROUP)]
    here.run("ud_group", "send", IPV4, GROUP, "hello").succeeds()
    there.run("ud_group", "send", PEER_IPV4, GROUP, "end").succeeds()
    for process in receivers:
        output = process.succeeds()
        assert f'"hello" from ::ffff:{IPV4}' in output
        assert f'"end" from ::ffff:{PEER_IPV4}' in output


def test_the_membership_of_a_killed_process_ends(host):
    stays = receiver(host, "127.0.0.1", "239.9.9.9")  # keeps the agent alive
    killed = receiver(host, IPV4, GROUP)
    assert member_of(host, GROUP_HEX)
    killed.kill()
    wait_for("the group is left", lambda: not member_of(host, GROUP_HEX))
    assert stays.running
    # What the dead one would have heard is nobody's.
    host.run("ud_group", "send", IPV4, GROUP, "unheard").succeeds()
    host.run("ud_group", "send", "127.0.0.1", "239.9.9.9", "end").succeeds()
    stays.succeeds()
