// The ways to choose: at random, PCT, exhaustively, as written.
#include <algorithm>
#include <bit>
#include <charconv>
#include <unordered_map>
#include <utility>

#include "base/assert.hpp"
#include "runtime/scheduler_explore.hpp"

namespace hawser::rt::explore {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014).
class Random {
 public:
  void seed(std::uint64_t seed) { state_ = seed; }
  [[nodiscard]] std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
  }
  [[nodiscard]] std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() % n); }

 private:
  std::uint64_t state_ = 0;
};

// The fewest switches that are fair: goes on with who ran last, but not for ever.
class DefaultPolicy {
 public:
  void reset() { turns_ = 0; }
  [[nodiscard]] FiberId pick(const View& view) {
    if (view.current_may_go_on && ++turns_ < turns_max) return view.current;
    turns_ = 0;
    const auto next = std::ranges::upper_bound(view.enabled, view.current);
    if (next != view.enabled.end()) return *next;
    // An eager clock comes last.
    return view.enabled.front() == clock_id && view.enabled.size() > 1 ? view.enabled[1] : view.enabled.front();
  }

 private:
  static constexpr std::uint32_t turns_max = 500;
  std::uint32_t turns_ = 0;
};

class RandomWalk final : public Strategy {
 public:
  void begin(std::uint64_t seed) override { random_.seed(seed); }
  FiberId pick(const View& view) override {
    return view.enabled.size() == 1 ? view.enabled[0] : view.enabled[random_.below(view.enabled.size())];
  }
  std::size_t choose(std::size_t n) override { return random_.below(n); }
  bool next() override { return true; }

 private:
  Random random_;
};

// Each fiber has a random priority, the highest enabled one runs; at depth-1 random steps the runner falls below all.
class Pct final : public Strategy {
 public:
  Pct(const Options& options, const std::uint64_t& steps_longest)
      : depth_(std::max(1U, options.pct_depth)), fixed_length_(options.pct_length), steps_longest_(steps_longest) {}
  void begin(std::uint64_t seed) override {
    random_.seed(seed);
    priorities_.assign(fiber_id_max + 1, 0);
    for (std::uint64_t& priority : priorities_) priority = depth_ + (random_.next() >> 1);
    const std::uint64_t length = fixed_length_ != 0 ? fixed_length_ : std::max<std::uint64_t>(steps_longest_, 20);
    changes_.clear();
    for (std::uint32_t i = 1; i < depth_; ++i) changes_.push_back(1 + random_.below(length));
    std::ranges::sort(changes_);
    step_ = 0;
    change_ = 0;
  }
  FiberId pick(const View& view) override {
    ++step_;
    FiberId best = highest(view);
    while (change_ < changes_.size() && changes_[change_] <= step_) {
      priorities_[best] = depth_ - 1 - change_++;
      best = highest(view);
    }
    // Whoever yields, and the clock after a tick, would otherwise run for ever.
    if (view.scheduler.pending(best).kind == OpKind::yield) priorities_[best] = 0;
    if (best == clock_id) priorities_[best] = depth_ + (random_.next() >> 1);
    return best;
  }
  std::size_t choose(std::size_t n) override { return random_.below(n); }
  bool next() override { return true; }

 private:
  [[nodiscard]] FiberId highest(const View& view) const {
    return *std::ranges::max_element(view.enabled, {}, [this](FiberId fiber) { return priorities_[fiber]; });
  }
  const std::uint32_t depth_;
  const std::uint32_t fixed_length_;
  const std::uint64_t& steps_longest_;
  Random random_;
  std::vector<std::uint64_t> priorities_;
  std::vector<std::uint64_t> changes_;
  std::uint64_t step_ = 0;
  std::size_t change_ = 0;
};

// Depth first through the tree of choices; every run starts from the beginning and repeats the path to a node.
//
// Reduction. Without a bound: sleep sets [Godefroid 1996]. With a bound on preemptions sleep sets are unsound, since
// the representative that they keep may need more preemptions than the schedule that they skip; there, states that were
// reached before with as many preemptions left are not explored again, a state being the hash of what happened in its
// partial order [Musuvathi, Qadeer 2007]. Both rely on shared data being touched at scheduling points only.
class Exhaustive final : public Strategy {
 public:
  explicit Exhaustive(const Options& options)
      : bound_(options.preemptions.value_or(unbounded)),
        sleep_sets_(options.reduce && !options.preemptions),
        state_cache_(options.reduce && options.preemptions) {}

