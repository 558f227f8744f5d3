#include "agent/undertaker.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "agent/steering.hpp"
#include "base/wire.hpp"

namespace hawser::agent {
namespace {

using std::chrono::milliseconds;

const IpAddress ours = *IpAddress::parse("10.0.0.1");
const IpAddress theirs = *IpAddress::parse("10.0.0.2");
constexpr std::uint32_t chunk = 0x123;
constexpr std::uint32_t our_id = chunk << comm_id_chunk_bits | 5;
constexpr std::uint32_t their_id = 0x99000001;
constexpr std::uint64_t our_guid = 0x0248570000000042;

// Keeps what is sent.
class Wire final : public fabric::Fabric {
 public:
  std::size_t send(std::span<const fabric::OutDatagram> datagrams) override {
    for (const auto& datagram : datagrams) {
      std::vector<std::byte> bytes(datagram.payload.begin(), datagram.payload.end());
      fabric::InDatagram in;
      in.source = datagram.source;
      in.destination = datagram.destination;
      in.source_port = source_port();
      in.payload = bytes;
      const auto packet = roce::decode(in);
      EXPECT_TRUE(packet);
      const auto mad = parse_mad(in, *packet);
      EXPECT_TRUE(mad);
      if (mad) sent.push_back(*mad);
    }
    return datagrams.size();
  }
  std::size_t receive(std::span<fabric::InDatagram>) override { return 0; }
  [[nodiscard]] std::uint16_t source_port() const override { return 4791; }
  [[nodiscard]] int poll_fd() const override { return -1; }
  [[nodiscard]] fabric::Counters counters() const override { return {}; }

  template <class Body>
  [[nodiscard]] std::vector<Body> all() const {
    std::vector<Body> bodies;
    for (const ArrivedMad& mad : sent) {
      if (const auto* body = std::get_if<Body>(&mad.message.body)) bodies.push_back(*body);
    }
    return bodies;
  }
  std::vector<ArrivedMad> sent;
};

class UndertakerTest : public ::testing::Test {
 protected:
  UndertakerTest() : memory_(*create_ledger()), ledger_(*LedgerMemory::map(memory_.get())) {}

  void connection(cm::State state, std::uint32_t id = our_id) {
    cm::update(ledger_->allocate(), [&](cm::LedgerRecord& r) {
      r.cm_state = static_cast<std::uint8_t>(state);
      r.local_comm_id = id;
      r.remote_comm_id = their_id;
      r.local_qpn = chunk << qpn_chunk_bits | 9;
      r.remote_qpn = 0x777;
      r.local_guid = our_guid;
      r.tid = 0x1111;
      r.remote_tid = 0x2222;
      r.port_space = 0x0111;
      r.source_port = 7174;
      std::ranges::copy(ours.bytes, r.local_gid);
      std::ranges::copy(theirs.bytes, r.remote_gid);
    });
  }

  void die() {
    const std::array<std::uint32_t, 1> chunks{chunk};
    const auto view = LedgerView::map(memory_.get());
    undertaker_.take(1, *view, chunks, now_);
  }

  // A message of the other side that reaches the dead slot.
  void arrives(const cm::Body& body) {
    Wire other;
    std::vector<std::byte> bytes;
    struct Loop final : fabric::Fabric {
      explicit Loop(std::vector<std::byte>& out) : bytes(out) {}
      std::size_t send(std::span<const fabric::OutDatagram> d) override {
        bytes.assign(d[0].payload.begin(), d[0].payload.end());
        return d.size();
      }
      std::size_t receive(std::span<fabric::InDatagram>) override { return 0; }
      [[nodiscard]] std::uint16_t source_port() const override { return 4791; }
      [[nodiscard]] int poll_fd() const override { return -1; }
      [[nodiscard]] fabric::Counters counters() const override { return {}; }
      std::vector<std::byte>& bytes;
    } loop(bytes);
    send_mad(loop, {theirs, ours, 0, 0, 64}, cm::encode({0, 0, 0x3333, 0}, body));
    fabric::InDatagram in;
    in.source = theirs;
    in.destination = ours;
    in.source_port = 4791;
    in.payload = bytes;
    EXPECT_TRUE(undertaker_.on_datagram(1, in));
  }

