#include "agent/fault_board.hpp"

#include <gtest/gtest.h>

namespace hawser::agent {
namespace {

TEST(FaultBoard, ConcernsWhomItNames) {
  const FaultBoard::Fault all{}, one{.target = {7, ""}, .text = {}, .effects = {}},
      program{.target = {0, "rping"}, .text = {}, .effects = {}};
  EXPECT_TRUE(all.concerns(7, "rping"));
  EXPECT_TRUE(one.concerns(7, "rping"));
  EXPECT_FALSE(one.concerns(8, "rping"));
  EXPECT_TRUE(program.concerns(8, "rping"));
  EXPECT_FALSE(program.concerns(7, "cmtime"));
}

TEST(FaultBoard, RemembersWhatEndedProcessesHaveSeen) {
  FaultBoard board;
  const std::uint32_t number = board.add({}, "drop=REQ");
  board.give(number, 1);
  board.give(number, 2);
  board.on_state(number, 1, 5, {}, "drop=REQ");
  board.on_state(number, 2, 2, {}, "drop=REQ");
  board.on_state(number, 2, 1, {}, "drop=REQ");  // of another thread, overtaken
  EXPECT_EQ(board.faults().at(number).all_effects(), 7U);
  board.on_end(1);
  EXPECT_EQ(board.faults().at(number).all_effects(), 7U);
  EXPECT_EQ(board.faults().at(number).effects.size(), 1U);
}

TEST(FaultBoard, LearnsFromProcessesWhatItsPredecessorKnew) {
  FaultBoard board;
  board.on_state(4, 1, 2, {0, "rping"}, "drop=REP");
  board.on_state(4, 2, 3, {0, "rping"}, "drop=REP");
  board.on_state(2, 2, 0, {}, "remove=hw_eth0");  // in whatever order they come
  ASSERT_EQ(board.faults().size(), 2U);
  EXPECT_EQ(board.faults().at(4).all_effects(), 5U);
  EXPECT_EQ(board.faults().at(4).target.program, "rping");
  EXPECT_EQ(board.add({}, "drop=REQ"), 5U);
}

TEST(FaultBoard, WhatWasClearedDoesNotComeBackByALateReport) {
  FaultBoard board;
  const std::uint32_t first = board.add({}, "drop=REQ");
  const std::uint32_t second = board.add({}, "drop=REP");
  EXPECT_EQ(board.clear(first), 1U);
  EXPECT_EQ(board.clear(first), 0U);
  board.on_state(first, 1, 1, {}, "drop=REQ");
  EXPECT_EQ(board.faults().size(), 1U);
  EXPECT_EQ(board.clear(0), 1U);
  EXPECT_GT(board.add({}, "drop=REQ"), second);
}

}  // namespace
}  // namespace hawser::agent
