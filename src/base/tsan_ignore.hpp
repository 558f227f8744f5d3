// For what the explorer itself keeps: ThreadSanitizer looks away for a scope. Nothing without it.
#pragma once

#if defined(__SANITIZE_THREAD__)
#define HW_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HW_TSAN 1
#endif
#endif

#if defined(HW_TSAN)
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
}
#endif

namespace hawser {

// Data that every fiber uses with no synchronisation, since one thread runs them all: not the program's races. (What
// the annotation of reads ignores is reads and writes; each annotation stores a stack, which is what it costs.)
class TsanIgnore {
 public:
  TsanIgnore() {
#if defined(HW_TSAN)
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
#endif
  }
  ~TsanIgnore() {
#if defined(HW_TSAN)
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
  }
  TsanIgnore(const TsanIgnore&) = delete;
  TsanIgnore& operator=(const TsanIgnore&) = delete;
};

}  // namespace hawser