  void begin(std::uint64_t) override {
    depth_ = 0;
    preemptions_ = 0;
    sleep_ = 0;
    pruned_ = false;
    mismatch_ = nullptr;
    default_.reset();
  }

  FiberId pick(const View& view) override {
    if (pruned_) return default_.pick(view);
    const std::uint64_t enabled = mask_of(view);
    if (depth_ == path_.size()) {
      if (state_cache_ && seen_before(view)) {
        pruned_ = true;
        return default_.pick(view);
      }
      Node node{.enabled = enabled, .sleep = sleep_, .may_go_on = view.current_may_go_on, .current = view.current};
      if (!take_next(node)) {
        pruned_ = true;
        return default_.pick(view);
      }
      path_.push_back(node);
    }
    Node& node = path_[depth_++];
    if (node.enabled != enabled || node.is_choice) {
      mismatch_ = "the scenario is not deterministic: another set of fibers can run than in an earlier run";
      return view.enabled.front();
    }
    preemptions_ += cost(node, node.chosen);
    if (sleep_sets_) sleep_ = asleep_after(view, node);
    return node.chosen;
  }

  std::size_t choose(std::size_t n) override {
    if (pruned_) return 0;
    if (depth_ == path_.size()) path_.push_back({.is_choice = true, .alternatives = static_cast<std::uint32_t>(n)});
    Node& node = path_[depth_++];
    if (!node.is_choice || node.alternatives != n) {
      mismatch_ = "the scenario is not deterministic: another choice than in an earlier run";
      return 0;
    }
    return node.chosen;
  }

  bool next() override {
    while (!path_.empty()) {
      Node& node = path_.back();
      if (node.is_choice ? ++node.chosen < node.alternatives : take_next(node)) return true;
      path_.pop_back();
    }
    return false;
  }

  bool pruned() const override { return pruned_; }
  const char* mismatch() const override { return mismatch_; }

 private:
  static constexpr std::uint32_t unbounded = 0xFFFFFFFF;
  struct Node {
    bool is_choice = false;
    std::uint32_t alternatives = 0;  // of a choice
    std::uint32_t chosen = 0;        // the fiber, or the alternative
    std::uint64_t enabled = 0;
    std::uint64_t sleep = 0;  // explored by a sibling of a node above, and not affected since
    std::uint64_t done = 0;   // explored here, the chosen one included
    bool may_go_on = false;
    FiberId current = 0;
    std::uint32_t spent = 0;  // preemptions on the way here
    bool entered = false;
  };

  [[nodiscard]] static std::uint64_t bit(FiberId fiber) { return std::uint64_t{1} << fiber; }
  [[nodiscard]] static std::uint64_t mask_of(const View& view) {
    std::uint64_t mask = 0;
    for (const FiberId fiber : view.enabled) mask |= bit(fiber);
    return mask;
  }
  [[nodiscard]] static std::uint32_t cost(const Node& node, FiberId fiber) {
    return node.may_go_on && fiber != node.current ? 1 : 0;
  }

  // Chooses what this node has not explored yet: first to go on, then the others in order. Who yields and the clock
  // come last.
  [[nodiscard]] bool take_next(Node& node) const {
    if (!node.entered) {
      node.entered = true;
      node.spent = preemptions_;
    }
    std::uint64_t candidates = node.enabled & ~node.sleep & ~node.done;
    if (node.may_go_on && (candidates & bit(node.current)) != 0) candidates = bit(node.current);
    for (const FiberId last : {clock_id, node.current}) {
      if ((candidates & ~bit(last)) != 0) candidates &= ~bit(last);
    }
    if (candidates == 0) return false;
    const auto fiber = static_cast<FiberId>(std::countr_zero(candidates));
    if (bound_ != unbounded && node.spent + cost(node, fiber) > bound_) return false;  // so do all that are left
    node.chosen = fiber;
    node.done |= bit(fiber);
    return true;
  }

