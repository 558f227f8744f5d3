// The sending half of an RcQp (IBTA 9.7.2 to 9.7.7, requester side): turns work requests into packets, keeps them until
// they are acknowledged, repeats what was lost (go-back-N), completes them in order. Threading: as RcQp. Private to the
// room.
#pragma once

#include <cstdint>
#include <deque>

#include <boost/container/small_vector.hpp>

#include "roce/outbox.hpp"
#include "roce/rc_qp.hpp"

namespace hawser::roce {

class RcQp::Requester {
 public:
  Requester(RcHost& host, const RcAttributes& attributes, const RcLimits& limits, RcCounters& counters, Outbox& outbox)
      : host_(host), attributes_(attributes), limits_(limits), counters_(counters), outbox_(outbox) {}

  void reset();
  void start();
  void drain();
  void resume();
  void flush();
  void post(SendWork&& work);
  // An ACK, NAK, READ response or atomic response.
  void on_response(const Packet& packet);
  void on_time(rt::Time now);

  [[nodiscard]] rt::Time next_deadline() const { return deadline_; }
  [[nodiscard]] std::size_t outstanding() const { return queue_.size(); }
  [[nodiscard]] Psn next_psn() const { return end_; }
  [[nodiscard]] bool failed() const { return state_ == State::failed; }

 private:
  enum class State : std::uint8_t { stopped, running, draining, failed };

  struct Wqe {
    SendWork work{};
    std::uint64_t length{};   // of the whole message
    std::uint32_t packets{};  // PSNs it takes: its own packets, or a READ's responses
    Psn first{};              // valid once started
    bool started{};
    WcStatus failure{};  // a local error found when it was to be sent; told when it is the oldest
  };

  // What is sent at once: one packet of a SEND or WRITE, an atomic, or the request for a part of a READ.
  struct Segment {
    std::uint32_t index{};    // of its first PSN in the message
    std::uint32_t packets{};  // PSNs
    std::uint64_t offset{}, bytes{};
  };

  // Sending.
  void pump();
  bool send_next();
  bool begin(Wqe& wqe);
  [[nodiscard]] bool may_go_out(const Wqe& wqe, const Segment& segment) const;
  [[nodiscard]] Segment segment_at(const Wqe& wqe, std::uint32_t index) const;
  [[nodiscard]] bool wants_ack(const Wqe& wqe, const Segment& segment);
  bool transmit(const Wqe& wqe, const Segment& segment);
  [[nodiscard]] std::uint64_t cost(const Wqe& wqe, std::uint32_t index, std::uint32_t packets) const;
  [[nodiscard]] std::uint32_t read_chunk_packets() const;

  // Answers. Each returns with the engine consistent; on_response() pumps afterwards.
  void on_acknowledge(std::uint8_t syndrome, std::uint32_t distance);
  void on_read_response(const Packet& packet, std::uint32_t distance);
  void on_atomic_response(const Packet& packet, std::uint32_t distance);
  [[nodiscard]] bool acknowledge(std::uint32_t packets);
  void advance(std::uint32_t packets);
  void grow_window(std::uint64_t acknowledged_bytes);

  // Recovery.
  void on_sequence_loss();
  void on_rnr(std::uint8_t timer, std::uint8_t syndrome);
  void retry();
  void go_back();
  void shrink_window();
  void restart_timer();
  [[nodiscard]] rt::Duration ack_timeout() const;

  // Endings.
  void complete_front();
  void fail_front(WcStatus status, std::uint32_t vendor_err);
  void settle();

  RcHost& host_;
  const RcAttributes& attributes_;
  const RcLimits limits_;
  RcCounters& counters_;
  Outbox& outbox_;

  State state_ = State::stopped;
  bool drain_reported_ = false;
  std::deque<Wqe> queue_;
  std::uint32_t mtu_ = 0;

  // PSNs: unacked_ … sent_end_ are on their way or lost, … end_ belong to started work.
  Psn unacked_, sent_end_, end_;
  std::uint32_t front_acked_ = 0;  // packets of queue_.front() that are acknowledged
  std::size_t cursor_wqe_ = 0;     // what is sent next: packet cursor_packet_ of queue_[cursor_wqe_]
  std::uint32_t cursor_packet_ = 0;
  boost::container::small_vector<Psn, 4> reads_;  // one past the last PSN of each READ request or atomic outstanding

  // Bytes between unacked_ and the cursor, and how many there may be (additive increase, multiplicative decrease).
  std::uint64_t in_flight_ = 0, window_ = 0;
  std::uint32_t packets_since_ack_request_ = 0;

  unsigned retries_left_ = 0, rnr_retries_left_ = 0;
  bool unknown_forgiven_ = false;  // a timeout since the last progress cost nothing because nothing was known
  bool loss_handled_ = false;  // a NAK for unacked_ has been acted upon; further ones wait for progress or the timer
  bool rnr_waiting_ = false;
  rt::Time deadline_ = rt::time_never;  // of the ACK timer, or of the RNR wait
};

}  // namespace hawser::roce
