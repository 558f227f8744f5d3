"""Calls that the state of an id does not allow [spec 1.4]."""


def test_wrong_state_is_einval(host):
    host.run("cm_listen", "127.0.0.1", 7471).line("^listening")
    lines = host.run("cm_wrong_state", "127.0.0.1", 7471).succeeds().splitlines()
    assert len(lines) == 5 + 6 + 8 + 7 + 7
    assert [line for line in lines if not line.endswith(": EINVAL")] == []
