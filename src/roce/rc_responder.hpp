// The receiving half of an RcQp (IBTA 9.7.3 to 9.7.5, responder side): executes requests in order, each once, and
// acknowledges them. Threading: as RcQp. Private to the room.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "roce/outbox.hpp"
#include "roce/rc_qp.hpp"

namespace hawser::roce {

class RcQp::Responder {
 public:
  Responder(RcHost& host, const RcAttributes& attributes, RcCounters& counters, Outbox& outbox)
      : host_(host), attributes_(attributes), counters_(counters), outbox_(outbox) {}

  void reset();
  void start();
  void flush();
  void on_request(const Packet& packet);
  void on_time(rt::Time now);
  void flush_acks();

  [[nodiscard]] rt::Time next_deadline() const { return jobs_.empty() ? rt::time_never : jobs_since_; }
  [[nodiscard]] Psn expected() const { return expected_; }
  [[nodiscard]] bool failed() const { return state_ == State::failed; }

 private:
  enum class State : std::uint8_t { stopped, running, failed };
  enum class Kind : std::uint8_t { send, write, read, atomic };

  // What an opcode says about a request.
  struct Request {
    Kind kind{};
    bool first{}, last{};
  };

  // A SEND or WRITE whose last packet has not come yet.
  struct Message {
    Kind kind{};
    RecvWork receive{};        // SEND
    std::uint64_t capacity{};  // SEND: bytes of `receive`
    Reth reth{};               // WRITE
    std::uint64_t received{};  // bytes so far
  };

  // An executed READ or atomic, kept for its repetitions (as many as max_dest_rd_atomic).
  struct Executed {
    Psn first{};
    std::uint32_t packets{};
    Kind kind{};
    Reth reth{};               // READ
    std::uint64_t original{};  // atomic: what it found
  };

  // Responses still to be sent.
  struct Job {
    Psn next{};
    Kind kind{};
    bool started{};            // READ: a response has gone out
    Reth remaining{};          // READ
    std::uint64_t original{};  // atomic
  };

  [[nodiscard]] static std::optional<Request> classify(Operation operation);
  [[nodiscard]] bool in_sequence(const Request& request) const;
  [[nodiscard]] bool right_length(const Packet& packet, const Request& request) const;
  [[nodiscard]] bool permitted(const Request& request, const Packet& packet) const;

  void execute_send(const Packet& packet, const Request& request);
  void execute_write(const Packet& packet, const Request& request);
  void execute_read(const Packet& packet);
  void execute_atomic(const Packet& packet);
  void accept(const Packet& packet, bool last);  // of a SEND or WRITE packet

  void on_duplicate(const Packet& packet, const Request& request);
  void repeat_read(const Packet& packet);
  void repeat_atomic(const Packet& packet);
  [[nodiscard]] const Executed* find_executed(Psn psn, Kind kind) const;
  void remember(const Executed& executed);

  void enqueue(const Job& job);
  void serve_jobs();
  [[nodiscard]] bool send_read_response(Job& job);

  void send_ack(std::uint8_t syndrome, Psn psn);
  void not_ready();
  void refuse(std::uint8_t nak, WcStatus receive_status = WcStatus::rem_inv_req_err);
  [[nodiscard]] std::uint32_t packets_for(std::uint64_t bytes) const;

  RcHost& host_;
  const RcAttributes& attributes_;
  RcCounters& counters_;
  Outbox& outbox_;

  State state_ = State::stopped;
  bool established_ = false;  // communication_established() was called
  bool silent_ = false;       // a NAK or RNR NAK for expected_ was sent: nothing more until that packet comes
  bool ack_owed_ = false;
  Psn expected_;
  std::uint32_t msn_ = 0;  // messages completed, 24 bits
  std::uint32_t mtu_ = 0;
  std::optional<Message> message_;
  std::vector<Executed> executed_;  // a ring
  std::size_t executed_next_ = 0;
  std::deque<Job> jobs_;
  rt::Time jobs_since_{};
};

}  // namespace hawser::roce
