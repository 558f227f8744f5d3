#include "fabric/faults.hpp"

#include <algorithm>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hawser::fabric {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Remembers the first payload byte of everything that gets through.
class RecordingFabric final : public Fabric {
 public:
  explicit RecordingFabric(std::vector<int>& log) : log_(log) {}
  std::size_t send(std::span<const OutDatagram> datagrams) override {
    for (const OutDatagram& d : datagrams) log_.push_back(std::to_integer<int>(d.payload[0]));
    sent_ += datagrams.size();
    return datagrams.size();
  }
  std::size_t receive(std::span<InDatagram>) override { return 0; }
  [[nodiscard]] std::uint16_t source_port() const override { return 7; }
  [[nodiscard]] int poll_fd() const override { return -1; }
  [[nodiscard]] Counters counters() const override { return {.sent = sent_}; }

 private:
  std::vector<int>& log_;
  std::uint64_t sent_ = 0;
};

// What gets through of `count` datagrams that are numbered from 0.
std::vector<int> survivors(const FaultPlan& plan, int count, Counters* counters = nullptr) {
  std::vector<int> log;
  FaultyFabric fabric(std::make_unique<RecordingFabric>(log), plan);
  for (int i = 0; i < count; ++i) {
    const std::byte payload[1] = {static_cast<std::byte>(i)};
    const OutDatagram out{.source = {}, .destination = {}, .payload = payload};
    EXPECT_EQ(fabric.send({&out, 1}), 1U) << "a loss on the wire is no failure to send";
  }
  if (counters != nullptr) *counters = fabric.counters();
  return log;
}

TEST(FaultyFabric, WithoutAPlanEverythingPasses) { EXPECT_THAT(survivors({}, 4), ElementsAre(0, 1, 2, 3)); }

TEST(FaultyFabric, LosesTheNth) { EXPECT_THAT(survivors({.lose_nth = 2}, 5), ElementsAre(0, 1, 3, 4)); }

TEST(FaultyFabric, LosesByBitmapAndThenNothing) {
  EXPECT_THAT(survivors({.lose_bitmap = {false, true, true, false}}, 6), ElementsAre(0, 3, 4, 5));
}

TEST(FaultyFabric, CertainLossAndCertainDuplication) {
  EXPECT_THAT(survivors({.loss = 1}, 3), ElementsAre());
  Counters counters;
  EXPECT_THAT(survivors({.duplication = 1}, 2, &counters), ElementsAre(0, 0, 1, 1));
  EXPECT_EQ(counters.fault_duplicated, 2U);
  EXPECT_EQ(counters.sent, 4U);
}

TEST(FaultyFabric, RandomLossIsNearItsProbabilityAndCounted) {
  Counters counters;
  const auto through = survivors({.loss = 0.05, .seed = 42}, 10000, &counters);
  EXPECT_EQ(through.size() + counters.fault_dropped, 10000U);
  EXPECT_GT(counters.fault_dropped, 400U);
  EXPECT_LT(counters.fault_dropped, 600U);
}

TEST(FaultyFabric, TheSeedAloneDecides) {
  const FaultPlan plan{.loss = 0.3, .duplication = 0.2, .seed = 7};
  EXPECT_EQ(survivors(plan, 200), survivors(plan, 200));
  FaultPlan other = plan;
  other.seed = 8;
  EXPECT_NE(survivors(plan, 200), survivors(other, 200));
  // More loss by other means does not change the fate of the rest.
  FaultPlan with_nth = plan;
  with_nth.lose_nth = 3;
  auto expected = survivors(plan, 200);
  std::erase(expected, 3);
  EXPECT_EQ(survivors(with_nth, 200), expected);
}

TEST(FaultyFabric, BatchesAreTreatedDatagramByDatagram) {
  std::vector<int> log;
  FaultyFabric fabric(std::make_unique<RecordingFabric>(log), {.lose_nth = 1});
  const std::byte a[1] = {std::byte{1}};
  const std::byte b[1] = {std::byte{2}};
  const OutDatagram batch[2] = {{.source = {}, .destination = {}, .payload = a},
                                {.source = {}, .destination = {}, .payload = b}};
  EXPECT_EQ(fabric.send(batch), 2U);
  EXPECT_THAT(log, ElementsAre(1));
}

