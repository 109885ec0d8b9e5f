// The transforms of Winograd along one axis, for output tiles of 2 and of 4 (formulas: kernels/winograd.hpp).
//
// F(2, 3), of the points 0, 1, -1 and infinity. All constants are dyadic: small integers come out exact.
//
//   B^T = |1  0 -1  0|   G = | 1    0    0 |   A^T = |1  1  1  0|
//         |0  1  1  0|       |1/2  1/2  1/2|         |0  1 -1 -1|
//         |0 -1  1  0|       |1/2 -1/2  1/2|
//         |0  1  0 -1|       | 0    0    1 |
//
// F(4, 3), of the points 0, a, -a, b, -b and infinity with a = 5/8 and b = 3/2; s = a^2 + b^2, d = a^2 - b^2. B^T and
// A^T are exact in float32. The more usual 1 and 2 are one addition in 12 cheaper, but the root mean square of the
// error is 2.3 times, and its bound 4 times, as large.
//
//   B^T = |a^2 b^2    0     -s   0  1  0|   G = | 1/(a^2 b^2)       0          0   |
//         |   0    -a b^2  -b^2  a  1  0|       | 1/(2 a^2 d)   1/(2 a d)   1/(2 d)|
//         |   0     a b^2  -b^2 -a  1  0|       | 1/(2 a^2 d)  -1/(2 a d)   1/(2 d)|
//         |   0    -b a^2  -a^2  b  1  0|       |-1/(2 b^2 d)  -1/(2 b d)  -1/(2 d)|
//         |   0     b a^2  -a^2 -b  1  0|       |-1/(2 b^2 d)   1/(2 b d)  -1/(2 d)|
//         |   0    a^2 b^2   0  -s  0  1|       |      0            0          1   |
//
//   A^T = |1   1    1    1    1   0|
//         |0   a   -a    b   -b   0|
//         |0  a^2  a^2  b^2  b^2  0|
//         |0  a^3 -a^3  b^3 -b^3  1|
#pragma once

#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

// Each is rounded at most once: divisors are exact.
template <class T>
struct Points {
    static constexpr double near = 0.625, far = 1.5, difference = near * near - far * far;
    static constexpr T a = T(near), a2 = a * a, a3 = a2 * a;
    static constexpr T b = T(far), b2 = b * b, b3 = b2 * b;
    static constexpr T product = a2 * b2, sum = a2 + b2;
    static constexpr T g_0 = T(1 / (near * near * far * far));
    static constexpr T g_a[3] = {T(1 / (2 * near * near * difference)), T(1 / (2 * near * difference)),
                                 T(1 / (2 * difference))};
    static constexpr T g_b[3] = {T(-1 / (2 * far * far * difference)), T(-1 / (2 * far * difference)),
                                 T(-1 / (2 * difference))};
};

// B^T times a column.
template <class T>
FASTCONV_INLINE void input_column(const vec<T> (&d)[4], vec<T> (&t)[4]) {
    t[0] = d[0] - d[2];
    t[1] = d[1] + d[2];
    t[2] = d[2] - d[1];
    t[3] = d[1] - d[3];
}

template <class T>
FASTCONV_INLINE void input_column(const vec<T> (&d)[6], vec<T> (&t)[6]) {
    using P = Points<T>;
    t[0] = P::product * d[0] + (d[4] - P::sum * d[2]);
    const vec<T> even_a = d[4] - P::b2 * d[2], odd_a = d[3] - P::b2 * d[1];
    t[1] = even_a + P::a * odd_a;
    t[2] = even_a - P::a * odd_a;
    const vec<T> even_b = d[4] - P::a2 * d[2], odd_b = d[3] - P::a2 * d[1];
    t[3] = even_b + P::b * odd_b;
    t[4] = even_b - P::b * odd_b;
    t[5] = P::product * d[1] + (d[5] - P::sum * d[3]);
}

// G times a column.
template <class T>
FASTCONV_INLINE void weight_column(const vec<T> (&g)[3], vec<T> (&t)[4]) {
    const vec<T> sum = g[0] + g[2];
    t[0] = g[0];
    t[1] = (sum + g[1]) * T(0.5);
    t[2] = (sum - g[1]) * T(0.5);
    t[3] = g[2];
}

template <class T>
FASTCONV_INLINE void weight_column(const vec<T> (&g)[3], vec<T> (&t)[6]) {
    using P = Points<T>;
    t[0] = P::g_0 * g[0];
    const vec<T> even_a = P::g_a[0] * g[0] + P::g_a[2] * g[2], odd_a = P::g_a[1] * g[1];
    t[1] = even_a + odd_a;
    t[2] = even_a - odd_a;
    const vec<T> even_b = P::g_b[0] * g[0] + P::g_b[2] * g[2], odd_b = P::g_b[1] * g[1];
    t[3] = even_b + odd_b;
    t[4] = even_b - odd_b;
    t[5] = g[2];
}

// A^T times a column.
template <class T>
FASTCONV_INLINE void output_column(const vec<T> (&m)[4], vec<T> (&y)[2]) {
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] - m[3];
}

template <class T>
FASTCONV_INLINE void output_column(const vec<T> (&m)[6], vec<T> (&y)[4]) {
    using P = Points<T>;
    const vec<T> even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
    y[0] = m[0] + (even_a + even_b);
    y[1] = P::a * odd_a + P::b * odd_b;
    y[2] = P::a2 * even_a + P::b2 * even_b;
    y[3] = P::a3 * odd_a + P::b3 * odd_b + m[5];
}

}  // namespace
}  // namespace fastconv::FASTCONV_LEVEL
