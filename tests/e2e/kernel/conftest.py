import pytest

import harness
from guest import SWITCH_IPV4, Guest


@pytest.fixture(scope="session")
def guest(tree):
    """The kernel, booted once for all tests, at a switch of its own."""
    harness.need_namespaces()
    switch = harness.Host(tree, harness.USERS[0])
    try:
        switch.ip("link add br0 type bridge")
        switch.ip(f"addr add {SWITCH_IPV4}/24 dev br0")
        switch.ip("link set br0 up")
        yield Guest(switch)
    finally:
        switch.close(check=False)


@pytest.fixture
def host(request, guest):
    """A host of the test's own, at the guest's switch. Afterwards nothing may be left."""
    host = harness.Host(guest.switch.tree, harness.USERS[-1], beside=guest.switch)
    try:
        host.plug_into(guest.switch)
        yield host
        guest.end_programs()
    finally:
        host.close(check=not getattr(request.node, "failed", True))  # it has no such mark yet if the set-up failed
        harness.wait_for("the cable is gone with its host", lambda: "cable" not in guest.switch.read("/proc/net/dev"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed and "guest" in item.funcargs:
        guest = item.funcargs["guest"]
        report.sections += [(program.name, program.describe()) for program in guest.programs]
        report.sections.append(("guest: console", guest.console()))