TEST(FaultyFabric, PlansComeGoAndCount) {
  std::vector<int> log;
  RecordingFabric wire(log);
  FaultyFabric fabric(wire);
  const auto send = [&](int number) {
    const std::byte payload[1] = {static_cast<std::byte>(number)};
    const OutDatagram out{.source = {}, .destination = {}, .payload = payload};
    EXPECT_EQ(fabric.send({&out, 1}), 1U);
  };
  send(0);
  fabric.set(7, {.lose_nth = 1});
  fabric.set(8, {.duplication = 1});
  for (int i = 1; i <= 3; ++i) send(i);
  EXPECT_THAT(log, ElementsAre(0, 1, 1, 3, 3)) << "counted from when the plan was set; lost is lost";
  EXPECT_THAT(fabric.effects(), ElementsAre(testing::Pair(7, 1), testing::Pair(8, 3)));
  EXPECT_TRUE(fabric.clear(8));
  EXPECT_FALSE(fabric.clear(8));
  fabric.set(7, {.loss = 1});
  send(4);
  EXPECT_THAT(fabric.effects(), ElementsAre(testing::Pair(7, 1))) << "another plan counts anew";
  EXPECT_TRUE(fabric.clear(7));
  send(5);
  EXPECT_THAT(log, ElementsAre(0, 1, 1, 3, 3, 5));
  EXPECT_EQ(fabric.counters().fault_dropped, 2U);
  EXPECT_EQ(fabric.counters().fault_duplicated, 2U);
}

TEST(FaultPlanParse, TextsAndBack) {
  for (const FaultPlan& plan : {FaultPlan{}, FaultPlan{.loss = 0.05, .duplication = 1, .lose_nth = 0, .seed = 9},
                                FaultPlan{.lose_bitmap = {true, false}}}) {
    EXPECT_EQ(*FaultPlan::parse(plan.text()), plan) << plan.text();
  }
}

TEST(FaultPlanParse, UnderstandsEveryPart) {
  const auto plan = FaultPlan::parse("loss=5%,duplicate=0.01,nth=3,bitmap=01101,seed=42");
  ASSERT_TRUE(plan);
  EXPECT_DOUBLE_EQ(plan->loss, 0.05);
  EXPECT_DOUBLE_EQ(plan->duplication, 0.01);
  EXPECT_EQ(plan->lose_nth, 3U);
  EXPECT_THAT(plan->lose_bitmap, ElementsAre(false, true, true, false, true));
  EXPECT_EQ(plan->seed, 42U);
  EXPECT_TRUE(FaultPlan::parse(""));
}

TEST(FaultPlanParse, SaysWhichPartIsWrong) {
  const std::pair<const char*, const char*> wrong[] = {
      {"loss=5%,los=1", "\"los=1\""}, {"loss=101%", "\"loss=101%\""}, {"loss=-1%", "\"loss=-1%\""},
      {"loss=", "\"loss=\""},         {"loss=nan", "\"loss=nan\""},   {"duplicate=x", "\"duplicate=x\""},
      {"nth=3x", "\"nth=3x\""},       {"nth=-1", "\"nth=-1\""},       {"bitmap=012", "\"bitmap=012\""},
      {"bitmap=", "\"bitmap=\""},     {"seed", "\"seed\""},           {"seed=1,,loss=1", "\"\""},
      {"nth=1,nth=2", "\"nth=2\""},   {"loss=5%,", "\"loss=5%\""},    {" loss=5%", "\" loss=5%\""},
  };
  for (const auto& [text, part] : wrong) {
    testing::internal::CaptureStderr();
    const auto plan = FaultPlan::parse(text);
    const std::string message = testing::internal::GetCapturedStderr();
    EXPECT_EQ(errno_of(plan), plan ? -1 : EINVAL) << text;
    EXPECT_THAT(message, HasSubstr(part)) << text;
  }
}

}  // namespace
}  // namespace hawser::fabric
