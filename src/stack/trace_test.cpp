#include "stack/trace.hpp"

#include <gtest/gtest.h>

#include "cm/messages.hpp"

namespace hawser::stack {
namespace {

TEST(Trace, SaysWhichMessageOfWhichConnection) {
  cm::Rej rej;
  rej.local_comm_id = CommId(0x1a2b3c4d);
  rej.remote_comm_id = CommId(0x5e6f);
  rej.reason = 8;
  EXPECT_EQ(describe(cm::encode({}, rej)), "REJ 0x1a2b3c4d → 0x00005e6f reason 8");
  cm::Req req;
  req.local_comm_id = CommId(1);
  req.service_id = ServiceId(0x1061c06);
  req.local_qpn = Qpn(0xabcdef);
  EXPECT_EQ(describe(cm::encode({}, req)), "REQ 0x00000001 service 0x1061c06 QPN 0xabcdef");
}

TEST(Trace, SaysThatSomethingElseIsSomethingElse) {
  EXPECT_EQ(describe(verbs::Mad{}), "a MAD that is no message of the connection manager");
}

}  // namespace
}  // namespace hawser::stack
