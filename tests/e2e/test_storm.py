"""10,000 connections on one host, asked for all at once, with the socket buffers of a stock machine: the connection
manager never has to send a message again. The product counts, a capture counts, and both say the same."""
import collections

from harness import Capture

CONNECTIONS = 10_000
STOCK = {"HAWSER_RCVBUF": "212992"}
STORM_S = 300  # "never", for a machine that does other things too
REQ, REJ, REP, RTU, DREQ, DREP = "0x0010", "0x0012", "0x0013", "0x0014", "0x0015", "0x0016"


def cm_counters(host, process):
    [counters] = [p["counters"]["cm"] for p in host.devices()["processes"] if p["pid"] == process.pid]
    return counters


def test_ten_thousand_connections_without_a_retransmission(host, tmp_path):
    tmp_path.chmod(0o777)
    capture = Capture(host, tmp_path / "storm.pcap", snapshot_bytes=512)  # more than any message of the CM
    server = host.run("cm_storm", "server", "127.0.0.1", 7471, CONNECTIONS, env=STOCK)
    server.line("^listening$")
    client = host.run("cm_storm", "client", "127.0.0.1", 7471, CONNECTIONS, env=STOCK)
    for end in (client, server):
        end.line(f"^established {CONNECTIONS}$", liveness_s=STORM_S)
    client.say("end")
    server.line(f"^disconnected {CONNECTIONS}$", liveness_s=STORM_S)
    counted = cm_counters(host, server)
    client.line("^done$", liveness_s=STORM_S)
    client.succeeds()
    server.say("end")
    server.line("^done$", liveness_s=STORM_S)
    server.succeeds()
    capture.stop()

    assert counted["REQs received"] == CONNECTIONS
    assert counted["duplicates"] == counted["REP retransmissions"] == counted["dropped for a full queue"] == 0
    seen = collections.Counter(capture.tshark("-Y", "infiniband.mad.mgmtclass == 0x07", "-T", "fields", "-e", "infiniband.mad.attributeid"))
    assert seen == {message: CONNECTIONS for message in (REQ, REP, RTU, DREQ, DREP)}
