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

struct Plain {  // a sum as it is
    template <int N>
    Vec<N> operator()(int64_t, Vec<N> sum) const {
        return sum;
    }
};

// One row of outputs of one frame; `Finish` makes an output from its channel and its sum.
template <class Finish = Plain>
struct ForwardRow {
    const Shape& s;
    const Range* columns;          // of each tap, as `columns_of_tap` has them
    const float* const* frames;    // the frame that each tap in time reads; null where there is none
    const float* w;
    float* y;                      // the row
    int64_t h;
    Finish finish = {};

    template <int N>
    void operator()(int64_t c) const {
        const int64_t step = s.stride * s.channels;
        for (int64_t column = 0; column < s.out_width; column += PIXELS) {
            Vec<N> sum[PIXELS] = {};
            for (int64_t dt = 0; dt < s.taps_t; dt++) {
                if (!frames[dt]) continue;
                for (int64_t dh = 0; dh < s.taps_h; dh++) {
                    int64_t row = h * s.stride + dh - s.pad_h;
                    if (row < 0 || row >= s.height) continue;
                    const float* source = frames[dt] + row * s.width * s.channels + c;
                    const float* tap = w + (dt * s.taps_h + dh) * s.taps_w * s.channels + c;
                    for (int64_t dw = 0; dw < s.taps_w; dw++)
                        add_products<N>(sum, source + (column * s.stride + dw - s.pad_w) * s.channels, step,
                                        load<N>(tap + dw * s.channels), columns[dw], column);
                }
            }
            float* target = y + column * s.channels + c;
            for (int64_t j = 0; j < PIXELS; j++) {
                if (column + j >= s.out_width) break;
                store<N>(target + j * s.channels, finish.template operator()<N>(c, sum[j]));
            }
        }
    }
};

}  // namespace movinas