  // The REJ of a state, sent once at once.
  cm::Rej only_reject(cm::State state) {
    connection(state);
    die();
    EXPECT_EQ(wire_.sent.size(), 1U);
    const auto rejects = wire_.all<cm::Rej>();
    EXPECT_EQ(rejects.size(), 1U);
    return rejects.empty() ? cm::Rej() : rejects[0];
  }

  rt::Time now_{std::chrono::hours(1)};
  Wire wire_;
  Descriptor memory_;
  std::unique_ptr<LedgerMemory> ledger_;
  Undertaker undertaker_{wire_};
};

// [spec 5.5.21]
TEST_F(UndertakerTest, GivesUpARequestThatWasSent) {
  for (const cm::State state : {cm::State::req_sent, cm::State::mra_req_rcvd}) {
    UndertakerTest::wire_.sent.clear();
    SCOPED_TRACE(static_cast<int>(state));
    ledger_ = *LedgerMemory::map((memory_ = *create_ledger()).get());
    const cm::Rej rej = only_reject(state);
    EXPECT_EQ(rej.reason, 4);
    EXPECT_EQ(rej.local_comm_id.value, our_id);
    EXPECT_EQ(rej.remote_comm_id.value, 0U);
    EXPECT_EQ(rej.answered, cm::Answered::other);
    EXPECT_EQ(rej.additional_info_length, 8);
    EXPECT_EQ(read_bits(rej.additional_info, 0, 0, 64), our_guid);
    EXPECT_EQ(wire_.sent[0].message.header.tid, 0x1111U);
    EXPECT_EQ(wire_.sent[0].from.local, theirs);  // where it went
    EXPECT_EQ(wire_.sent[0].from.remote, ours);
  }
}

TEST_F(UndertakerTest, RefusesARequestWithoutShowingAnId) {
  const cm::Rej rej = only_reject(cm::State::req_rcvd);
  EXPECT_EQ(rej.reason, 28);
  EXPECT_EQ(rej.local_comm_id.value, 0U);
  EXPECT_EQ(rej.remote_comm_id.value, their_id);
  EXPECT_EQ(rej.answered, cm::Answered::req);
  EXPECT_EQ(wire_.sent[0].message.header.tid, 0x2222U);
}

TEST_F(UndertakerTest, RefusesWhereAnIdIsKnown) {
  const struct {
    cm::State state;
    cm::Answered answered;
  } rows[] = {{cm::State::mra_req_sent, cm::Answered::req},
              {cm::State::rep_sent, cm::Answered::other},
              {cm::State::mra_rep_rcvd, cm::Answered::other},
              {cm::State::rep_rcvd, cm::Answered::rep},
              {cm::State::mra_rep_sent, cm::Answered::rep}};
  for (const auto& row : rows) {
    SCOPED_TRACE(static_cast<int>(row.state));
    wire_.sent.clear();
    ledger_ = *LedgerMemory::map((memory_ = *create_ledger()).get());
    const cm::Rej rej = only_reject(row.state);
    EXPECT_EQ(rej.reason, 28);
    EXPECT_EQ(rej.local_comm_id.value, our_id);
    EXPECT_EQ(rej.remote_comm_id.value, their_id);
    EXPECT_EQ(rej.answered, row.answered);
  }
}

TEST_F(UndertakerTest, RefusesAServiceRequestThatWasNotAnswered) {
  connection(cm::State::sidr_req_rcvd);
  die();
  ASSERT_EQ(wire_.sent.size(), 1U);
  const auto reply = wire_.all<cm::SidrRep>().at(0);
  EXPECT_EQ(reply.request_id.value, their_id);
  EXPECT_EQ(reply.status, 2);
  EXPECT_EQ(reply.service_id.value, 0x0111'1C06U);
  EXPECT_EQ(wire_.sent[0].message.header.tid, 0x2222U);
  EXPECT_EQ(wire_.sent[0].from.local, theirs);
  undertaker_.on_time(now_ += milliseconds(60));
  EXPECT_EQ(wire_.sent.size(), 2U) << "once more against loss";
  EXPECT_EQ(undertaker_.finished(now_), std::vector{1U});
}

TEST_F(UndertakerTest, DisconnectsUntilTheAnswerComes) {
  connection(cm::State::established);
  die();
  ASSERT_EQ(wire_.all<cm::Dreq>().size(), 1U);
  const cm::Dreq dreq = wire_.all<cm::Dreq>()[0];
  EXPECT_EQ(dreq.local_comm_id.value, our_id);
  EXPECT_EQ(dreq.remote_comm_id.value, their_id);
  EXPECT_EQ(dreq.remote_qpn.value, 0x777U);
  EXPECT_TRUE(undertaker_.finished(now_).empty());
  undertaker_.on_time(now_ += milliseconds(60));
  EXPECT_EQ(wire_.all<cm::Dreq>().size(), 2U);
  cm::Drep wrong;
  wrong.local_comm_id = CommId(their_id + 1);
  wrong.remote_comm_id = CommId(our_id);
  arrives(wrong);
  EXPECT_TRUE(undertaker_.finished(now_).empty());
  cm::Drep right = wrong;
  right.local_comm_id = CommId(their_id);
  arrives(right);
  EXPECT_EQ(undertaker_.finished(now_), std::vector{1U});
  EXPECT_TRUE(undertaker_.idle());
}

TEST_F(UndertakerTest, GivesUpAfterTwoSeconds) {
  connection(cm::State::dreq_sent);
  die();
  const rt::Time end = now_ + std::chrono::seconds(2);
  while (now_ < end) {
    EXPECT_TRUE(undertaker_.finished(now_).empty());
    const rt::Time next = undertaker_.next_deadline();
    ASSERT_GT(next, now_);
    undertaker_.on_time(now_ = next);
  }
  EXPECT_EQ(undertaker_.finished(now_), std::vector{1U});
  EXPECT_GE(wire_.all<cm::Dreq>().size(), 4U);
  EXPECT_LE(wire_.all<cm::Dreq>().size(), 10U);
  EXPECT_EQ(undertaker_.counters().given_up, 1U);
}

TEST_F(UndertakerTest, AnswersADisconnectOfTheOtherSide) {
  connection(cm::State::established);
  die();
  cm::Dreq dreq;
  dreq.local_comm_id = CommId(their_id);
  dreq.remote_comm_id = CommId(our_id);
  arrives(dreq);
  ASSERT_EQ(wire_.all<cm::Drep>().size(), 1U);
  EXPECT_EQ(wire_.all<cm::Drep>()[0].local_comm_id.value, our_id);
  EXPECT_EQ(undertaker_.finished(now_), std::vector{1U});
}

TEST_F(UndertakerTest, AnswersAReplyThatCrossedTheEnd) {
  connection(cm::State::req_sent);
  die();
  cm::Rep rep;
  rep.local_comm_id = CommId(their_id);
  rep.remote_comm_id = CommId(our_id);
  arrives(rep);
  EXPECT_GE(wire_.all<cm::Rej>().size(), 2U);
  EXPECT_EQ(wire_.all<cm::Rej>().back().answered, cm::Answered::rep);
}

TEST_F(UndertakerTest, OwesNothingWhereNothingIsUnderWay) {
  for (const cm::State state : {cm::State::idle, cm::State::listen, cm::State::timewait, cm::State::sidr_req_sent})
    connection(state);
  die();
  EXPECT_TRUE(wire_.sent.empty());
  EXPECT_EQ(undertaker_.finished(now_), std::vector{1U});
}

TEST_F(UndertakerTest, DoesNotBelieveIdsOfOthers) {
  connection(cm::State::established, (chunk + 1) << comm_id_chunk_bits | 5);
  connection(static_cast<cm::State>(200));
  die();
  EXPECT_TRUE(wire_.sent.empty());
  EXPECT_EQ(undertaker_.counters().invalid_records, 1U);
}

TEST_F(UndertakerTest, EndsACrowdInBursts) {
  for (std::uint32_t i = 0; i < 1000; ++i) connection(cm::State::established, (our_id & ~0xFFFU) + i);
  die();
  EXPECT_EQ(wire_.sent.size(), 64U);
  std::set<std::uint32_t> ended;
  const rt::Time end = now_ + std::chrono::seconds(2);
  while (now_ < end) undertaker_.on_time(now_ = undertaker_.next_deadline());
  for (const cm::Dreq& dreq : wire_.all<cm::Dreq>()) ended.insert(dreq.local_comm_id.value);
  EXPECT_EQ(ended.size(), 1000U);
}

}  // namespace
}  // namespace hawser::agent
