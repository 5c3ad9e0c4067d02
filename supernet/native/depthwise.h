// Depthwise convolution of one row of outputs.
#pragma once

#include "vectors.h"

namespace movinas {

struct Shape {
    int64_t clips, frames, height, width, channels;              // of the input
    int64_t out_frames, out_height, out_width;                   // of the output
    int64_t taps_t, taps_h, taps_w, stride, pad_t, pad_h, pad_w; // padding in front
};

constexpr int64_t PIXELS = 8;     // outputs of a row that are summed at once, in registers
constexpr int64_t TOGETHER = 8;   // rows of one group of channels: what one has read is still in the cache for the next
constexpr int64_t MAX_TAPS = 15;  // of a kernel, in each direction

// Columns of the output whose tap reads a column of the input that exists.
inline Range columns_of_tap(const Shape& s, int64_t tap) {
    int64_t offset = tap - s.pad_w;  // input column = column * stride + offset
    int64_t first = offset < 0 ? (-offset + s.stride - 1) / s.stride : 0;
    int64_t last = s.width - offset <= 0 ? 0 : (s.width - offset - 1) / s.stride + 1;
    return {first, last < s.out_width ? last : s.out_width};
}

// Adds weight times PIXELS vectors, `step` floats apart, to the sums of those that lie in `valid`, counted from `first`.
template <int N>
inline void add_products(Vec<N>* sum, const float* at, int64_t step, Vec<N> weight, Range valid, int64_t first) {
    if (valid.from <= first && first + PIXELS <= valid.to) {
        for (int64_t j = 0; j < PIXELS; j++) sum[j] += load<N>(at + j * step) * weight;
    } else {
        for (int64_t j = 0; j < PIXELS; j++)
            if (first + j >= valid.from && first + j < valid.to) sum[j] += load<N>(at + j * step) * weight;
    }
}

// Rows of outputs of one frame: sums of products, and where there is a bias, bias and activation after them.
struct Rows {
    const Shape& s;
    const float* const* frames;  // the frame that each tap in time reads; null where there is none
    const float* w;
    float* y;                    // the frame of outputs
    const float* bias = nullptr;
    int64_t activation = IDENTITY;

    // PIXELS outputs from `column` on. Every column of the input is read once, for all taps along the row. At an EDGE some
    // columns of input or output do not exist.
    template <int N, int TAPS, int STRIDE, bool EDGE>
    void outputs(int64_t h, int64_t column, int64_t c) const {
        constexpr int REACH = (PIXELS - 1) * STRIDE + TAPS;
        const int64_t first = column * STRIDE - s.pad_w;
        Vec<N> sum[PIXELS] = {};
        for (int64_t dt = 0; dt < s.taps_t; dt++) {
            if (!frames[dt]) continue;
            for (int64_t dh = 0; dh < s.taps_h; dh++) {
                const int64_t row = h * STRIDE + dh - s.pad_h;
                if (row < 0 || row >= s.height) continue;
                const float* source = frames[dt] + (row * s.width + first) * s.channels + c;
                const float* weight = w + (dt * s.taps_h + dh) * TAPS * s.channels + c;
                Vec<N> tap[TAPS];
                UNROLLED for (int dw = 0; dw < TAPS; dw++) tap[dw] = load<N>(weight + dw * s.channels);
                UNROLLED for (int i = 0; i < REACH; i++) {
                    if (EDGE && (first + i < 0 || first + i >= s.width)) continue;
                    Vec<N> x = load<N>(source + i * s.channels);
                    UNROLLED for (int dw = 0; dw < TAPS; dw++)
                        if (i >= dw && (i - dw) % STRIDE == 0 && (i - dw) / STRIDE < PIXELS)
                            sum[(i - dw) / STRIDE] += x * tap[dw];
                }
            }
        }
        Vec<N> sums[PIXELS];
        UNROLLED for (int j = 0; j < PIXELS; j++) sums[j] = sum[j];
        keep<N>(h, column, c, sums);
    }

    // The same for any number of taps and any stride.
    template <int N>
    void any_outputs(int64_t h, int64_t column, int64_t c) const {
        Vec<N> sum[PIXELS] = {};
        for (int64_t dt = 0; dt < s.taps_t; dt++) {
            if (!frames[dt]) continue;
            for (int64_t dh = 0; dh < s.taps_h; dh++) {
                const int64_t row = h * s.stride + dh - s.pad_h;
                if (row < 0 || row >= s.height) continue;
                const float* source = frames[dt] + row * s.width * s.channels + c;
                const float* weight = w + (dt * s.taps_h + dh) * s.taps_w * s.channels + c;
                for (int64_t dw = 0; dw < s.taps_w; dw++)
                    for (int64_t j = 0; j < PIXELS; j++) {
                        const int64_t read = (column + j) * s.stride + dw - s.pad_w;
                        if (read >= 0 && read < s.width)
                            sum[j] += load<N>(source + read * s.channels) * load<N>(weight + dw * s.channels);
                    }
            }
        }
        keep<N>(h, column, c, sum);
    }

    // Not inlined: one copy of this for all kinds of kernels, which are compiled where a user waits for them.
    template <int N>
    __attribute__((noinline)) void keep(int64_t h, int64_t column, int64_t c, const Vec<N>* sums) const {
        float* target = y + (h * s.out_width + column) * s.channels + c;
        const int64_t number = column + PIXELS < s.out_width ? PIXELS : s.out_width - column;
        const Vec<N> offset = bias ? load<N>(bias + c) : Vec<N>{};
        with_activation(activation, [&]<int A>() {
            for (int64_t j = 0; j < number; j++) store<N>(target + j * s.channels, activated<A, N>(sums[j] + offset));
        });
    }

    template <int TAPS, int STRIDE>
    void rows(Range range) const {
        for_channels(s.channels, [&]<int N>(int64_t c) {
            for (int64_t h = range.from; h < range.to; h++)
                for (int64_t column = 0; column < s.out_width; column += PIXELS) {
                    if constexpr (TAPS == 0 || N == 1) {
                        any_outputs<N>(h, column, c);
                    } else {
                        const int64_t first = column * STRIDE - s.pad_w, end = first + (PIXELS - 1) * STRIDE + TAPS;
                        if (first < 0 || end > s.width || column + PIXELS > s.out_width)
                            outputs<N, TAPS, STRIDE, true>(h, column, c);
                        else outputs<N, TAPS, STRIDE, false>(h, column, c);
                    }
                }
        });
    }

    void operator()(Range range) const {
        switch (s.stride > 2 ? 0 : s.taps_w * 10 + s.stride) {
            case 11: return rows<1, 1>(range);
            case 31: return rows<3, 1>(range);
            case 51: return rows<5, 1>(range);
            case 71: return rows<7, 1>(range);
            case 32: return rows<3, 2>(range);
            case 52: return rows<5, 2>(range);
            case 72: return rows<7, 2>(range);
            default: return rows<0, 1>(range);
        }
    }
};

}  // namespace movinas
