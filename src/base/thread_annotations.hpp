// Names for clang's thread-safety analysis. Under other compilers they are nothing.
#pragma once

#if defined(__clang__)
#define HW_TSA(x) __attribute__((x))
#else
#define HW_TSA(x)
#endif

#define HW_CAPABILITY(name) HW_TSA(capability(name))
#define HW_SCOPED_CAPABILITY HW_TSA(scoped_lockable)
#define HW_GUARDED_BY(...) HW_TSA(guarded_by(__VA_ARGS__))
#define HW_PT_GUARDED_BY(...) HW_TSA(pt_guarded_by(__VA_ARGS__))
#define HW_REQUIRES(...) HW_TSA(requires_capability(__VA_ARGS__))
#define HW_ACQUIRE(...) HW_TSA(acquire_capability(__VA_ARGS__))
#define HW_TRY_ACQUIRE(...) HW_TSA(try_acquire_capability(__VA_ARGS__))
#define HW_RELEASE(...) HW_TSA(release_capability(__VA_ARGS__))
#define HW_EXCLUDES(...) HW_TSA(locks_excluded(__VA_ARGS__))
#define HW_ASSERT_CAPABILITY(...) HW_TSA(assert_capability(__VA_ARGS__))
#define HW_RETURN_CAPABILITY(x) HW_TSA(lock_returned(x))
#define HW_ACQUIRED_BEFORE(...) HW_TSA(acquired_before(__VA_ARGS__))
#define HW_ACQUIRED_AFTER(...) HW_TSA(acquired_after(__VA_ARGS__))
// For what the analysis cannot follow: each use says why (docs/concurrency.md).
#define HW_NO_THREAD_SAFETY_ANALYSIS HW_TSA(no_thread_safety_analysis)
