#include "cm/fault.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hawser::cm {
namespace {

using addr::NetworkFault;
using addr::NetworkFaultKind;
using addr::SubnetFault;
using addr::SubnetFaultKind;
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

MadFault mads(std::string_view text) {
  const auto fault = parse_fault(text);
  EXPECT_TRUE(fault) << text << ": " << fault.error();
  return fault ? std::get<MadFault>(*fault) : MadFault();
}

TEST(Fault, OfMessages) {
  EXPECT_EQ(mads("drop=REQ"), (MadFault{.action = MadFault::Action::drop, .kind = Attribute::req}));
  EXPECT_EQ(mads("drop=REP:nth=2"), (MadFault{.kind = Attribute::rep, .first = 2, .last = 2}));
  EXPECT_EQ(mads("drop=RTU:nth=2-4:port=7471"),
            (MadFault{.kind = Attribute::rtu, .first = 2, .last = 4, .port = std::uint16_t{7471}}));
  EXPECT_EQ(mads("delay=SIDR_REP:nth=3-:by=2s:id=7"),
            (MadFault{.action = MadFault::Action::delay, .kind = Attribute::sidr_rep, .first = 3, .by = 2s, .id = 7U}));
  EXPECT_EQ(mads("duplicate=DREQ:chance=25%:seed=9"),
            (MadFault{.action = MadFault::Action::duplicate, .kind = Attribute::dreq, .chance = 0.25, .seed = 9}));
}

TEST(Fault, OfTheNetwork) {
  EXPECT_EQ(parse_fault("remove=hw_eth0"), Fault(NetworkFault{NetworkFaultKind::remove_interface, "eth0", {}}));
  EXPECT_EQ(parse_fault("change-mac=hw_hw_x"), Fault(NetworkFault{NetworkFaultKind::change_mac, "hw_x", {}}));
  EXPECT_EQ(parse_fault("remove-address=10.0.0.1"),
            Fault(NetworkFault{NetworkFaultKind::remove_address, "", IpAddress::v4(0x0A000001)}));
  EXPECT_EQ(parse_fault("move-neighbour=fe80::1"),
            Fault(NetworkFault{NetworkFaultKind::move_neighbour, "", *IpAddress::parse("fe80::1")}));
  EXPECT_EQ(parse_fault("silence-route=10.0.0.1"),
            Fault(SubnetFault{SubnetFaultKind::silence_route, IpAddress::v4(0x0A000001), ""}));
  EXPECT_EQ(parse_fault("silence-service=a b"), Fault(SubnetFault{SubnetFaultKind::silence_service, {}, "a b"}));
  EXPECT_EQ(parse_fault("end-timewait"), Fault(EndTimewait()));
}

TEST(Fault, IsWrittenAsItIsRead) {
  for (const char* text :
       {"drop=REQ", "drop=MRA:nth=1", "drop=REJ:nth=2-5:port=7471:id=3", "duplicate=DREP:nth=4-", "end-timewait",
        "delay=REP:chance=0.125:seed=3:by=1500ms", "remove=hw_eth0", "link-down=hw_eth0", "remove-address=10.0.0.1",
        "silence-neighbour=fd72::1", "move-neighbour=10.0.0.2", "change-mac=hw_eth0", "silence-route=fd72::1",
        "silence-service=storage"}) {
    const auto fault = parse_fault(text);
    ASSERT_TRUE(fault) << fault.error();
    EXPECT_EQ(text_of(*fault), text);
  }
}

// Found by fault_fuzzer: more than an hour in seconds was taken, and written as milliseconds that nobody would take.
TEST(Fault, ADelayIsAtMostAnHourWhateverTheUnit) {
  for (const char* text : {"delay=REP:by=3600s", "delay=REP:by=3600000ms"}) {
    EXPECT_EQ(text_of(*parse_fault(text)), "delay=REP:by=3600000ms");
  }
  for (const char* text : {"delay=REP:by=3601s", "delay=REP:by=5005s", "delay=REP:by=3600001ms"}) {
    EXPECT_FALSE(parse_fault(text)) << text;
  }
}

TEST(Fault, WhatIsWrongIsSaid) {
  const auto wrong = [](const char* text) {
    const auto fault = parse_fault(text);
    return fault ? std::string("nothing is wrong with ") + text : fault.error();
  };
  EXPECT_THAT(wrong(""), HasSubstr("one of drop, delay"));
  EXPECT_THAT(wrong("lose=REQ"), HasSubstr("\"lose\" is no fault"));
  EXPECT_THAT(wrong("drop=req"), HasSubstr("\"req\" is no message: one of REQ, REP"));
  EXPECT_THAT(wrong("drop=LAP"), HasSubstr("\"LAP\" is no message"));
  EXPECT_THAT(wrong("drop=REQ:nth=0"), HasSubstr("counted from 1"));
  EXPECT_THAT(wrong("drop=REQ:nth=4-2"), HasSubstr("counted from 1"));
  EXPECT_THAT(wrong("drop=REQ:nth=1:nth=2"), HasSubstr("given once"));
  EXPECT_THAT(wrong("drop=REQ:chance=2"), HasSubstr("a probability"));
  EXPECT_THAT(wrong("drop=REQ:port=70000"), HasSubstr("a port"));
  EXPECT_THAT(wrong("drop=REQ:by=1s"), HasSubstr("belongs to delay"));
  EXPECT_THAT(wrong("delay=REQ"), HasSubstr("how long"));
  EXPECT_THAT(wrong("delay=REQ:by=1"), HasSubstr("by=500ms"));
  EXPECT_THAT(wrong("drop=REQ:colour=red"), HasSubstr("one of nth, chance"));
  EXPECT_THAT(wrong("remove=eth0"), HasSubstr("begins with hw_"));
  EXPECT_THAT(wrong("remove-address=hw_eth0"), HasSubstr("no IP address"));
  EXPECT_THAT(wrong("silence-route=storage"), HasSubstr("no IP address"));
  EXPECT_THAT(wrong("silence-service="), HasSubstr("has a name"));
  EXPECT_THAT(wrong("end-timewait=now"), HasSubstr("is no fault"));
}

TEST(FaultPlans, FaultsOfDatagramsBesideOurs) {
  const auto plans = parse_plans("loss=5%,drop=REQ:nth=1,duplicate=1%,duplicate=REP,seed=4");
  ASSERT_TRUE(plans);
  ASSERT_TRUE(plans->datagrams);
  EXPECT_EQ(plans->datagrams->loss, 0.05);
  EXPECT_EQ(plans->datagrams->duplication, 0.01);
  EXPECT_EQ(plans->datagrams->seed, 4U);
  EXPECT_THAT(plans->faults, ElementsAre(Fault(mads("drop=REQ:nth=1")), Fault(mads("duplicate=REP"))));
}

TEST(FaultPlans, NothingAsksForNothing) {
  const auto plans = parse_plans("");
  ASSERT_TRUE(plans);
  EXPECT_FALSE(plans->datagrams);
  EXPECT_TRUE(plans->faults.empty());
}

TEST(FaultPlans, AnErrorInOnePartIsAnError) {
  for (const char* text : {"loss=5%,drop=RQE", "loss=a lot,drop=REQ", "drop=REQ,", ",drop=REQ", "nonsense"}) {
    testing::internal::CaptureStderr();
    EXPECT_FALSE(parse_plans(text)) << text;
    EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("HAWSER_FAULT")) << text;
  }
}

}  // namespace
}  // namespace hawser::cm
