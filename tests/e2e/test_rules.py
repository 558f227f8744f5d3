"""Rules of the specification that small programs can show."""
from harness import IPV4


def test_events_and_queue_pairs(host):  # [spec 1.4.39, 4 #18, 6.2 #12, 6.4.7]
    assert host.run("cm_rules", IPV4, 7471).succeeds().splitlines() == [
        "get_cm_event of an empty channel: EAGAIN", "create_qp in a domain of another device: EINVAL",
        "state of a new queue pair: INIT", "destroy_id waits for the acknowledgement: ok"]
