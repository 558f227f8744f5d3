#include "agent/peers.hpp"

#include <memory>
#include <vector>

#include <gtest/gtest.h>

namespace hawser::agent {
namespace {

using roce::PeerActivity;
using std::chrono::milliseconds;

class PeersTest : public testing::Test {
 protected:
  std::unique_ptr<rt::World> world = rt::World::simulated(1);
  std::vector<std::uint32_t> asked;
  Peers peers{*world, [this](std::uint32_t chunk) { asked.push_back(chunk); }};

  void pass(milliseconds time) { world->advance_to(world->now() + time); }
};

TEST_F(PeersTest, AsksOnceAndAnswersFromMemory) {
  EXPECT_EQ(peers.activity(7), PeerActivity::unknown);
  EXPECT_EQ(peers.activity(7), PeerActivity::unknown);
  EXPECT_EQ(asked, std::vector<std::uint32_t>({7}));
  peers.on_answer(7, false);
  EXPECT_EQ(peers.activity(7), PeerActivity::running);
  EXPECT_EQ(peers.activity(8), PeerActivity::unknown) << "another process";
  EXPECT_EQ(asked, std::vector<std::uint32_t>({7, 8}));
}

TEST_F(PeersTest, AStoppedPeerStaysSoUntilTheAgentSaysOtherwise) {
  (void)peers.activity(7);
  peers.on_answer(7, true);
  for (int i = 0; i < 20; ++i) {
    pass(milliseconds(500));
    EXPECT_EQ(peers.activity(7), PeerActivity::stopped);
    peers.on_answer(7, true);
  }
  EXPECT_EQ(asked.size(), 21U);
  pass(milliseconds(500));
  EXPECT_EQ(peers.activity(7), PeerActivity::stopped) << "what is known while the question is under way";
  peers.on_answer(7, false);
  EXPECT_EQ(peers.activity(7), PeerActivity::running);
  pass(milliseconds(500));
  EXPECT_EQ(peers.activity(7), PeerActivity::unknown) << "it may have been stopped since";
}

// An agent that is stopped itself, or gone, must not keep a connection to a dead peer alive.
TEST_F(PeersTest, AnAgentThatDoesNotAnswerIsBelievedForASecond) {
  (void)peers.activity(7);
  peers.on_answer(7, true);
  pass(milliseconds(300));
  EXPECT_EQ(peers.activity(7), PeerActivity::stopped);
  pass(milliseconds(900));
  EXPECT_EQ(peers.activity(7), PeerActivity::stopped);
  pass(milliseconds(200));
  EXPECT_EQ(peers.activity(7), PeerActivity::unknown);
}

TEST_F(PeersTest, AnswersThatNobodyAskedForAreNotKept) {
  peers.on_answer(9, true);
  EXPECT_EQ(peers.activity(9), PeerActivity::unknown);
}

}  // namespace
}  // namespace hawser::agent
