// Products of a matrix of activations, pixels by channels, and one of weights, with what follows them.
#pragma once

#include "vectors.h"

namespace movinas {

constexpr int64_t LANES = 16;
constexpr int64_t PANEL = 2 * LANES;  // columns of a product that are summed at once, beside `TILE` rows of it
#ifdef __AVX512F__
constexpr int TILE = 14;
#else
constexpr int TILE = 3;
#endif

// Weights and biases of a linear map. Columns lie in panels of `PANEL`, the last of `LANES` where no more is left, each
// with one row per input; they and the biases are filled up with zeros to whole vectors.
struct Matrix {
    int64_t inputs, outputs;
    const float *weight, *bias;
};

inline int64_t panels_of(const Matrix& m) { return (m.outputs + PANEL - 1) / PANEL; }
inline int64_t filled(int64_t columns) { return (columns + LANES - 1) / LANES * LANES; }

#ifdef __AVX512F__
inline Vec<LANES> load_some(const float* at, int64_t lanes) {
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << lanes) - 1), at);
}
inline void store_some(float* at, Vec<LANES> value, int64_t lanes) {
    _mm512_mask_storeu_ps(at, static_cast<__mmask16>((1u << lanes) - 1), value);
}
#else
inline Vec<LANES> load_some(const float* at, int64_t lanes) {
    Vec<LANES> value = {};
    std::memcpy(&value, at, sizeof(float) * static_cast<size_t>(lanes));
    return value;
}
inline void store_some(float* at, Vec<LANES> value, int64_t lanes) {
    std::memcpy(at, &value, sizeof(float) * static_cast<size_t>(lanes));
}
#endif

// ROWS rows by VECTORS vectors of columns from `first` on, in registers.
template <int A, int ROWS, int VECTORS>
inline void tile(const Matrix& m, const float* weight, int64_t first, const float* x, const float* residual, float* y) {
    Vec<LANES> sum[ROWS][VECTORS];
    UNROLLED for (int v = 0; v < VECTORS; v++)
        UNROLLED for (int r = 0; r < ROWS; r++) sum[r][v] = load<LANES>(m.bias + first + v * LANES);
    const float* panel = weight + first * m.inputs;
    for (int64_t k = 0; k < m.inputs; k++) {
        Vec<LANES> column[VECTORS];
        UNROLLED for (int v = 0; v < VECTORS; v++) column[v] = load<LANES>(panel + (k * VECTORS + v) * LANES);
        UNROLLED for (int r = 0; r < ROWS; r++) {
            Vec<LANES> input = splat<LANES>(x[r * m.inputs + k]);
            UNROLLED for (int v = 0; v < VECTORS; v++) sum[r][v] += input * column[v];
        }
    }
    UNROLLED for (int v = 0; v < VECTORS; v++) {
        int64_t at = first + v * LANES, lanes = m.outputs - at;
        if (lanes >= LANES) {
            UNROLLED for (int r = 0; r < ROWS; r++) {
                Vec<LANES> value = activated<A, LANES>(sum[r][v]);
                if (residual) value += load<LANES>(residual + r * m.outputs + at);
                store<LANES>(y + r * m.outputs + at, value);
            }
        } else {
            UNROLLED for (int r = 0; r < ROWS; r++) {
                Vec<LANES> value = activated<A, LANES>(sum[r][v]);
                if (residual) value += load_some(residual + r * m.outputs + at, lanes);
                store_some(y + r * m.outputs + at, value, lanes);
            }
        }
    }
}

template <int A, int ROWS>
inline void tiles(const Matrix& m, const float* weight, Range panels, const float* x, const float* residual, float* y) {
    for (int64_t panel = panels.from; panel < panels.to; panel++) {
        int64_t first = panel * PANEL;
        if (m.outputs - first > LANES) tile<A, ROWS, 2>(m, weight, first, x, residual, y);
        else tile<A, ROWS, 1>(m, weight, first, x, residual, y);
    }
}

// y = activation(x weight + bias) + residual for some rows, in some panels; `residual` may be null, or `y` itself.
template <int A>
void multiply(const Matrix& m, const float* weight, Range panels, int64_t rows, const float* x, const float* residual,
              float* y) {
    auto some = [&]<int ROWS>() {
        if constexpr (ROWS <= TILE) {
            for (; rows >= ROWS; rows -= ROWS) {
                tiles<A, ROWS>(m, weight, panels, x, residual, y);
                x += ROWS * m.inputs;
                y += ROWS * m.outputs;
                if (residual) residual += ROWS * m.outputs;
            }
        }
    };
    some.template operator()<TILE>();
    some.template operator()<8>();
    some.template operator()<4>();
    some.template operator()<2>();
    some.template operator()<1>();
}

template <int A>
void multiply(const Matrix& m, int64_t rows, const float* x, const float* residual, float* y) {
    multiply<A>(m, m.weight, {0, panels_of(m)}, rows, x, residual, y);
}

// The same for few rows and many columns, of which every thread has a share.
template <int A>
void multiply_columns(const Matrix& m, int64_t rows, const float* x, float* y, int threads) {
    in_threads(panels_of(m), threads, [&](int, int64_t from, int64_t to) {
        multiply<A>(m, m.weight, {from, to}, rows, x, nullptr, y);
    });
}

}  // namespace movinas
