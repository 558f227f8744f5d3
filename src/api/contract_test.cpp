// HAWSER_CHECK=1 in a C++ program: what is reported names the program's own places.
#include <cstdlib>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/stack_impl.hpp"
#include "api/test_hosts.hpp"

namespace hawser {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using enum CmEventType;

struct Checked {
  Checked() { ::setenv("HAWSER_CHECK", "1", 1); }
  ~Checked() { ::unsetenv("HAWSER_CHECK"); }
};

// The hosts are made while the environment says so.
class ApiContract : private Checked, public TwoSimulatedHosts {
 protected:
  ApiContract() { testing::internal::CaptureStderr(); }
  [[nodiscard]] static std::string reports() { return testing::internal::GetCapturedStderr(); }
};

TEST_F(ApiContract, SaysNothingOfAProgramThatKeepsIt) {
  Server server(b_);
  Client client(a_, to_b_);
  ASSERT_TRUE(simulation_.run());
  ASSERT_TRUE(client.id.disconnect());
  ASSERT_TRUE(simulation_.run());
  EXPECT_EQ(client.id.state(), IdState::disconnect);
  client.id.destroy();
  EXPECT_THAT(reports(), IsEmpty());
}

TEST_F(ApiContract, ACallAfterTheHandlerReturnedNonZero) {  // [spec 2.2.2]
  Client client(a_, to_b_);
  client.react = [](IdRef, CmEvent&) -> std::optional<int> { return -1; };
  ASSERT_TRUE(simulation_.run());
  EXPECT_EQ(errno_of(client.id.resolve_route(1s)), EINVAL);
  EXPECT_THAT(reports(), AllOf(HasSubstr("contract: resolve_route called at api_test("),
                               HasSubstr("on an id that has ended: the handler hawser::Client::Client("),
                               HasSubstr("told RDMA_CM_EVENT_ADDR_RESOLVED, returned non-zero")));
}

TEST_F(ApiContract, AQueuePairForAnIdThatHasEnded) {  // [spec 2.2.2]
  Client client(a_, to_b_);
  client.react = [](IdRef, CmEvent&) -> std::optional<int> { return -1; };
  ASSERT_TRUE(simulation_.run());
  EXPECT_EQ(errno_of(client.id.create_qp({}, {})), EINVAL);
  EXPECT_EQ(errno_of(client.id.lock_handler()), EINVAL);
  EXPECT_THAT(reports(), AllOf(HasSubstr("contract: create_qp called at api_test("),
                               HasSubstr("contract: lock_handler called at api_test("),
                               HasSubstr("told RDMA_CM_EVENT_ADDR_RESOLVED, returned non-zero")));
}

TEST_F(ApiContract, AnIdThatItsOwnerEndsInTheHandlerIsNoBreach) {
  Client client(a_, to_b_);
  client.react = [&](IdRef, CmEvent&) -> std::optional<int> {
    client.id.destroy();
    return std::nullopt;
  };
  ASSERT_TRUE(simulation_.run());
  EXPECT_EQ(errno_of(client.id.resolve_route(1s)), EINVAL);
  EXPECT_THAT(reports(), IsEmpty());
}

TEST_F(ApiContract, ConnectFromTheHandler) {  // [spec 2.2.4]
  Client client(a_, to_b_);
  client.react = [](IdRef id, CmEvent& event) -> std::optional<int> {
    if (event.type != route_resolved) return std::nullopt;
    EXPECT_EQ(errno_of(id.connect({})), EDEADLK);
    return 0;
  };
  ASSERT_TRUE(simulation_.run());
  EXPECT_THAT(reports(), AllOf(HasSubstr("contract: connect called at api_test("),
                               HasSubstr("from inside the handler hawser::Client::Client("),
                               HasSubstr("told RDMA_CM_EVENT_ROUTE_RESOLVED")));
}

TEST_F(ApiContract, LockingTheHandlerFromTheHandler) {  // [spec 2.2.4]
  Client client(a_, to_b_);
  client.react = [](IdRef id, CmEvent& event) -> std::optional<int> {
    if (event.type != route_resolved) return std::nullopt;
    EXPECT_EQ(errno_of(id.lock_handler()), EDEADLK);
    EXPECT_EQ(errno_of(id.unlock_handler()), EPERM) << "the lock is the dispatcher's";
    return 0;
  };
  ASSERT_TRUE(simulation_.run());
  EXPECT_THAT(reports(),
              AllOf(HasSubstr("contract: lock_handler called at api_test("),
                    HasSubstr("from inside the handler hawser::Client::Client("), Not(HasSubstr("unlock_handler"))));
}

TEST_F(ApiContract, TheHandlersLockIsItsHoldersAlone) {
  Id id = *a_.create_id([](IdRef, CmEvent&) { return 0; });
  EXPECT_EQ(errno_of(id.unlock_handler()), EPERM);
  ASSERT_TRUE(id.lock_handler());
  EXPECT_EQ(errno_of(id.lock_handler()), EDEADLK);
  std::thread([&] { EXPECT_EQ(errno_of(id.unlock_handler()), EPERM); }).join();
  EXPECT_TRUE(id.unlock_handler());
  EXPECT_THAT(reports(), IsEmpty());
}

// One thread is inside listen(), which waits for the handlers to be unlocked; another one calls.
TEST_F(ApiContract, TwoCallsOfOneIdAtOnce) {  // [spec 2.2.1]
  std::mutex mutex;
  std::string reported;
  auto& contract = a_.impl()->cma().contract();
  contract.watch([&](const cma::ContractReport& report) {
    const std::lock_guard lock(mutex);
    reported = report.text();
  });
  const auto nothing_yet = [&] {
    const std::lock_guard lock(mutex);
    return reported.empty();
  };
  Id id = *a_.create_id([](IdRef, CmEvent&) { return 0; });
  ASSERT_TRUE(id.lock_handler());
  std::thread other([&] { EXPECT_TRUE(id.listen(1)); });
  while (nothing_yet()) {
    EXPECT_TRUE(id.set_service_type(0));
    std::this_thread::yield();
  }
  EXPECT_TRUE(id.unlock_handler());
  other.join();
  EXPECT_THAT(reported,
              ContainsRegex("contract: (listen|set_option) called at api_test\\(.* while (set_option|listen) called at "
                            "api_test\\(.* runs on the same id"));
  EXPECT_THAT(reports(), IsEmpty());
}

}  // namespace
}  // namespace hawser
