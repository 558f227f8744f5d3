"""A run, captured on the interface: every ICRC verifies (our checker), every message decodes (tshark)."""
import collections

import pytest

from harness import IPV4, ROCE_PORT, Capture, run_pair

REQ, REP, RTU, DREQ, DREP = "0x0010", "0x0013", "0x0014", "0x0015", "0x0016"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", IPV4])
def test_captured_run(host, tmp_path, address):
    tmp_path.chmod(0o777)
    capture = Capture(host, tmp_path / "run.pcap")
    run_pair(host, ["rping", "-s", "-a", address, "-V", "-S", 10000, "-C", 20],
             ["rping", "-c", "-a", address, "-V", "-S", 10000, "-C", 20], 7174)
    capture.stop()

    # Read as root where we are: the file is tcpdump's.
    checker = host.start(host.tree.hawser, "check-capture", capture.path, administrator=True)
    checker.succeeds()
    datagrams = len(capture.tshark("-Y", f"udp.dstport == {ROCE_PORT}"))
    assert datagrams > 100
    assert len(capture.tshark("-Y", "infiniband.bth")) == datagrams
    assert capture.tshark("-Y", "_ws.malformed") == []
    messages = collections.Counter(capture.tshark("-Y", "infiniband.mad.mgmtclass == 0x07", "-T", "fields", "-e", "infiniband.mad.attributeid"))
    assert messages.keys() == {REQ, REP, RTU, DREQ, DREP}
    assert messages[REQ] == messages[REP] == messages[RTU] == 1  # nothing was sent again


def test_checker_finds_a_wrong_icrc(host, tmp_path):
    tmp_path.chmod(0o777)
    capture = Capture(host, tmp_path / "run.pcap")
    run_pair(host, ["rping", "-s", "-a", IPV4, "-C", 1], ["rping", "-c", "-a", IPV4, "-C", 1], 7174)
    capture.stop()
    data = bytearray((tmp_path / "run.pcap").read_bytes())
    data[-1] ^= 1  # of the last packet's ICRC
    (tmp_path / "bad.pcap").write_bytes(data)
    checker = host.start(host.tree.hawser, "check-capture", tmp_path / "bad.pcap", administrator=True)
    assert checker.status() == 1
    assert "ICRC" in checker.output
