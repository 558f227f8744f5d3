#include "agent/port_holder.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hawser::agent {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(PortHolder, IsFoundWithItsUserAndItsProcess) {
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  socklen_t length = sizeof address;
  ASSERT_EQ(bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length), 0);
  const auto holders = port_holders(ntohs(address.sin_port));
  close(socket);
  ASSERT_EQ(holders.size(), 1U);
  EXPECT_EQ(holders[0].pid, getpid());
  EXPECT_EQ(holders[0].uid, geteuid());
  EXPECT_EQ(holders[0].program, program_name(getpid()));
  EXPECT_FALSE(holders[0].other_users_agent);
}

TEST(PortHolder, IsNamedAsWellAsItCanBe) {
  PortHolder holder{.uid = 1000, .inode = 7};
  EXPECT_THAT(explain_port_holders({holder}, 4791), HasSubstr("a process of uid 1000"));
  holder.pid = 42;
  holder.program = "other";
  EXPECT_THAT(explain_port_holders({{.uid = 0}, holder}, 4791), HasSubstr("process 42 (other) of uid 1000"));
  EXPECT_THAT(explain_port_holders({{.uid = 0}}, 4791), HasSubstr("rdma_rxe"));
  EXPECT_THAT(explain_port_holders({}, 4791), HasSubstr("no socket in this network namespace"));
}

// To end another user's hawserd is no advice: it would come back, and its programs are somebody's work.
TEST(PortHolder, ThatIsAnotherUsersHawserIsSaidToBe) {
  const PortHolder holder{.uid = 1000, .inode = 7, .pid = 42, .program = "hawserd", .other_users_agent = true};
  EXPECT_THAT(explain_port_holders({holder}, 4791),
              AllOf(HasSubstr("the Hawser of uid 1000"), HasSubstr("network namespace"), Not(HasSubstr("end that"))));
}

}  // namespace
}  // namespace hawser::agent
