"""Debian's ibverbs-utils, unmodified."""
import re

import pytest

from harness import IPV4, IPV6, gids

pytestmark = pytest.mark.every_user


def test_ibv_devices_lists_a_device_per_interface(host):
    lines = host.run("ibv_devices").succeeds().splitlines()[2:]
    assert len(lines) == 3, lines  # lo and both ends of the veth


def test_ibv_devinfo(host):
    output = host.run("ibv_devinfo", "-v").succeeds()
    assert len(re.findall(r"^\s*state:\s*PORT_ACTIVE", output, re.M)) == 3
    assert output.count("Ethernet") == 3
    assert {"::ffff:127.0.0.1", f"::ffff:{IPV4}", IPV6} <= gids(host).keys()
    assert "RoCE v2" in output


@pytest.mark.parametrize("gid", ["::ffff:127.0.0.1", "::1", f"::ffff:{IPV4}", IPV6])
@pytest.mark.parametrize("events", [False, True])
@pytest.mark.parametrize("program, options", [("ibv_rc_pingpong", ["-c"]), ("ibv_ud_pingpong", []), ("ibv_srq_pingpong", [])])
def test_pingpong(host, program, options, gid, events):
    device, index = gids(host)[gid]
    common = [program, "-d", device, "-g", index, *options, *(["-e"] if events else [])]
    server = host.run(*common)
    host.tcp_listening(server, 18515)
    # The server's TCP side, where the two tell one another their numbers, knows IPv4 only.
    client = host.run(*common, "127.0.0.1")
    assert "1000 iters" in client.succeeds()
    assert "1000 iters" in server.succeeds()
