"""What threads that share memory without a lock read and write it with."""

from libc.stdint cimport uint32_t, uint64_t

cdef extern from * nogil:
    """
    #include <stdint.h>
    static inline uint64_t gslb_load_relaxed(const uint64_t *at) {
        return __atomic_load_n(at, __ATOMIC_RELAXED);
    }
    static inline uint64_t gslb_load_acquire(const uint64_t *at) {
        return __atomic_load_n(at, __ATOMIC_ACQUIRE);
    }
    static inline uint64_t gslb_load_ordered(const uint64_t *at) {
        return __atomic_load_n(at, __ATOMIC_SEQ_CST);
    }
    static inline void gslb_store_relaxed(uint64_t *at, uint64_t value) {
        __atomic_store_n(at, value, __ATOMIC_RELAXED);
    }
    static inline void gslb_store_release(uint64_t *at, uint64_t value) {
        __atomic_store_n(at, value, __ATOMIC_RELEASE);
    }
    static inline void gslb_store_ordered(uint64_t *at, uint64_t value) {
        __atomic_store_n(at, value, __ATOMIC_SEQ_CST);
    }
    static inline uint64_t gslb_add_relaxed(uint64_t *at, uint64_t more) {
        return __atomic_fetch_add(at, more, __ATOMIC_RELAXED);
    }
    static inline uint64_t gslb_add_ordered(uint64_t *at, uint64_t more) {
        return __atomic_fetch_add(at, more, __ATOMIC_SEQ_CST);
    }
    static inline void gslb_fence(void) {
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
    static inline int gslb_replace(uint64_t *at, uint64_t *expected, uint64_t value) {
        return __atomic_compare_exchange_n(at, expected, value, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    typedef void *__attribute__((may_alias)) gslb_pointer;
    static inline void *gslb_load_pointer(void *at) {
        return __atomic_load_n((gslb_pointer *)at, __ATOMIC_ACQUIRE);
    }
    static inline void gslb_store_pointer(void *at, void *value) {
        __atomic_store_n((gslb_pointer *)at, value, __ATOMIC_RELEASE);
    }
    static inline double gslb_load_double(double *at) {
        double value;
        __atomic_load(at, &value, __ATOMIC_RELAXED);
        return value;
    }
    static inline void gslb_store_double(double *at, double value) {
        __atomic_store(at, &value, __ATOMIC_RELAXED);
    }
    static inline uint32_t gslb_load_half(const uint32_t *at) {
        return __atomic_load_n(at, __ATOMIC_RELAXED);
    }
    static inline void gslb_store_half(uint32_t *at, uint32_t value) {
        __atomic_store_n(at, value, __ATOMIC_RELAXED);
    }
    static inline void gslb_count(uint64_t *at) {
        __atomic_store_n(at, __atomic_load_n(at, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
    }
    static inline void gslb_prefetch(const void *at) { __builtin_prefetch(at); }
    """
    uint64_t load_relaxed "gslb_load_relaxed" (const uint64_t* at)
    uint64_t load_acquire "gslb_load_acquire" (const uint64_t* at)
    # "ordered": one order of all such steps that every thread agrees on (sequentially consistent).
    uint64_t load_ordered "gslb_load_ordered" (const uint64_t* at)
    void store_relaxed "gslb_store_relaxed" (uint64_t* at, uint64_t value)
    void store_release "gslb_store_release" (uint64_t* at, uint64_t value)
    void store_ordered "gslb_store_ordered" (uint64_t* at, uint64_t value)
    void fence "gslb_fence" ()  # orders what is before it against what follows, for all threads
    # Both return what was there before.
    uint64_t add_relaxed "gslb_add_relaxed" (uint64_t* at, uint64_t more)
    uint64_t add_ordered "gslb_add_ordered" (uint64_t* at, uint64_t more)
    # Compare and swap; on failure `expected` becomes what is there.
    bint replace "gslb_replace" (uint64_t* at, uint64_t* expected, uint64_t value)
    # Acquire and release, of the pointer that `at` points to.
    void* load_pointer "gslb_load_pointer" (void* at)
    void store_pointer "gslb_store_pointer" (void* at, void* value)
    double load_double "gslb_load_double" (double* at)
    void store_double "gslb_store_double" (double* at, double value)
    uint32_t load_half "gslb_load_half" (const uint32_t* at)
    void store_half "gslb_store_half" (uint32_t* at, uint32_t value)
    # One more, where no other thread writes: no dearer than a plain increment, and never read torn.
    void count "gslb_count" (uint64_t* at)
    void prefetch "gslb_prefetch" (const void* at)