  [[nodiscard]] static std::uint64_t asleep_after(const View& view, const Node& node) {
    const Op& chosen = view.scheduler.pending(node.chosen);
    std::uint64_t asleep = (node.sleep | node.done) & node.enabled & ~bit(node.chosen);
    for (std::uint64_t rest = asleep; rest != 0; rest &= rest - 1) {
      const auto fiber = static_cast<FiberId>(std::countr_zero(rest));
      if (!independent(view.scheduler.pending(fiber), chosen)) asleep &= ~bit(fiber);
    }
    return asleep;
  }

  [[nodiscard]] bool seen_before(const View& view) {
    const std::uint64_t key =
        view.scheduler.state_hash() ^ (view.current + (view.current_may_go_on ? 64U : 0U)) * 0x9E3779B97F4A7C15;
    const std::uint32_t left = bound_ - preemptions_;
    const auto [seen, is_new] = seen_.try_emplace(key, left);
    if (is_new) return false;
    if (seen->second >= left) return true;
    seen->second = left;
    return false;
  }

  const std::uint32_t bound_;
  const bool sleep_sets_;
  const bool state_cache_;
  std::vector<Node> path_;
  std::size_t depth_ = 0;
  std::uint32_t preemptions_ = 0;
  std::uint64_t sleep_ = 0;
  bool pruned_ = false;
  const char* mismatch_ = nullptr;
  DefaultPolicy default_;
  std::unordered_map<std::uint64_t, std::uint32_t> seen_;
};

// Follows a written schedule, and then the default policy.
class Replay final : public Strategy {
 public:
  explicit Replay(const std::string& schedule) {
    for (std::size_t at = 0; at < schedule.size();) {
      const std::size_t comma = std::min(schedule.find(',', at), schedule.size());
      if (!parse_token(std::string_view(schedule).substr(at, comma - at))) mismatch_ = "the schedule cannot be read";
      at = comma + 1;
    }
  }
  void begin(std::uint64_t) override {}
  FiberId pick(const View& view) override {
    if (view.enabled.size() == 1) return view.enabled[0];
    const Decision* decision = take();
    if (decision == nullptr) return default_.pick(view);
    if (decision->is_choice) mismatch_ = "the schedule has a choice where a fiber must be chosen";
    return decision->value;
  }
  std::size_t choose(std::size_t) override {
    const Decision* decision = take();
    if (decision == nullptr) return 0;
    if (!decision->is_choice) mismatch_ = "the schedule has a fiber where a choice must be made";
    return decision->value;
  }
  bool next() override { return false; }
  const char* mismatch() const override { return mismatch_; }

 private:
  struct Decision {
    bool is_choice;
    std::uint32_t value;
    std::uint32_t times;
  };
  [[nodiscard]] bool parse_token(std::string_view token) {
    Decision decision{.is_choice = token.starts_with('='), .value = 0, .times = 1};
    const char* end = token.data() + token.size();
    const auto value = std::from_chars(token.data() + (decision.is_choice ? 1 : 0), end, decision.value);
    if (value.ec != std::errc()) return false;
    const char* rest = value.ptr;
    if (rest != end) {
      if (*rest != '*') return false;
      const auto times = std::from_chars(rest + 1, end, decision.times);
      if (times.ec != std::errc() || times.ptr != end) return false;
    }
    decisions_.push_back(decision);
    return true;
  }
  [[nodiscard]] const Decision* take() {
    while (at_ < decisions_.size() && decisions_[at_].times == 0) ++at_;
    if (at_ == decisions_.size()) return nullptr;
    --decisions_[at_].times;
    return &decisions_[at_];
  }
  std::vector<Decision> decisions_;
  std::size_t at_ = 0;
  const char* mismatch_ = nullptr;
  DefaultPolicy default_;
};

}  // namespace

std::unique_ptr<Strategy> make_strategy(const Options& options, const std::uint64_t& steps_longest) {
  switch (options.strategy) {
    case StrategyKind::random: return std::make_unique<RandomWalk>();
    case StrategyKind::pct: return std::make_unique<Pct>(options, steps_longest);
    case StrategyKind::exhaustive: return std::make_unique<Exhaustive>(options);
    case StrategyKind::replay: return std::make_unique<Replay>(options.schedule);
  }
  HW_BUG("explore-unknown-strategy");
}

}  // namespace hawser::rt::explore
