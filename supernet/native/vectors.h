// Vectors of floats, the channels of a tensor in groups of them, threads, and activations.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#ifdef __SSE__
#include <immintrin.h>
#endif

#define UNROLLED _Pragma("GCC unroll 32")

namespace movinas {

template <int N>
struct Lanes {
    typedef float type __attribute__((vector_size(4 * N), aligned(4), may_alias));
    typedef int32_t integer __attribute__((vector_size(4 * N)));
};
template <int N>
using Vec = typename Lanes<N>::type;

template <int N>
inline Vec<N> load(const float* at) {
    return *reinterpret_cast<const Vec<N>*>(at);
}
template <int N>
inline void store(float* at, Vec<N> value) {
    *reinterpret_cast<Vec<N>*>(at) = value;
}
template <int N>
inline Vec<N> splat(float value) {
    return value - Vec<N>{};  // minus zero stays itself, so that nothing is left to compute
}

constexpr int64_t WIDE = 16, NARROW = 8;

// Calls body.operator()<N>(first channel) for every group of channels: 16, then 8, then single ones.
template <class Body>
inline void for_channels(int64_t channels, const Body& body) {
    int64_t c = 0;
    for (; c + WIDE <= channels; c += WIDE) body.template operator()<WIDE>(c);
    for (; c + NARROW <= channels; c += NARROW) body.template operator()<NARROW>(c);
    for (; c < channels; c++) body.template operator()<1>(c);
}

struct Range {
    int64_t from, to;
};

inline Range share(int64_t total, int64_t number, int64_t of) {
    return {total * number / of, total * (number + 1) / of};
}

// While it lives, this thread takes numbers below 1.2e-38 for 0: some processors need a hundred times as long for them.
class WithoutSubnormals {
#ifdef __SSE__
    unsigned before = _mm_getcsr();

   public:
    WithoutSubnormals() { _mm_setcsr(before | 0x8040); }
    ~WithoutSubnormals() { _mm_setcsr(before); }
#endif
};

template <class Body>
inline void in_threads(int64_t total, int threads, const Body& body) {
#ifdef _OPENMP
    if (threads > 1 && total > 1) {
#pragma omp parallel for num_threads(threads) schedule(static, 1)
        for (int thread = 0; thread < threads; thread++) {
            Range range = share(total, thread, threads);
            WithoutSubnormals guard;
            body(thread, range.from, range.to);
        }
        return;
    }
#endif
    WithoutSubnormals guard;
    body(0, 0, total);
}

// ---- activations -----------------------------------------------------------------------------------------------------

enum Activation { IDENTITY = 0, SWISH = 1, HARD_SWISH = 2 };

template <int N>
inline Vec<N> smaller(Vec<N> x, Vec<N> most) {  // NaN stays NaN
    return x > most ? most : x;
}
template <int N>
inline Vec<N> larger(Vec<N> x, Vec<N> least) {
    return x < least ? least : x;
}
template <int N>
inline Vec<N> reciprocal(Vec<N> x) {
    return 1.0f / x;
}
#ifdef __AVX512F__
template <>
inline Vec<16> smaller<16>(Vec<16> x, Vec<16> most) {
    return _mm512_min_ps(most, x);
}
template <>
inline Vec<16> larger<16>(Vec<16> x, Vec<16> least) {
    return _mm512_max_ps(least, x);
}
template <>
inline Vec<16> reciprocal<16>(Vec<16> x) {  // 14 bits from the table, all but the last from one step of Newton's
    Vec<16> guess = _mm512_rcp14_ps(x);
    return guess * (2.0f - x * guess);
}
#endif

// exp to about 2 units in the last place, for x in [-87, 88]: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2].
template <int N>
inline Vec<N> exponential(Vec<N> x) {
    typedef typename Lanes<N>::integer Int;
    x = smaller<N>(larger<N>(x, splat<N>(-87.0f)), splat<N>(87.0f));
    Vec<N> shifted = x * 1.44269504088896341f + 12582912.0f;  // rounds to the nearest integer, in the lowest bits
    Vec<N> n = shifted - 12582912.0f;
    Vec<N> r = x - n * 0.693359375f + n * 2.12194440e-4f;
    Vec<N> p = splat<N>(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    Int bits, power;
    std::memcpy(&bits, &shifted, sizeof(bits));
    std::memcpy(&power, &p, sizeof(power));
    power += bits << 23;  // 2^n: n in the exponent, what else was in `shifted` falls out at the top
    std::memcpy(&p, &power, sizeof(p));
    return p;
}

template <int N>
inline Vec<N> sigmoid(Vec<N> x) {
    return reciprocal<N>(1.0f + exponential<N>(-x));
}

template <int N>
inline Vec<N> clamped(Vec<N> x, float low, float high) {
    return smaller<N>(larger<N>(x, splat<N>(low)), splat<N>(high));
}

template <int A, int N>
inline Vec<N> activated(Vec<N> x) {
    if (A == SWISH) return x * sigmoid<N>(x);
    if (A == HARD_SWISH) return x * clamped<N>(x + 3.0f, 0.0f, 6.0f) * (1.0f / 6.0f);
    return x;
}

// Calls body.operator()<A>().
template <class Body>
inline void with_activation(int64_t activation, const Body& body) {
    if (activation == SWISH) body.template operator()<SWISH>();
    else if (activation == HARD_SWISH) body.template operator()<HARD_SWISH>();
    else body.template operator()<IDENTITY>();
}

template <int A, int N>
inline Vec<N> slope(Vec<N> x) {
    if (A == SWISH) {
        Vec<N> s = sigmoid<N>(x);
        return s * (1.0f + x * (1.0f - s));
    }
    if (A == HARD_SWISH) {
        Vec<N> inside = (2.0f * x + 3.0f) * (1.0f / 6.0f);
        inside = x <= -3.0f ? splat<N>(0.0f) : inside;
        return x >= 3.0f ? splat<N>(1.0f) : inside;
    }
    return splat<N>(1.0f);
}

}  // namespace movinas
