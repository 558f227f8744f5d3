// How an event channel tells that events pend. Production: the descriptor a program polls (abi); tests and the
// explorer: whatever they like.
#pragma once

namespace hawser::ucm {

class Notifier {
 public:
  virtual ~Notifier() = default;
  // Level: true from the first event that is queued until the last one is taken. Called only on changes, under the
  // channel's mutex: it must not block and must not call back.
  virtual void set_pending(bool pending) = 0;
};

}  // namespace hawser::ucm
